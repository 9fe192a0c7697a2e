// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

// How many directions matter in a spectrum, as real numbers from 1 to the rank; 0 for a zero
// matrix. All three are k for k equal values and zeros, and do not depend on the scale.

namespace detail {

/// The singular values over the largest; empty where all are zero.
inline std::vector<double> relative_values(const char* operation, std::span<const double> values) {
  double largest = 0;
  for (const double value : values) {
    if (!(value >= 0 && std::isfinite(value))) {
      throw ArgumentError(std::string(operation) + ": a singular value is " +
                          std::to_string(value) + "; give finite values that are not negative");
    }
    largest = std::max(largest, value);
  }
  std::vector<double> result;
  if (largest > 0) {
    result.assign(values.begin(), values.end());
    for (double& value : result) {
      value /= largest;
    }
  }
  return result;
}

inline double power_sum(const std::vector<double>& values, int power) {
  double sum = 0;
  for (const double value : values) {
    sum += std::pow(value, power);
  }
  return sum;
}

} // namespace detail

/// exp(-Σ p ln p) with p = σ / Σσ: the effective rank of Roy and Vetterli (EUSIPCO 2007), of the
/// singular values themselves, not of their squares. @throws ArgumentError
[[nodiscard]] inline double entropy_rank(std::span<const double> singular_values) {
  const std::vector<double> values = detail::relative_values("entropy_rank", singular_values);
  if (values.empty()) {
    return 0;
  }
  const double total = detail::power_sum(values, 1);
  double entropy = 0;
  for (const double value : values) {
    const double p = value / total;
    entropy -= p > 0 ? p * std::log(p) : 0.0;
  }
  return std::exp(entropy);
}

/// ‖A‖_F² / ‖A‖₂² = Σσ² / σ₁² (Rudelson and Vershynin, Journal of the ACM 54, 2007).
/// @throws ArgumentError
[[nodiscard]] inline double stable_rank(std::span<const double> singular_values) {
  return detail::power_sum(detail::relative_values("stable_rank", singular_values), 2);
}

/// (Σσ²)² / Σσ⁴: the participation ratio of the energies σ². @throws ArgumentError
[[nodiscard]] inline double participation_rank(std::span<const double> singular_values) {
  const std::vector<double> values = detail::relative_values("participation_rank", singular_values);
  if (values.empty()) {
    return 0;
  }
  const double energy = detail::power_sum(values, 2);
  return energy * energy / detail::power_sum(values, 4);
}

/// The same of a matrix or expression, from its singular values: O((m + n) r²) for one of low rank.
/// @throws NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] double entropy_rank(const Operand& operand) {
  return entropy_rank(std::span<const double>(singular_values(operand)));
}
template <detail::Operand Operand>
[[nodiscard]] double stable_rank(const Operand& operand) {
  return stable_rank(std::span<const double>(singular_values(operand)));
}
template <detail::Operand Operand>
[[nodiscard]] double participation_rank(const Operand& operand) {
  return participation_rank(std::span<const double>(singular_values(operand)));
}

ACCRETE_END_NAMESPACE
