// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grow/inrank.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <span>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// A value that answers, for descending singular values, how many of them are to be kept.
template <class Policy>
concept RankPolicy = requires(const Policy& policy, std::span<const double> values) {
  { policy(values) } -> std::convertible_to<Index>;
};

namespace detail {

/// @throws NumericError for NaN or infinity, ArgumentError unless the values descend to no less
/// than 0.
inline void check_spectrum(const char* operation, std::span<const double> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    if (!is_finite(value)) {
      ACCRETE_THROW NumericError(std::string(operation) + ": singular value " + std::to_string(i) +
                                 " is NaN or infinite; the training has diverged");
    }
    if (value < 0 || (i > 0 && value > values[i - 1])) {
      ACCRETE_THROW ArgumentError(
          std::string(operation) + ": singular value " + std::to_string(i) + " = " +
          number_text(value) +
          "; they must descend and not be negative, as singular_values() returns "
          "them");
    }
  }
}

inline double require_fraction(const char* policy, const char* name, double value) {
  if (!is_within(value, 0, 1)) {
    ACCRETE_THROW ArgumentError(std::string("rank_by::") + policy + ": " + name + " = " +
                                number_text(value) + " must lie in [0, 1]");
  }
  return value;
}

inline Index require_rank(const char* policy, Index rank) {
  if (rank < 0) {
    ACCRETE_THROW RankError(std::string("rank_by::") + policy + ": rank " + std::to_string(rank) +
                            " must not be negative");
  }
  return rank;
}

/// How many of the descending values hold `keep`, which may not hold again after it failed.
template <class Keep>
Index count_leading(std::span<const double> values, const Keep& keep) {
  std::size_t count = 0;
  while (count < values.size() && keep(values[count])) {
    ++count;
  }
  return static_cast<Index>(count);
}

} // namespace detail

/// Rank policies: small values, called with the descending singular values of a matrix. Each
/// returns a rank between 0 and the number of values, 0 for a zero spectrum unless it says
/// otherwise, and does not depend on the unit of the values.
///
///     const Index rank = rank_by::tail_norm(0.1)(singular_values(W.low_rank()));
///     W.truncate({.max_rank = rank});
///
/// They throw NumericError for NaN or infinity and ArgumentError for values that do not descend;
/// the factories throw ArgumentError or RankError for parameters outside their domain.
namespace rank_by {

class Fixed {
 public:
  explicit Fixed(Index rank) : rank_(detail::require_rank("fixed", rank)) {}
  [[nodiscard]] Index operator()(std::span<const double> values) const {
    detail::check_spectrum("rank_by::fixed", values);
    return (std::min)(rank_, static_cast<Index>(values.size()));
  }

 private:
  Index rank_;
};

/// The given rank, or all values where there are fewer, zeros included.
[[nodiscard]] inline Fixed fixed(Index rank) { return Fixed(rank); }

class Explained {
 public:
  Explained(double threshold, ExplainedRatio reading, Index total_count)
      : threshold_(detail::require_fraction("explained", "threshold", threshold)),
        reading_(reading),
        total_count_(total_count) {}
  [[nodiscard]] Index operator()(std::span<const double> values) const {
    detail::check_spectrum("rank_by::explained", values);
    const auto count = static_cast<Index>(values.size());
    Index rank = 0;
    while (rank < count && explained_ratio(values, rank, reading_, total_count_) < threshold_) {
      ++rank;
    }
    return rank;
  }

 private:
  double threshold_;
  ExplainedRatio reading_;
  Index total_count_;
};

/// The least rank whose explained_ratio() reaches `threshold` (InRank: Zhao et al., arXiv
/// 2306.11250). The energy reading is tail_norm(sqrt(1 - threshold)). The variance reading, the one
/// that the authors' code computes, asks for more where values are alike, and needs `total_count` =
/// min(m, n). O(k²) for k values.
[[nodiscard]] inline Explained explained(double threshold,
                                         ExplainedRatio reading = ExplainedRatio::energy,
                                         Index total_count = 0) {
  return {threshold, reading, total_count};
}

class TailNorm {
 public:
  explicit TailNorm(double tolerance)
      : tolerance_(detail::require_fraction("tail_norm", "tolerance", tolerance)) {}
  [[nodiscard]] Index operator()(std::span<const double> values) const {
    detail::check_spectrum("rank_by::tail_norm", values);
    const double largest = values.empty() ? 0 : values.front();
    if (largest == 0) {
      return 0;
    }
    double total = 0;
    for (std::size_t i = values.size(); i-- > 0;) {
      total += square(values[i] / largest);
    }
    double tail = 0;
    std::size_t rank = values.size();
    while (rank > 0 && (tail += square(values[rank - 1] / largest)) <= square(tolerance_) * total) {
      --rank;
    }
    return static_cast<Index>(rank);
  }

