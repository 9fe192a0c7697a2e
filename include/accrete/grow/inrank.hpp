// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/finite.hpp>
#include <accrete/number_text.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// What part of a spectrum the leading values explain.
enum class ExplainedRatio : unsigned char {
  /// Sums of squares, as the paper writes it.
  energy,
  /// Variances over all values of the full matrix, zeros included, as the authors' code computes
  /// it; stricter for flat spectra.
  variance
};

/// Rank policy of InRank (Zhao, Zhang, Chen, Schaefer, Anandkumar: InRank: Incremental Low-Rank
/// Learning, arXiv 2306.11250). The defaults are the authors', for GPT-2 of width 768 to 1280.
struct InRankOptions {
  /// Rank before the first check.
  Index initial_rank = 2;
  /// Trained columns beyond the rank, whose singular values show whether the rank suffices.
  Index buffer = 100;
  /// Explained ratio below which the rank grows; the paper's alpha.
  double threshold = 0.9;
  /// Most columns ever in use, rank and buffer together.
  Index max_rank = 384;
  /// No check up to and including this step.
  std::int64_t warmup = 200;
  /// Steps between checks.
  std::int64_t interval = 25;
  ExplainedRatio reading = ExplainedRatio::energy;

  /// The authors' setting for a rows x cols layer: max_rank half the smaller side, and below width
  /// 768 a buffer in proportion to it.
  [[nodiscard]] static InRankOptions scaled_to(Index rows, Index cols) {
    constexpr Index official_width = 768;
    const Index width = (std::min)(rows, cols);
    InRankOptions options;
    options.max_rank = std::max<Index>(width / 2, 2);
    if (width < official_width) {
      const double share = static_cast<double>(width) / static_cast<double>(official_width);
      const auto buffer = Index{std::lround(100.0 * share)};
      options.buffer = std::clamp<Index>(buffer, 1, options.max_rank - 1);
    }
    options.initial_rank = (std::min)(options.initial_rank, options.max_rank - options.buffer);
    return options;
  }

  /// Throws ArgumentError or RankError when a field is outside its domain.
  void validate() const {
    if (initial_rank < 1 || buffer < 1 || initial_rank > max_rank ||
        buffer > max_rank - initial_rank) {
      ACCRETE_THROW RankError(
          "InRank: initial_rank = " + std::to_string(initial_rank) +
          " and buffer = " + std::to_string(buffer) +
          " must be at least 1 and together at most max_rank = " + std::to_string(max_rank) +
          "; InRankOptions::scaled_to(rows, cols) fits them");
    }
    if (!detail::is_within(threshold, 0, 1) || threshold == 0 || threshold == 1) {
      ACCRETE_THROW ArgumentError("InRank: threshold = " + detail::number_text(threshold) +
                                  " must lie between 0 and 1");
    }
    if (warmup < 0 || interval < 1) {
      ACCRETE_THROW ArgumentError("InRank: warmup = " + std::to_string(warmup) +
                                  ", interval = " + std::to_string(interval) +
                                  "; warmup must not be negative and interval at least 1");
    }
  }
};

/// The part of a spectrum that the `rank` leading values explain; 1 for a zero spectrum.
///
/// energy:   1 - sum of the other values' squares / sum of all squares
/// variance: 1 - var(values with the leading ones set to zero) / var(values), over `total_count`
///           values, of which those not given are zero. Equal values have no variance; the energy
///           is used then. It can be negative.
///
/// `values` are descending; `total_count` is min(m, n) of the matrix and may be left out for the
/// energy. @throws RankError for a rank outside 0...values.size(), ArgumentError for a total_count
/// below the number of values.
[[nodiscard]] inline double explained_ratio(std::span<const double> values, Index rank,
                                            ExplainedRatio reading = ExplainedRatio::energy,
                                            Index total_count = 0) {
  const auto count = static_cast<Index>(values.size());
  if (rank < 0 || rank > count) {
    ACCRETE_THROW RankError("explained_ratio: rank " + std::to_string(rank) + " of " +
                            std::to_string(count) + " singular values");
  }
  if (reading == ExplainedRatio::variance && total_count < count) {
    ACCRETE_THROW ArgumentError("explained_ratio: total_count = " + std::to_string(total_count) +
                                " is below the " + std::to_string(count) +
                                " singular values; give min(rows, cols) of the matrix");
  }
  const double largest = count > 0 ? values.front() : 0.0;
  if (largest <= 0) {
    return 1.0;
  }
  double tail_sum = 0;
  double tail_squares = 0;
  double sum = 0;
  double squares = 0;
  for (Index i = count; i-- > 0;) {
    const double value = values[static_cast<std::size_t>(i)] / largest;
    sum += value;
    squares += value * value;
    if (i == rank) {
      tail_sum = sum;
      tail_squares = squares;
    }
  }
  if (reading == ExplainedRatio::variance) {
    const auto n = static_cast<double>(total_count);
    const double variance = squares - sum * sum / n;
    // Below this the difference is rounding: all values are equal.
    if (variance > 1e-14 * squares) {
      return 1.0 - (tail_squares - tail_sum * tail_sum / n) / variance;
    }
  }
  return 1.0 - tail_squares / squares;
}

