// SPDX-License-Identifier: MIT
#pragma once

#include "model/parallel.hpp"
#include "model/small_product.hpp"

#include <cmath>

namespace gpt {

/// CausalAttention on the host: one thread a head and sequence.
///
/// Queries are taken in blocks, and a block only meets the keys up to its last query, so that the
/// upper triangle is mostly skipped.
template <class Scalar>
class HostAttention {
 public:
  /// Works in one column of `scratch` a thread.
  HostAttention(const Matrix<Scalar>& qkv, Index heads, Index length, Matrix<Scalar>& scratch)
      : qkv_(qkv), heads_(heads), sizes_(prepare(qkv, heads, length, scratch)), scratch_(scratch) {}

  void forward(Matrix<Scalar>& y, Matrix<Scalar>& log_sum) {
    y.resize(sizes_.width, qkv_.cols());
    log_sum.resize(heads_, qkv_.cols());
    for_each_head([&](const Place& place) {
      for (Index first = 0; first < sizes_.length; first += query_block) {
        forward_block(qkv_, sizes_, place, first, y, log_sum);
      }
    });
  }

  void backward(const Matrix<Scalar>& y, const Matrix<Scalar>& dy, const Matrix<Scalar>& log_sum,
                Matrix<Scalar>& dqkv) {
    dqkv.resize(qkv_.rows(), qkv_.cols());
    for_each_head([&](const Place& place) {
      // The last block meets all keys: it writes their gradients, and the others add to them.
      const Index last = (sizes_.length - 1) / query_block * query_block;
      for (Index first = last; first >= 0; first -= query_block) {
        backward_block(qkv_, y, dy, sizes_, place, first, log_sum, dqkv);
      }
    });
  }

 private:
  static constexpr Index query_block = 64;
  static constexpr Index lanes = 64 / sizeof(Scalar);
  using View = accrete::View<Scalar>;
  using ConstView = accrete::View<const Scalar>;
  using Aligned = Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>, Eigen::AlignedMax>;

  struct Sizes {
    Index width, head, length, padded; // C, C / heads, and the length rounded up to whole vectors
    Scalar scale;
  };
  struct Place {
    Index head, token; // the head, and the first token of the sequence
    Scalar* scratch;
  };

  template <class Function>
  void for_each_head(const Function& function) {
    parallel_for(heads_ * qkv_.cols() / sizes_.length, [&](Index i) {
      function(Place{i % heads_, i / heads_ * sizes_.length, scratch_.col(thread_number()).data()});
    });
  }

  static Index round_up(Index n) { return (n + lanes - 1) / lanes * lanes; }

  static Sizes prepare(const Matrix<Scalar>& qkv, Index heads, Index length,
                       Matrix<Scalar>& scratch) {
    const Index width = qkv.rows() / 3;
    const Index padded = round_up(length);
    const Index needed = 2 * padded * query_block;
    if (scratch.rows() != needed || scratch.cols() < thread_count()) {
      scratch.setZero(needed, thread_count());
    }
    return {width, width / heads, length, padded,
            Scalar(1) / std::sqrt(static_cast<Scalar>(width / heads))};
  }

  /// `count` tokens of part 0 (queries), 1 (keys) or 2 (values) of this head.
  template <class Data>
  static auto part(Data& data, const Sizes& s, const Place& p, Index which, Index first,
                   Index count) {
    return accrete::view_of(data).block(which * s.width + p.head * s.head, p.token + first, s.head,
                                        count);
  }

  static void forward_block(const Matrix<Scalar>& qkv, const Sizes& s, const Place& p, Index first,
                            Matrix<Scalar>& y, Matrix<Scalar>& log_sum) {
    const Index count = std::min(query_block, s.length - first);
    const Index keys = first + count;
    const View scores{p.scratch, keys, count, s.padded, accrete::Order::column_major};
    multiply<Scalar>(1, part(qkv, s, p, 1, 0, keys).transposed(), part(qkv, s, p, 0, first, count),
                     0, scores);
    for (Index q = 0; q < count; ++q) {
      log_sum(p.head, p.token + first + q) =
          softmax(scores.data + q * s.padded, first + q + 1, keys, s.scale);
    }
    multiply<Scalar>(1, part(qkv, s, p, 2, 0, keys), ConstView(scores), Scalar(0),
                     accrete::view_of(y).block(p.head * s.head, p.token + first, s.head, count));
  }

