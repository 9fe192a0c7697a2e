// SPDX-License-Identifier: MIT
#pragma once

#include "model/cross_entropy.hpp"
#include "model/embedding.hpp"
#include "model/optimizer_config.hpp"
#include "model/transformer_block.hpp"

#include <accrete/accrete.hpp>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace gpt {

/// The rank of a layer, as Gpt::ranks reports it.
struct LayerRank {
  std::string name;
  Index rank = 0;    ///< that a growing layer has found; otherwise all its columns
  Index columns = 0; ///< of each factor, or of the basis of a projection
};

/// Layer to name to number: what TrainedWeight::visit_shape shows of each.
using LayerShapes = std::map<std::string, std::map<std::string, std::int64_t>>;

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
  /// biases zero, LayerNorm scales one. `adamw` are the options of what is trained. Throws
  /// accrete::ArgumentError for an impossible shape, accrete::RankError for an impossible rank.
  Gpt(const GptConfig& config, std::uint64_t seed,
      const accrete::AdamWOptions& adamw = nano_gpt_adamw());

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
    embedding_.for_each_parameter(function);
    for (auto& block : blocks_) {
      block.for_each_parameter(function);
    }
    final_norm_.for_each_parameter("ln_f", function);
  }
  /// The same for the tensors that no method trains: all but the matrices of linear layers.
  template <class Function>
  void for_each_plain(const Function& function) {
    embedding_.for_each_parameter(function);
    for (auto& block : blocks_) {
      block.for_each_plain(function);
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

  /// Ranks of the layers that have one.
  [[nodiscard]] std::vector<LayerRank> ranks() const {
    std::vector<LayerRank> result;
    for_each_linear([&](const Layer& layer) {
      const accrete::WeightRank rank = layer.weight().rank();
      if (rank.columns > 0) {
        result.push_back({layer.name(), rank.rank, rank.columns});
      }
    });
    return result;
  }

  /// What the shapes of the layers' tensors follow from.
  [[nodiscard]] LayerShapes shapes() {
    LayerShapes result;
    for_each_linear([&](Layer& layer) {
      layer.weight().visit_shape(
          [&](const char* name, std::int64_t& number) { result[layer.name()][name] = number; });
    });
    return result;
  }
  /// Gives the layers the shapes of another model's shapes(), before its tensors are loaded.
  /// Throws accrete::Error for layers, names or numbers that do not fit this model.
  void set_shapes(const LayerShapes& shapes) {
    std::size_t expected = 0, found = 0;
    for (const auto& [layer, numbers] : shapes) {
      expected += numbers.size();
    }
    for_each_linear([&](Layer& layer) {
      layer.weight().visit_shape([&](const char* name, std::int64_t& number) {
        const auto numbers = shapes.find(layer.name());
        if (numbers == shapes.end() || !numbers->second.contains(name)) {
          throw accrete::ArgumentError("gpt: there is no '" + std::string(name) + "' of " +
                                       layer.name());
        }
        number = numbers->second.at(name);
        ++found;
      });
    });
    if (found != expected) {
      throw accrete::ArgumentError("gpt: " + std::to_string(expected - found) +
                                   " of the shapes belong to no layer of this model");
    }
  }

  /// Scalars in all tensors but the position embedding, as nanoGPT counts; of those trained alone.
  [[nodiscard]] Index parameter_count(bool trained_only = false) {
    Index count = 0;
    for_each_parameter([&](const Tensor& p) {
      if (p.name != "wpe.weight" && (p.is_trained() || !trained_only)) {
        count += p.value.size();
      }
    });
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
  [[nodiscard]] const accrete::AdamWOptions& adamw() const noexcept { return adamw_; }
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }

 private:
  [[nodiscard]] Index norm_parameter_count() const noexcept {
    return (2 * config_.layers + 1) * config_.width * (config_.bias ? 2 : 1);
  }

  void check(std::span<const int> tokens, std::span<const int> targets, Index batch,
             Index length) const;

  GptConfig config_;
  accrete::AdamWOptions adamw_;
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
