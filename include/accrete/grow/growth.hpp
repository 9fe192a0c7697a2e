// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grow/initializers.hpp>
#include <accrete/matrix/cumulative_update.hpp>

#include <algorithm>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Adds `count` columns that leave U Vᵀ unchanged: the initializer fills one factor's and zeroes
/// the other's. Moves nothing within the capacity, doubles it otherwise. The matrix is as it was
/// when an exception leaves.
///
///     grow(matrix, 8, init::orthogonal());
///
/// @throws ArgumentError for a negative count, RankError above min(m, n).
template <class Scalar, class Backend, class Initializer>
void grow(LowRankMatrix<Scalar, Backend>& matrix, Index count, const Initializer& initializer) {
  if (count < 0) {
    ACCRETE_THROW ArgumentError("grow: cannot grow by " + std::to_string(count) +
                                " columns; use truncate or set_rank to shrink");
  }
  const Index before = matrix.rank();
  const Index most = (std::min)(matrix.rows(), matrix.cols());
  if (count > most - before) {
    ACCRETE_THROW RankError(
        "grow: rank " + std::to_string(before) + " + " + std::to_string(count) +
        " exceeds min(m, n) of the " + detail::shape_text(matrix.rows(), matrix.cols()) +
        " matrix; grow by at most " + std::to_string(std::max<Index>(most - before, 0)));
  }
  if (before + count > matrix.capacity()) {
    matrix.reserve((std::max)(before + count, (std::min)(2 * matrix.capacity(), most)));
  }
  matrix.set_rank(before + count);
  ACCRETE_TRY {
    initializer(Context<Backend>::current().device(), matrix.u_view(), matrix.v_view(), before);
  }
  ACCRETE_CATCH(...) {
    matrix.set_rank(before);
    ACCRETE_RETHROW;
  }
}

ACCRETE_END_NAMESPACE
