// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/gelu.hpp"
#include "model/operations/host_attention.hpp"
#include "model/operations/operations.hpp"
#include "model/parallel.hpp"

#include <accrete/backend/cpu/cpu.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

namespace gpt {

template <>
struct Operations<accrete::Cpu> {
  template <class Scalar>
  static void embed(const Matrix<Scalar>& tokens, const Matrix<Scalar>& positions,
                    std::span<const int> ids, Index length, Matrix<Scalar>& x) {
    x.resize(tokens.rows(), static_cast<Index>(ids.size()));
    parallel_for(x.cols(), [&](Index n) {
      x.col(n) = tokens.col(ids[static_cast<std::size_t>(n)]) + positions.col(n % length);
    });
  }

  /// Every thread owns some rows and takes the tokens in their order, so the sums do not depend on
  /// the number of threads.
  template <class Scalar>
  static void embed_gradient(std::span<const int> ids, Index length, const Matrix<Scalar>& dx,
                             Matrix<Scalar>& tokens, Matrix<Scalar>& positions) {
    parallel_pieces(dx.rows(), row_piece, [&](Index first, Index rows) {
      for (Index n = 0; n < dx.cols(); ++n) {
        const auto gradient = dx.col(n).segment(first, rows);
        tokens.col(ids[static_cast<std::size_t>(n)]).segment(first, rows) += gradient;
        positions.col(n % length).segment(first, rows) += gradient;
      }
    });
  }

  template <class Scalar>
  static void normalise(Norm<Scalar, accrete::Cpu>& norm, const Matrix<Scalar>& x,
                        Matrix<Scalar>& y) {
    prepare(norm, x, y);
    parallel_for(x.cols(), [&](Index t) { normalise_token(norm, x, t, y); });
  }
  /// One pass over memory.
  template <class Scalar>
  static void add_and_normalise(Norm<Scalar, accrete::Cpu>& norm, const Matrix<Scalar>& stream,
                                const Matrix<Scalar>& branch, Matrix<Scalar>& x,
                                Matrix<Scalar>& y) {
    x.resize(stream.rows(), stream.cols());
    prepare(norm, x, y);
    parallel_for(x.cols(), [&](Index t) {
      x.col(t) = stream.col(t) + branch.col(t);
      normalise_token(norm, x, t, y);
    });
  }

  template <class Scalar>
  static void normalise_gradient(Norm<Scalar, accrete::Cpu>& norm, const Matrix<Scalar>& x,
                                 const Matrix<Scalar>& dy, bool overwrite, Matrix<Scalar>& dx) {
    const Index width = x.rows();
    const Index pieces = (x.cols() + token_piece - 1) / token_piece;
    norm.partial.setZero((norm.has_bias() ? 2 : 1) * width, pieces);
    if (overwrite) {
      dx.resize(width, x.cols());
    }
    parallel_pieces(x.cols(), token_piece, [&](Index first, Index size) {
      auto sums = norm.partial.col(first / token_piece).array();
      for (Index t = first; t < first + size; ++t) {
        const auto centred = (x.col(t).array() - norm.mean[t]) * norm.inverse_deviation[t];
        const auto scaled = dy.col(t).array() * norm.weight.array();
        const Scalar along_mean = scaled.mean();
        const Scalar along_x = (scaled * centred).mean();
        const auto gradient = (scaled - along_mean - centred * along_x) * norm.inverse_deviation[t];
        if (overwrite) {
          dx.col(t).array() = gradient;
        } else {
          dx.col(t).array() += gradient;
        }
        sums.head(width) += dy.col(t).array() * centred;
        if (norm.has_bias()) {
          sums.tail(width) += dy.col(t).array();
        }
      }
    });
    for (Index i = 0; i < pieces; ++i) {
      norm.weight_gradient += norm.partial.col(i).head(width);
      if (norm.has_bias()) {
        norm.bias_gradient += norm.partial.col(i).tail(width);
      }
    }
  }

  template <class Scalar>
  static void gelu(const Matrix<Scalar>& x, Matrix<Scalar>& y) {
    gelu_forward(x, y);
  }
  template <class Scalar>
  static void gelu_gradient(const Matrix<Scalar>& x, Matrix<Scalar>& gradient) {
    gelu_backward(x, gradient);
  }

