// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/finite.hpp>
#include <accrete/matrix/basis_change.hpp>
#include <accrete/matrix/singular_values.hpp>
#include <accrete/number_text.hpp>

#include <algorithm>
#include <iosfwd>
#include <limits>
#include <span>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Which singular values a truncation keeps: the smallest rank that meets the larger of the two
/// tolerances, but no more than `max_rank` and no fewer than `min_rank` (or what the shape allows).
struct TruncationOptions {
  /// Most singular values kept.
  Index max_rank = (std::numeric_limits<Index>::max)();
  /// Largest Frobenius norm of the discarded part, as a fraction of the whole's; in [0, 1].
  /// 0 discards only what is zero within rounding.
  double tolerance = 0;
  /// Largest Frobenius norm of the discarded part: sqrt of the sum of its squared singular values.
  double absolute_tolerance = 0;
  /// Fewest columns kept. Where the matrix has a smaller rank they are zero.
  Index min_rank = 0;

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    if (max_rank < 0 || min_rank < 0 || min_rank > max_rank) {
      ACCRETE_THROW ArgumentError(
          "truncate: needs 0 <= min_rank <= max_rank, got min_rank = " + std::to_string(min_rank) +
          ", max_rank = " + std::to_string(max_rank) + "; raise max_rank or lower min_rank");
    }
    if (!detail::is_within(tolerance, 0, 1)) {
      ACCRETE_THROW ArgumentError("truncate: tolerance = " + detail::number_text(tolerance) +
                                  " is a fraction of the Frobenius norm; give a number in [0, 1]");
    }
    if (detail::is_nan(absolute_tolerance) || absolute_tolerance < 0) {
      ACCRETE_THROW ArgumentError(
          "truncate: absolute_tolerance = " + detail::number_text(absolute_tolerance) +
          " is a Frobenius norm; give a number that is not negative");
    }
  }
};

/// What a truncation did.
template <class Scalar>
struct TruncationReport {
  Index rank_before = 0;
  Index rank_after = 0;
  /// Discarded part of the sum of squared singular values, in [0, 1].
  double discarded_energy = 0;
  /// All singular values before the cut, descending.
  SingularValues singular_values;
  /// From the old factors to the new ones; empty for a matrix that had no factors.
  BasisChange<Scalar> basis;
};

/// One line: the ranks and what was discarded.
template <class Traits, class Scalar>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out,
                                             const TruncationReport<Scalar>& report) {
  return out << "TruncationReport: rank " << report.rank_before << " -> " << report.rank_after
             << ", discarded energy " << report.discarded_energy;
}

namespace detail {

struct RankChoice {
  Index rank = 0;
  Index numerical_rank = 0;
  double discarded_energy = 0;
};

/// How many of the descending `values` are kept under `options`. Values at or below
/// `rounding * values.front()` count as zero. The discarded energy is summed from the small end:
/// as the difference of two large sums it would be rounding noise.
inline RankChoice choose_rank(std::span<const double> values, const TruncationOptions& options,
                              double rounding) {
  const auto count = static_cast<Index>(values.size());
  const double largest = count > 0 ? values.front() : 0.0;
  if (largest <= 0) {
    return {(std::min)({options.min_rank, options.max_rank, count}), 0, 0.0};
  }
  const auto energy = [&](Index i) {
    const double ratio = values[static_cast<std::size_t>(i)] / largest;
    return ratio * ratio;
  };
  double total = 0;
  for (Index i = count; i-- > 0;) {
    total += energy(i);
  }

  RankChoice choice;
  choice.numerical_rank = count;
  while (values[static_cast<std::size_t>(choice.numerical_rank - 1)] <= rounding * largest) {
    --choice.numerical_rank;
  }
  const double absolute = options.absolute_tolerance / largest;
  const double allowed =
      (std::max)(options.tolerance * options.tolerance * total, absolute * absolute);
  double discarded = 0;
  for (choice.rank = count; choice.rank > 0; --choice.rank) {
    const double next = discarded + energy(choice.rank - 1);
    const bool wanted = choice.rank > options.max_rank;
    const bool free = choice.rank > choice.numerical_rank || next <= allowed;
    if (choice.rank <= options.min_rank || !(wanted || free)) {
      break;
    }
    discarded = next;
  }
  choice.discarded_energy = discarded / total;
  return choice;
}

} // namespace detail

ACCRETE_END_NAMESPACE
