// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/truncation.hpp>
#include <accrete/grow/growth.hpp>
#include <accrete/grow/initializers.hpp>

#include <cstdint>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The best approximation of a dense matrix by `rank` columns, split evenly. Columns of singular
/// values that are zero become orthogonal in U and zero in V: in both, they could never move.
template <class Scalar, class Backend>
[[nodiscard]] LowRankMatrix<Scalar, Backend> balanced_factors(const Matrix<Scalar, Backend>& dense,
                                                              Index rank, std::uint64_t seed) {
  auto factors = truncate(lazy(dense), {.max_rank = rank});
  grow(factors, rank - factors.rank(), init::orthogonal(1.0, seed));
  return factors;
}

} // namespace detail

ACCRETE_END_NAMESPACE
