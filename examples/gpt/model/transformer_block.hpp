// SPDX-License-Identifier: MIT
#pragma once

#include "model/attention.hpp"
#include "model/config.hpp"
#include "model/layer_norm.hpp"
#include "model/linear.hpp"
#include "model/parameter.hpp"

#include <cmath>
#include <string>

namespace gpt {

/// Buffers that all layers use in turn.
template <class Scalar, class Backend>
struct Scratch {
  using Storage = Matrix<Scalar, Backend>;
  Storage branch;                  // C x N: what a block adds to the residual stream, not yet added
  Storage narrow;                  // C x N: gradient inside a branch
  Storage attention_input, hidden; // 3C x N and 4C x N: gradients
  Storage attention;               // as CausalAttention wants it
};

/// x + attention(norm(x)), then x + mlp(norm(x)): a block of GPT-2, pre-norm.
template <class Scalar, class Backend>
class TransformerBlock {
 public:
  using Storage = Matrix<Scalar, Backend>;

  /// Block number `layer` of the model.
  TransformerBlock(const GptConfig& config, Index layer, std::uint64_t seed,
                   const accrete::AdamWOptions& adamw)
      : name_("h." + std::to_string(layer)),
        norm_1_(config.width, config.bias),
        norm_2_(config.width, config.bias),
        attention_(config.heads),
        attention_in_(linear(config, layer, seed, adamw, ".attn.c_attn", 3, 1, false)),
        attention_out_(linear(config, layer, seed, adamw, ".attn.c_proj", 1, 1, true)),
        mlp_in_(linear(config, layer, seed, adamw, ".mlp.c_fc", 4, 1, false)),
        mlp_out_(linear(config, layer, seed, adamw, ".mlp.c_proj", 1, 4, true)) {}

  /// Connects layers whose methods take the outputs of the block before.
  void follow(TransformerBlock& previous) {
    attention_in_.follow(previous.attention_in_);
    attention_out_.follow(previous.attention_out_);
    mlp_in_.follow(previous.mlp_in_);
    mlp_out_.follow(previous.mlp_out_);
  }

  /// Where the embedding writes the input of the first block.
  [[nodiscard]] Storage& input() noexcept { return input_; }
  /// The residual stream before the block's second branch, which forward leaves in the scratch.
  [[nodiscard]] const Storage& stream() const noexcept { return middle_; }

  /// Takes input() as it is.
  void enter() { norm_1_.forward(input_, normal_1_); }
  /// input() = stream + branch of the block before.
  void enter(const Storage& stream, const Storage& branch) {
    norm_1_.forward(stream, branch, input_, normal_1_);
  }

  void forward(Index length, Scratch<Scalar, Backend>& s) {
    attention_in_.forward(normal_1_, query_key_value_);
    attention_.forward(query_key_value_, length, attended_, s.attention);
    attention_out_.forward(attended_, s.branch);

    norm_2_.forward(input_, s.branch, middle_, normal_2_);
    mlp_in_.forward(normal_2_, hidden_);
    if (!mlp_in_.weight().replaces_activation()) {
      Operations<Backend>::template gelu<Scalar>(hidden_, activated_);
    }
    mlp_out_.forward(activated(), s.branch);
  }

  /// dx: gradient with respect to the block's output, replaced by that of its input.
  void backward(Index length, Storage& dx, Scratch<Scalar, Backend>& s) {
    mlp_out_.backward(activated(), dx, s.hidden);
    if (!mlp_in_.weight().replaces_activation()) {
      Operations<Backend>::template gelu_gradient<Scalar>(hidden_, s.hidden);
    }
    mlp_in_.backward(normal_2_, s.hidden, s.narrow);
    norm_2_.backward(middle_, s.narrow, dx);

    attention_out_.backward(attended_, dx, s.narrow);
    attention_.backward(query_key_value_, attended_, s.narrow, length, s.attention_input,
                        s.attention);
    attention_in_.backward(normal_1_, s.attention_input, s.narrow);
    norm_1_.backward(input_, s.narrow, dx);
  }

  /// In the order of the parameters.
  template <class Function>
  void for_each_linear(const Function& function) {
    function(attention_in_);
    function(attention_out_);
    function(mlp_in_);
    function(mlp_out_);
  }
  template <class Function>
  void for_each_linear(const Function& function) const {
    function(attention_in_);
    function(attention_out_);
    function(mlp_in_);
    function(mlp_out_);
  }

  template <class Function>
  void for_each_parameter(const Function& function) {
    norm_1_.for_each_parameter(name_ + ".ln_1", function);
    attention_in_.for_each_parameter(function);
    attention_out_.for_each_parameter(function);
    norm_2_.for_each_parameter(name_ + ".ln_2", function);
    mlp_in_.for_each_parameter(function);
    mlp_out_.for_each_parameter(function);
  }
  /// The parameters that no method trains.
  template <class Function>
  void for_each_plain(const Function& function) {
    norm_1_.for_each_parameter(name_ + ".ln_1", function);
    attention_in_.for_each_plain(function);
    attention_out_.for_each_plain(function);
    norm_2_.for_each_parameter(name_ + ".ln_2", function);
    mlp_in_.for_each_plain(function);
    mlp_out_.for_each_plain(function);
  }

 private:
  using Layer = Linear<Scalar, Backend>;

  /// A layer of (rows * width) x (cols * width). `ends_branch`: its output goes into the residual
  /// stream, whose variance then does not grow with the depth.
  static Layer linear(const GptConfig& config, Index layer, std::uint64_t seed,
                      const accrete::AdamWOptions& adamw, const std::string& name, Index rows,
                      Index cols, bool ends_branch) {
    const std::string full_name = "h." + std::to_string(layer) + name;
    accrete::WeightPlace place;
    place.rows = rows * config.width;
    place.cols = cols * config.width;
    place.seed = tensor_seed(seed, full_name + ".weight");
    place.layer = layer;
    place.layers = config.layers;
    if (ends_branch) {
      place.deviation /= std::sqrt(2.0 * static_cast<double>(config.layers));
    }
    const bool is_mlp = name.rfind(".mlp", 0) == 0;
    const bool has_method =
        has_layers(config, is_mlp ? accrete::LayerSet::mlp : accrete::LayerSet::attention);
    return Layer(full_name,
                 has_method ? new_weight<Scalar, Backend>(config.method, config.method_settings,
                                                          place, adamw)
                            : new_weight<Scalar, Backend>("full", {}, place, adamw),
                 config.bias);
  }

  /// Input of mlp_out_.
  [[nodiscard]] const Storage& activated() const {
    return mlp_in_.weight().replaces_activation() ? hidden_ : activated_;
  }

  std::string name_;
  LayerNorm<Scalar, Backend> norm_1_, norm_2_;
  CausalAttention<Scalar, Backend> attention_;
  Linear<Scalar, Backend> attention_in_, attention_out_, mlp_in_, mlp_out_;
  Storage input_, normal_1_, query_key_value_, attended_;
  Storage middle_, normal_2_, hidden_, activated_;
};

} // namespace gpt