 private:
  static double square(double x) { return x * x; }
  double tolerance_;
};

/// The least rank r with ‖(σ_{r+1}, …)‖₂ <= tolerance ‖σ‖₂: the relative Frobenius error of the
/// truncation is at most `tolerance` (DLRT: Schotthöfer et al., NeurIPS 2022, their θ).
/// AdaRankGrad (Refael et al., ICLR 2025) bounds the squares: ‖tail‖² <= η ‖σ‖² is tolerance √η.
///
/// Trap: the tail includes the last value. The DLRT authors' code leaves it out and so keeps less
/// than it promises. Of AdaRankGrad's condition it is the least r that is wanted; it holds for all
/// larger ones too.
[[nodiscard]] inline TailNorm tail_norm(double tolerance) { return TailNorm(tolerance); }

class RelativeThreshold {
 public:
  explicit RelativeThreshold(double threshold)
      : threshold_(detail::require_fraction("relative_threshold", "threshold", threshold)) {}
  [[nodiscard]] Index operator()(std::span<const double> values) const {
    detail::check_spectrum("rank_by::relative_threshold", values);
    const double bound = values.empty() ? 0 : threshold_ * values.front();
    return detail::count_leading(values, [=](double x) { return x > 0 && x >= bound; });
  }

 private:
  double threshold_;
};

/// Counts the values σ_i >= threshold σ_1, and never zeros (OIALR, arXiv 2401.08505: β between 0.1
/// and 0.2).
///
/// Trap: one dominating value makes all others small, and the rank falls to 1 however much energy
/// they hold. The authors bound it from below by 1 % of the width and by half the rank of before:
/// see bounded().
[[nodiscard]] inline RelativeThreshold relative_threshold(double threshold) {
  return RelativeThreshold(threshold);
}

class NormalizedThreshold {
 public:
  explicit NormalizedThreshold(double threshold)
      : threshold_(detail::require_fraction("normalized_threshold", "threshold", threshold)) {}
  [[nodiscard]] Index operator()(std::span<const double> values) const {
    detail::check_spectrum("rank_by::normalized_threshold", values);
    if (values.empty() || values.front() == 0) {
      return 0;
    }
    const double low = values.back() / values.front();
    const double bound = threshold_ * (1 - low);
    return detail::count_leading(
        values, [&](double x) { return x > 0 && x / values.front() - low >= bound; });
  }

 private:
  double threshold_;
};

/// Counts the values with (σ_i - σ_min) / (σ_max - σ_min) >= threshold, and never zeros; all of
/// equal values (WeLore: Jaiswal et al., ICML 2025).
///
/// Trap: the smallest value goes at any threshold above 0, so the answer depends on how many values
/// are given. Give all min(m, n), those of the zero part of a low-rank matrix too.
[[nodiscard]] inline NormalizedThreshold normalized_threshold(double threshold) {
  return NormalizedThreshold(threshold);
}

template <RankPolicy Policy>
class Bounded {
 public:
  Bounded(const Policy& policy, Index least, Index most)
      : policy_(policy), least_(detail::require_rank("bounded", least)), most_(most) {
    if (most < least) {
      ACCRETE_THROW RankError("rank_by::bounded: least = " + std::to_string(least) +
                              " exceeds most = " + std::to_string(most));
    }
  }
  [[nodiscard]] Index operator()(std::span<const double> values) const {
    const Index rank = std::clamp(static_cast<Index>(policy_(values)), least_, most_);
    return (std::min)(rank, static_cast<Index>(values.size()));
  }

 private:
  Policy policy_;
  Index least_;
  Index most_;
};

/// The policy's answer, but at least `least` and at most `most`; never more than there are values.
template <RankPolicy Policy>
[[nodiscard]] Bounded<Policy> bounded(const Policy& policy, Index least, Index most) {
  return {policy, least, most};
}

} // namespace rank_by

ACCRETE_END_NAMESPACE
