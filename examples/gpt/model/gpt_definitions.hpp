// SPDX-License-Identifier: MIT
#pragma once

#include "model/gpt.hpp"

#include <algorithm>

namespace gpt {
namespace detail {

inline const GptConfig& validated(const GptConfig& config) {
  config.validate();
  return config;
}

} // namespace detail

template <class Scalar, class Backend>
Gpt<Scalar, Backend>::Gpt(const GptConfig& config, std::uint64_t seed,
                          const accrete::AdamWOptions& adamw)
    : config_(detail::validated(config)),
      adamw_(adamw),
      seed_(seed),
      embedding_(config.width, config.vocabulary, config.context),
      final_norm_(config.width, config.bias) {
  using Kernels = accrete::Kernels<Backend>;
  auto& device = current_device<Backend>();
  Kernels::fill_normal(device, tensor_seed(seed, "wte"), 0.02, accrete::view_of(embedding_.tokens));
  Kernels::fill_normal(device, tensor_seed(seed, "wpe"), 0.02,
                       accrete::view_of(embedding_.positions));
  blocks_.reserve(static_cast<std::size_t>(config.layers));
  for (Index i = 0; i < config.layers; ++i) {
    blocks_.emplace_back(config_, i, seed, adamw_);
    if (i > 0) {
      blocks_[static_cast<std::size_t>(i)].follow(blocks_[static_cast<std::size_t>(i - 1)]);
    }
  }
}

template <class Scalar, class Backend>
double Gpt<Scalar, Backend>::forward(std::span<const int> tokens, std::span<const int> targets,
                                     Index batch, Index length) {
  check(tokens, targets, batch, length);
  length_ = length;
  tokens_.assign(tokens.begin(), tokens.end());
  embedding_.forward(tokens_, length, blocks_.front().input());
  blocks_.front().enter();
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (i > 0) {
      blocks_[i].enter(blocks_[i - 1].stream(), scratch_.branch);
    }
    blocks_[i].forward(length, scratch_);
  }
  final_norm_.forward(blocks_.back().stream(), scratch_.branch, output_, normal_);
  accrete::noalias(logits_) = accrete::transpose(embedding_.tokens) * normal_;
  has_loss_ = !targets.empty();
  return has_loss_
             ? cross_entropy_.forward(logits_, targets, logits_gradient_, config_.label_smoothing)
             : 0.0;
}

template <class Scalar, class Backend>
void Gpt<Scalar, Backend>::backward() {
  if (!has_loss_) {
    throw accrete::ArgumentError("gpt: backward() needs a forward() with targets before it");
  }
  accrete::noalias(embedding_.tokens_gradient) += normal_ * accrete::transpose(logits_gradient_);
  accrete::noalias(scratch_.narrow) = accrete::lazy(embedding_.tokens) * logits_gradient_;
  final_norm_.backward(output_, scratch_.narrow, gradient_, true);
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
    block->backward(length_, gradient_, scratch_);
  }
  embedding_.backward(tokens_, length_, gradient_);
  has_loss_ = false;
}

template <class Scalar, class Backend>
void Gpt<Scalar, Backend>::check(std::span<const int> tokens, std::span<const int> targets,
                                 Index batch, Index length) const {
  const auto require = [](bool holds, const char* text) {
    if (!holds) {
      throw accrete::ArgumentError(std::string("gpt: ") + text);
    }
  };
  require(batch > 0 && length > 0 && length <= config_.context,
          "forward needs batch > 0 and 0 < length <= context");
  require(static_cast<Index>(tokens.size()) == batch * length,
          "forward needs batch * length tokens");
  require(targets.empty() || targets.size() == tokens.size(),
          "forward needs as many targets as tokens, or none");
  const auto known = [&](int token) { return token >= 0 && token < config_.vocabulary; };
  require(std::all_of(tokens.begin(), tokens.end(), known), "a token is outside the vocabulary");
  require(std::all_of(targets.begin(), targets.end(), known), "a target is outside the vocabulary");
}

} // namespace gpt