  template <class Scalar>
  static void attention(const Matrix<Scalar>& qkv, Index heads, Index length, Matrix<Scalar>& y,
                        Matrix<Scalar>& log_sum, Matrix<Scalar>& scratch) {
    HostAttention<Scalar>(qkv, heads, length, scratch).forward(y, log_sum);
  }
  template <class Scalar>
  static void attention_gradient(const Matrix<Scalar>& qkv, const Matrix<Scalar>& y,
                                 const Matrix<Scalar>& dy, Index heads, Index length,
                                 const Matrix<Scalar>& log_sum, Matrix<Scalar>& dqkv,
                                 Matrix<Scalar>& scratch) {
    HostAttention<Scalar>(qkv, heads, length, scratch).backward(y, dy, log_sum, dqkv);
  }

  /// The sum runs over tokens in their order, in double: it does not depend on the threads.
  template <class Scalar>
  static double cross_entropy(const Matrix<Scalar>& logits, std::span<const int> targets,
                              double smoothing, Matrix<Scalar>& gradient) {
    const Index tokens = logits.cols();
    gradient.resize(logits.rows(), tokens);
    thread_local std::vector<double> losses;
    losses.resize(static_cast<std::size_t>(tokens));
    const Scalar share = Scalar(1) / static_cast<Scalar>(tokens);
    const Scalar on_target = share * static_cast<Scalar>(1 - smoothing);
    const Scalar on_each =
        share * static_cast<Scalar>(smoothing) / static_cast<Scalar>(logits.rows());
    parallel_for(tokens, [&, loss = losses.data()](Index t) {
      const int target = targets[static_cast<std::size_t>(t)];
      const auto scores = logits.col(t).array();
      auto probabilities = gradient.col(t).array();
      const Scalar largest = scores.maxCoeff();
      probabilities = (scores - largest).exp();
      const Scalar sum = probabilities.sum();
      loss[t] = std::log(static_cast<double>(sum)) + static_cast<double>(largest) -
                static_cast<double>(scores[target]);
      probabilities = probabilities * (share / sum) - on_each;
      probabilities[target] -= on_target;
    });
    double total = 0;
    for (const double loss : losses) {
      total += loss;
    }
    return total / static_cast<double>(tokens);
  }

  /// On all threads; the order of the additions depends on the shapes alone.
  template <class Scalar>
  static double squared_norm(std::span<const accrete::View<const Scalar>> matrices) {
    double total = 0;
    std::vector<double> sums;
    for (const accrete::View<const Scalar>& matrix : matrices) {
      if (matrix.empty()) {
        continue;
      }
      const Index piece = std::max<Index>(1, norm_entries / matrix.rows);
      sums.assign(static_cast<std::size_t>((matrix.cols + piece - 1) / piece), 0.0);
      parallel_pieces(matrix.cols, piece, [&](Index first, Index size) {
        thread_local accrete::Device<accrete::Cpu> device;
        sums[static_cast<std::size_t>(first / piece)] =
            accrete::Kernels<accrete::Cpu>::squared_norm(device, matrix.columns(first, size));
      });
      for (const double sum : sums) {
        total += sum;
      }
    }
    return total;
  }

 private:
  static constexpr Index row_piece = 64;
  static constexpr Index token_piece = 64;
  static constexpr Index norm_entries = 1 << 15; // of one piece

  template <class Scalar>
  static void prepare(Norm<Scalar, accrete::Cpu>& norm, const Matrix<Scalar>& x,
                      Matrix<Scalar>& y) {
    y.resize(x.rows(), x.cols());
    norm.mean.resize(x.cols());
    norm.inverse_deviation.resize(x.cols());
  }

  template <class Scalar>
  static void normalise_token(Norm<Scalar, accrete::Cpu>& norm, const Matrix<Scalar>& x, Index t,
                              Matrix<Scalar>& y) {
    const auto column = x.col(t).array();
    const Scalar mean = column.mean();
    const Scalar variance = (column - mean).square().mean();
    const Scalar inverse = Scalar(1) / std::sqrt(variance + norm.epsilon);
    norm.mean[t] = mean;
    norm.inverse_deviation[t] = inverse;
    if (norm.has_bias()) {
      y.col(t).array() = (column - mean) * inverse * norm.weight.array() + norm.bias.array();
    } else {
      y.col(t).array() = (column - mean) * inverse * norm.weight.array();
    }
  }
};

} // namespace gpt