  /// Scores to probabilities for the first `visible` of `keys` entries, zeros after them; returns
  /// the logarithm of the sum of exponentials. Works on whole vectors: the entries up to the next
  /// multiple of the vector length repeat a visible one until they are zeroed.
  static Scalar softmax(Scalar* scores, Index visible, Index keys, Scalar scale) {
    const Index whole = round_up(visible);
    std::fill(scores + visible, scores + whole, scores[0]);
    Aligned column(scores, whole);
    const Scalar largest = column.maxCoeff();
    column = ((column - largest) * scale).exp();
    std::fill(scores + visible, scores + std::max(whole, keys), Scalar(0));
    const Scalar sum = column.sum();
    column *= Scalar(1) / sum;
    return scale * largest + std::log(sum);
  }

  static void backward_block(const Matrix<Scalar>& qkv, const Matrix<Scalar>& y,
                             const Matrix<Scalar>& dy, const Sizes& s, const Place& p, Index first,
                             const Matrix<Scalar>& log_sum, Matrix<Scalar>& dqkv) {
    const Index count = std::min(query_block, s.length - first);
    const Index keys = first + count;
    const Scalar beta = keys == s.length ? Scalar(0) : Scalar(1);
    const View probabilities{p.scratch, keys, count, s.padded, accrete::Order::column_major};
    const View gradients{p.scratch + s.padded * query_block, keys, count, s.padded,
                         accrete::Order::column_major};
    const auto queries = part(qkv, s, p, 0, first, count);
    const auto key = part(qkv, s, p, 1, 0, keys);
    const auto out = accrete::view_of(dy).block(p.head * s.head, p.token + first, s.head, count);
    multiply<Scalar>(1, key.transposed(), queries, 0, probabilities);
    multiply<Scalar>(1, part(qkv, s, p, 2, 0, keys).transposed(), out, 0, gradients);
    for (Index q = 0; q < count; ++q) {
      const Index token = p.token + first + q;
      const auto head = Eigen::seqN(p.head * s.head, s.head);
      const Scalar mean = y.col(token)(head).dot(dy.col(token)(head));
      softmax_backward(probabilities.data + q * s.padded, gradients.data + q * s.padded,
                       first + q + 1, keys, s.scale, log_sum(p.head, token), mean);
    }
    multiply<Scalar>(1, out, ConstView(probabilities).transposed(), beta,
                     part(dqkv, s, p, 2, 0, keys));
    multiply<Scalar>(1, key, ConstView(gradients), Scalar(0), part(dqkv, s, p, 0, first, count));
    multiply<Scalar>(1, queries, ConstView(gradients).transposed(), beta,
                     part(dqkv, s, p, 1, 0, keys));
  }

  /// Scores to probabilities once more, and their gradients to the gradients of the scores.
  static void softmax_backward(Scalar* scores, Scalar* gradients, Index visible, Index keys,
                               Scalar scale, Scalar log_sum, Scalar mean) {
    const Index whole = round_up(visible);
    std::fill(scores + visible, scores + whole, scores[0]);
    Aligned probability(scores, whole);
    Aligned gradient(gradients, whole);
    probability = (probability * scale - log_sum).exp();
    gradient = probability * (gradient - mean) * scale;
    std::fill(scores + visible, scores + std::max(whole, keys), Scalar(0));
    std::fill(gradients + visible, gradients + std::max(whole, keys), Scalar(0));
  }

  const Matrix<Scalar>& qkv_;
  Index heads_;
  Sizes sizes_;
  Matrix<Scalar>& scratch_;
};

} // namespace gpt
