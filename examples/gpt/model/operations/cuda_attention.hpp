// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/cuda_launches.hpp"
#include "model/storage.hpp"

#include <accrete/backend/cuda/kernels.hpp>

#include <algorithm>
#include <cmath>

namespace gpt {

/// CausalAttention on a GPU, through batched products: a block of queries of all heads and
/// sequences at a time, against the keys up to its last query.
template <class Scalar>
class CudaAttention {
 public:
  using Storage = Matrix<Scalar, accrete::Cuda>;

  /// Works in `scratch`: a column for each head and sequence, of two blocks of scores.
  CudaAttention(const Storage& qkv, Index heads, Index length, Storage& scratch)
      : device_(current_device<accrete::Cuda>()),
        qkv_(qkv.view()),
        heads_(heads),
        length_(length),
        width_(qkv.rows() / 3),
        batch_(qkv.cols() / length),
        block_(std::min(query_block, length)),
        scale_(Scalar(1) / std::sqrt(static_cast<Scalar>(width_ / heads))) {
    const Index entries = block_ * length;
    set_shape(scratch, 2 * entries, heads * batch_);
    scores_ = scratch.view().block(0, 0, entries, heads * batch_);
    gradients_ = scratch.view().block(entries, 0, entries, heads * batch_);
  }

  void forward(Storage& y, Storage& log_sum) {
    set_shape(y, width_, qkv_.cols);
    set_shape(log_sum, heads_, qkv_.cols);
    for (Index first = 0; first < length_; first += block_) {
      const QueryBlock block = block_from(first);
      multiply(scores_of_queries(block), Scalar(0), scores(scores_, block));
      Launches::softmax(device_.stream(), block, scale_, scores_, log_sum);
      multiply({part(qkv_, 2, 0, block.keys()), transposed(scores(scores_, block))}, Scalar(0),
               part(y.view(), 0, first, block.count));
    }
  }

  void backward(const Storage& y, const Storage& dy, const Storage& log_sum, Storage& dqkv) {
    set_shape(dqkv, qkv_.rows, qkv_.cols);
    accrete::detail::Frame<accrete::Cuda> frame(device_.workspace());
    const Target means = frame.template matrix<Scalar>(heads_, qkv_.cols);
    Launches::head_means(device_.stream(), y, dy, means);
    // The last block meets all keys: it writes their gradients, and the others add to them.
    for (Index first = (length_ - 1) / block_ * block_; first >= 0; first -= block_) {
      const QueryBlock block = block_from(first);
      const auto out = part(dy.view(), 0, first, block.count);
      multiply(scores_of_queries(block), Scalar(0), scores(scores_, block));
      multiply({transposed(out), part(qkv_, 2, 0, block.keys())}, Scalar(0),
               scores(gradients_, block));
      Launches::softmax_gradient(device_.stream(), block, scale_, log_sum, means, scores_,
                                 gradients_);
      backward_products(block, out, dqkv.view());
    }
  }

 private:
  using Launches = ModelLaunches<Scalar>;
  using Target = accrete::View<Scalar, accrete::Cuda>;
  using Source = accrete::View<const Scalar, accrete::Cuda>;

  static constexpr Index query_block = 128;

  /// A matrix of each head of each sequence: the very first, and the entries to the next.
  template <class Entry>
  struct OfHeads {
    accrete::View<Entry, accrete::Cuda> first;
    Index head_step, sequence_step;

    // NOLINTNEXTLINE(google-explicit-constructor): as View
    operator OfHeads<const Entry>() const { return {first, head_step, sequence_step}; }
  };
  template <class Entry>
  static OfHeads<Entry> transposed(const OfHeads<Entry>& m) {
    return {m.first.transposed(), m.head_step, m.sequence_step};
  }
  struct Factors {
    OfHeads<const Scalar> left, right;
  };

  [[nodiscard]] QueryBlock block_from(Index first) const {
    return {heads_, length_, block_, first, std::min(block_, length_ - first)};
  }

  /// `count` tokens of part 0 (queries), 1 (keys) or 2 (values).
  template <class Entry>
  OfHeads<Entry> part(const accrete::View<Entry, accrete::Cuda>& data, Index which, Index first,
                      Index count) const {
    const Index head = width_ / heads_;
    return {data.block(which * width_, first, head, count), head, length_ * data.stride};
  }
  /// Queries x keys.
  OfHeads<Scalar> scores(const Target& of, const QueryBlock& block) const {
    const Target first{of.data, block.count, block.keys(), block.stride,
                       accrete::Order::column_major};
    return {first, of.stride, heads_ * of.stride};
  }
  Factors scores_of_queries(const QueryBlock& block) const {
    return {transposed(part(qkv_, 0, block.first, block.count)), part(qkv_, 1, 0, block.keys())};
  }

  /// Values, queries and keys, from the probabilities and the gradients of the scores.
  void backward_products(const QueryBlock& block, const OfHeads<const Scalar>& out,
                         const Target& dqkv) {
    const Scalar beta = block.keys() == length_ ? Scalar(0) : Scalar(1);
    const auto queries = part(qkv_, 0, block.first, block.count);
    const auto keys = part(qkv_, 1, 0, block.keys());
    const auto gradients = scores(gradients_, block);
    multiply({out, scores(scores_, block)}, beta, part(dqkv, 2, 0, block.keys()));
    multiply({keys, transposed(gradients)}, Scalar(0), part(dqkv, 0, block.first, block.count));
    multiply({queries, gradients}, beta, part(dqkv, 1, 0, block.keys()));
  }

  /// result = left right + beta result for each head of each sequence, in as few calls as steps
  /// that are all alike allow.
  void multiply(const Factors& factors, Scalar beta, const OfHeads<Scalar>& result) {
    const bool over_sequences = batch_ >= heads_;
    for (Index i = 0; i < std::min(batch_, heads_); ++i) {
      const auto batch = [&]<class Entry>(const OfHeads<Entry>& of) {
        const Index outer = over_sequences ? of.head_step : of.sequence_step;
        accrete::View<Entry, accrete::Cuda> first = of.first;
        first.data += i * outer;
        return accrete::detail::CudaBatch<Entry>{first,
                                                 over_sequences ? of.sequence_step : of.head_step};
      };
      accrete::detail::CudaProducts::batched_gemm<Scalar>(device_, Scalar(1), batch(factors.left),
                                                          batch(factors.right), beta, batch(result),
                                                          std::max(batch_, heads_));
    }
  }

  accrete::Device<accrete::Cuda>& device_;
  Source qkv_;
  Index heads_, length_, width_, batch_, block_;
  Scalar scale_;
  Target scores_, gradients_;
};

} // namespace gpt
