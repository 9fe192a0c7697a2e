// SPDX-License-Identifier: MIT
#pragma once

#include "model/cross_entropy.hpp"
#include "model/embedding.hpp"
#include "model/transformer_block.hpp"

#include <accrete/accrete.hpp>

#include <span>
#include <vector>

namespace gpt {

/// GPT-2's decoder as nanoGPT trains it: learned positions, pre-norm blocks, exact GELU, the output
/// head tied to the token embedding. Every pass is explicit; activations are kept by forward for
/// backward, in buffers that are allocated again only when the number of tokens changes. The passes
/// are compiled in gpt.cpp for the host, in float and double, and in cuda/gpt.cpp for a GPU, in
/// float.
template <class Scalar, class Backend = accrete::Cpu>
class Gpt {
 public:
  using Layer = Linear<Scalar, Backend>;
  using Tensor = Parameter<Scalar, Backend>;

  /// Weights from N(0, 0.02^2), those that end a residual branch with 0.02 / sqrt(2 layers);
  /// biases zero, LayerNorm scales one. Throws accrete::ArgumentError for an impossible shape.
  Gpt(const GptConfig& config, std::uint64_t seed);

  /// `batch` sequences of `length` tokens one after the other. Returns the mean cross-entropy
  /// against `targets` in nats, or 0 without targets, when only logits() are wanted.
  /// Throws accrete::ArgumentError when a count, token or target is out of range.
  double forward(std::span<const int> tokens, std::span<const int> targets, Index batch,
                 Index length);

  /// Adds the gradient of the last forward's loss to the parameters' gradients.
  void backward();

  void zero_gradients() {
    for_each_parameter([&](const Tensor& p) {
      if (p.is_trained()) {
        fill<Scalar, Backend>(p.gradient, Scalar(0));
      }
    });
  }

  /// V x (batch * length), of the last forward.
  [[nodiscard]] accrete::ViewOn<const Scalar, Backend> logits() const {
    return accrete::view_of(logits_);
  }

  /// Calls function(Parameter) for every tensor, in an order that depends on the shape alone.
  template <class Function>
  void for_each_parameter(const Function& function) {
    using accrete::view_of;
    function(Tensor{"wte.weight", view_of(embedding_.tokens), view_of(embedding_.tokens_gradient),
                    true});
    function(Tensor{"wpe.weight", view_of(embedding_.positions),
                    view_of(embedding_.positions_gradient), true});
    for (auto& block : blocks_) {
      block.for_each_parameter(function);
    }
    final_norm_.for_each_parameter("ln_f", function);
  }

  /// Calls function(Linear&) for every linear layer, in the order of the parameters.
  template <class Function>
  void for_each_linear(const Function& function) {
    for (auto& block : blocks_) {
      block.for_each_linear(function);
    }
  }
  template <class Function>
  void for_each_linear(const Function& function) const {
    for (const auto& block : blocks_) {
      block.for_each_linear(function);
    }
  }
  /// Calls function(name, FactoredWeight&) for every factored layer.
  template <class Function>
  void for_each_factored(const Function& function) {
    for_each_linear([&](Layer& layer) {
      layer.if_factored([&](auto& weight) { function(layer.name(), weight); });
    });
  }

  [[nodiscard]] std::vector<LayerRank> ranks() const {
    std::vector<LayerRank> result;
    for_each_linear([&](const Layer& layer) {
      layer.if_factored([&](const auto& weight) {
        const auto& factors = weight.factors();
        result.push_back({layer.name(), weight.rank(), factors.rank(), factors.capacity(),
                          weight.rows(), weight.cols()});
      });
    });
    return result;
  }

  /// Gives the factored layers the ranks and columns of another model's ranks(), before its tensors
  /// are loaded; new columns are zero. Throws accrete::ArgumentError for layers that do not exist.
  void set_ranks(std::span<const LayerRank> ranks) {
    std::size_t found = 0;
    for_each_factored([&](const std::string& name, auto& weight) {
      for (const LayerRank& layer : ranks) {
        if (layer.name == name) {
          weight.set_rank(layer.rank, layer.columns);
          ++found;
        }
      }
    });
    if (found != ranks.size()) {
      throw accrete::ArgumentError("gpt: " + std::to_string(ranks.size() - found) +
                                   " of the ranks belong to layers that are not factored here");
    }
  }

  /// Scalars in all tensors but the position embedding, as nanoGPT counts.
  [[nodiscard]] Index parameter_count() const {
    Index count = embedding_.tokens.size() + norm_parameter_count();
    for_each_linear([&](const Layer& layer) { count += layer.parameter_count(); });
    return count;
  }

  /// FLOPs of forward and backward for one token of a sequence of `length`: 6 per trained weight, 4
  /// per frozen one, and 12 layers * width * length for attention, causal or not, as is customary.
  [[nodiscard]] double flops_per_token(Index length) const {
    double flops = 6.0 * static_cast<double>(embedding_.tokens.size() + norm_parameter_count()) +
                   12.0 * static_cast<double>(config_.layers * config_.width * length);
    for_each_linear([&](const Layer& layer) { flops += layer.flops(); });
    return flops;
  }

  [[nodiscard]] const GptConfig& config() const noexcept { return config_; }
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }

 private:
  [[nodiscard]] Index norm_parameter_count() const noexcept {
    return (2 * config_.layers + 1) * config_.width * (config_.bias ? 2 : 1);
  }

  void check(std::span<const int> tokens, std::span<const int> targets, Index batch,
             Index length) const;

  GptConfig config_;
  std::uint64_t seed_;
  Embedding<Scalar, Backend> embedding_;
  std::vector<TransformerBlock<Scalar, Backend>> blocks_;
  LayerNorm<Scalar, Backend> final_norm_;
  CrossEntropy<Scalar, Backend> cross_entropy_;

  Index length_ = 0;
  bool has_loss_ = false;
  std::vector<int> tokens_;
  Matrix<Scalar, Backend> output_, normal_, logits_, logits_gradient_, gradient_;
  Scratch<Scalar, Backend> scratch_;
};

} // namespace gpt
