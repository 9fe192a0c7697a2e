// SPDX-License-Identifier: MIT
#pragma once

#include "model/parallel.hpp"

#include <span>

namespace gpt {

/// Token and position embeddings. The token matrix is also the output head (tied weights), whose
/// products the model computes; here are the lookups and their scatter.
template <class Scalar>
class Embedding {
 public:
  Embedding(Index width, Index vocabulary, Index context)
      : tokens(Matrix<Scalar>::Zero(width, vocabulary)),
        tokens_gradient(tokens),
        positions(Matrix<Scalar>::Zero(width, context)),
        positions_gradient(positions) {}

  /// x(:, n) = tokens(:, ids[n]) + positions(:, n mod length).
  void forward(std::span<const int> ids, Index length, Matrix<Scalar>& x) const {
    x.resize(tokens.rows(), static_cast<Index>(ids.size()));
    parallel_for(x.cols(), [&](Index n) {
      x.col(n) = tokens.col(ids[static_cast<std::size_t>(n)]) + positions.col(n % length);
    });
  }

  /// Adds dx to the columns that were looked up. Every thread owns some rows and takes the tokens
  /// in their order, so the sums do not depend on the number of threads.
  void backward(std::span<const int> ids, Index length, const Matrix<Scalar>& dx) {
    parallel_pieces(dx.rows(), row_piece, [&](Index first, Index rows) {
      for (Index n = 0; n < dx.cols(); ++n) {
        const auto gradient = dx.col(n).segment(first, rows);
        tokens_gradient.col(ids[static_cast<std::size_t>(n)]).segment(first, rows) += gradient;
        positions_gradient.col(n % length).segment(first, rows) += gradient;
      }
    });
  }

  Matrix<Scalar> tokens, tokens_gradient;       // C x V
  Matrix<Scalar> positions, positions_gradient; // C x context

 private:
  static constexpr Index row_piece = 64;
};

} // namespace gpt
