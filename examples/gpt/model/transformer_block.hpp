// SPDX-License-Identifier: MIT
#pragma once

#include "model/attention.hpp"
#include "model/config.hpp"
#include "model/inrank_config.hpp"
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

  TransformerBlock(const GptConfig& config, const std::string& name, std::uint64_t seed)
      : name_(name),
        norm_1_(config.width, config.bias),
        norm_2_(config.width, config.bias),
        attention_(config.heads),
        attention_in_(name + ".attn.c_attn", initial(config, seed, 3, 1, LayerSet::all, false),
                      config.bias),
        attention_out_(name + ".attn.c_proj", initial(config, seed, 1, 1, LayerSet::all, true),
                       config.bias),
        mlp_in_(name + ".mlp.c_fc", initial(config, seed, 4, 1, LayerSet::mlp, false), config.bias),
        mlp_out_(name + ".mlp.c_proj", initial(config, seed, 1, 4, LayerSet::mlp, true),
                 config.bias) {}

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
    Operations<Backend>::template gelu<Scalar>(hidden_, activated_);
    mlp_out_.forward(activated_, s.branch);
  }

  /// dx: gradient with respect to the block's output, replaced by that of its input.
  void backward(Index length, Storage& dx, Scratch<Scalar, Backend>& s) {
    mlp_out_.backward(activated_, dx, s.hidden);
    Operations<Backend>::template gelu_gradient<Scalar>(hidden_, s.hidden);
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

 private:
  /// A weight of (rows * width) x (cols * width) that is factored if its `set` is. `ends_branch`:
  /// its output goes into the residual stream, whose variance then does not grow with the depth.
  static InitialWeight initial(const GptConfig& config, std::uint64_t seed, Index rows, Index cols,
                               LayerSet set, bool ends_branch) {
    InitialWeight weight;
    weight.rows = rows * config.width;
    weight.cols = cols * config.width;
    weight.seed = seed;
    if (ends_branch) {
      weight.deviation /= std::sqrt(2.0 * static_cast<double>(config.layers));
    }
    if (set == LayerSet::mlp || config.factored_layers == LayerSet::all) {
      weight.kind = config.weights;
      if (is_growing(config.weights)) {
        const auto options = inrank_options(config, weight.rows, weight.cols);
        weight.rank = options.initial_rank;
        weight.columns = options.initial_rank + options.buffer;
      } else {
        weight.rank = weight.columns = config.fixed_rank();
      }
    }
    return weight;
  }

  std::string name_;
  LayerNorm<Scalar, Backend> norm_1_, norm_2_;
  CausalAttention<Scalar, Backend> attention_;
  Linear<Scalar, Backend> attention_in_, attention_out_, mlp_in_, mlp_out_;
  Storage input_, normal_1_, query_key_value_, attended_;
  Storage middle_, normal_2_, hidden_, activated_;
};

} // namespace gpt
