// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/host.hpp"

namespace gpt {

/// Causal multi-head attention without parameters: softmax(K^T Q / sqrt(d)) applied to V.
///
/// No probabilities are kept: backward computes them again from one number a query and head (as
/// FlashAttention does: Dao et al. 2022), which costs one product in six and saves
/// batch * heads * length^2 scalars a layer.
template <class Scalar, class Backend = accrete::Cpu>
class CausalAttention {
 public:
  using Storage = Matrix<Scalar, Backend>;

  explicit CausalAttention(Index heads) : heads_(heads) {}

  /// qkv 3C x N with queries, keys and values one above the other, N = batch * length; y C x N.
  /// `scratch` may be shared by all layers.
  void forward(const Storage& qkv, Index length, Storage& y, Storage& scratch) {
    Operations<Backend>::template attention<Scalar>(qkv, heads_, length, y, log_sum_, scratch);
  }

  /// y and dy as in forward; dqkv receives the gradient with respect to qkv.
  void backward(const Storage& qkv, const Storage& y, const Storage& dy, Index length,
                Storage& dqkv, Storage& scratch) const {
    Operations<Backend>::template attention_gradient<Scalar>(qkv, y, dy, heads_, length, log_sum_,
                                                             dqkv, scratch);
  }

 private:
  Index heads_;
  Storage log_sum_; // heads x N
};

} // namespace gpt