/// Decides from the singular values of U Vᵀ when and how far the rank of one layer grows.
///
///     InRankPolicy policy(InRankOptions::scaled_to(m, n), (std::min)(m, n));
///     if (policy.due(step)) {
///       policy.update(singular_values(matrix));
///       grow(matrix, policy.active_columns() - matrix.rank(), init::orthogonal());
///     }
class InRankPolicy {
 public:
  /// `total_count` is min(m, n), which the variance reading needs.
  /// @throws RankError, ArgumentError for options outside their domain.
  explicit InRankPolicy(const InRankOptions& options, Index total_count = 0)
      : options_(options), total_count_(total_count), rank_(options.initial_rank) {
    options_.validate();
    if (options_.reading == ExplainedRatio::variance && total_count < options_.max_rank) {
      ACCRETE_THROW ArgumentError("InRankPolicy: total_count = " + std::to_string(total_count) +
                                  " is below max_rank = " + std::to_string(options_.max_rank) +
                                  "; the variance reading needs min(rows, cols) of the matrix");
    }
  }

  [[nodiscard]] const InRankOptions& options() const noexcept { return options_; }
  /// Columns that the threshold asks for.
  [[nodiscard]] Index rank() const noexcept { return rank_; }
  /// Columns to train: rank and buffer, at most max_rank.
  [[nodiscard]] Index active_columns() const noexcept { return rank_ + options_.buffer; }

  /// A check belongs after this step; steps count from 1.
  [[nodiscard]] bool due(std::int64_t step) const noexcept {
    return step > options_.warmup && step % options_.interval == 0;
  }

  /// Raises the rank until the leading values explain the threshold. It never falls, rises by the
  /// buffer at most, and leaves room for the buffer within max_rank. `singular_values`,
  /// descending, are those of the active columns. Returns the new rank.
  /// @throws NumericError for NaN or infinity; the rank is unchanged.
  Index update(std::span<const double> singular_values) {
    for (const double value : singular_values) {
      if (!detail::is_finite(value)) {
        ACCRETE_THROW NumericError("InRankPolicy::update: a singular value is NaN or infinite; the "
                                   "training has diverged");
      }
    }
    const Index most = (std::min)({rank_ + options_.buffer, options_.max_rank - options_.buffer,
                                   static_cast<Index>(singular_values.size())});
    while (rank_ < most && explained_ratio(singular_values, rank_, options_.reading, total_count_) <
                               options_.threshold) {
      ++rank_;
    }
    return rank_;
  }

  /// Restores the rank of a checkpoint. @throws RankError outside initial_rank...max_rank - buffer.
  void set_rank(Index rank) {
    if (rank < options_.initial_rank || rank > options_.max_rank - options_.buffer) {
      ACCRETE_THROW RankError("InRankPolicy: rank " + std::to_string(rank) + " is outside " +
                              std::to_string(options_.initial_rank) + " to " +
                              std::to_string(options_.max_rank - options_.buffer));
    }
    rank_ = rank;
  }

 private:
  InRankOptions options_;
  Index total_count_;
  Index rank_;
};

ACCRETE_END_NAMESPACE
