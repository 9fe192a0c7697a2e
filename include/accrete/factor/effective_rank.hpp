// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>
#include <accrete/finite.hpp>
#include <accrete/number_text.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

ACCRETE_BEGIN_NAMESPACE

// How many directions matter in a spectrum, as real numbers from 1 to the rank; 0 for a zero
// matrix. All three are k for k equal values and zeros, and do not depend on the scale.

namespace detail {
/// The largest singular value, in units of which the ranks are computed.
inline double largest_value(const char* operation, std::span<const double> values) {
  double largest = 0;
  for (const double value : values) {
    if (!is_finite(value) || value < 0) {
      ACCRETE_THROW ArgumentError(std::string(operation) + ": a singular value is " +
                                  number_text(value) +
                                  "; give finite values that are not negative");
    }
    largest = (std::max)(largest, value);
  }
  return largest;
}

/// Σ (σ / largest)^power
inline double power_sum(std::span<const double> values, double largest, int power) {
  double sum = 0;
  for (const double value : values) {
    sum += std::pow(value / largest, power);
  }
  return sum;
}

} // namespace detail

/// exp(-Σ p ln p) with p = σ / Σσ: the effective rank of Roy and Vetterli (EUSIPCO 2007), of the
/// singular values themselves, not of their squares. @throws ArgumentError
[[nodiscard]] inline double entropy_rank(std::span<const double> singular_values) {
  const double largest = detail::largest_value("entropy_rank", singular_values);
  if (largest == 0) {
    return 0;
  }
  const double total = detail::power_sum(singular_values, largest, 1);
  double entropy = 0;
  for (const double value : singular_values) {
    const double p = value / largest / total;
    entropy -= p > 0 ? p * std::log(p) : 0.0;
  }
  return std::exp(entropy);
}

/// ‖A‖_F² / ‖A‖₂² = Σσ² / σ₁² (Rudelson and Vershynin, Journal of the ACM 54, 2007).
/// @throws ArgumentError
[[nodiscard]] inline double stable_rank(std::span<const double> singular_values) {
  const double largest = detail::largest_value("stable_rank", singular_values);
  return largest > 0 ? detail::power_sum(singular_values, largest, 2) : 0.0;
}

/// (Σσ²)² / Σσ⁴: the participation ratio of the energies σ². @throws ArgumentError
[[nodiscard]] inline double participation_rank(std::span<const double> singular_values) {
  const double largest = detail::largest_value("participation_rank", singular_values);
  if (largest == 0) {
    return 0;
  }
  const double energy = detail::power_sum(singular_values, largest, 2);
  return energy * energy / detail::power_sum(singular_values, largest, 4);
}

namespace detail {

template <class T>
concept PlainVector = !LazyOperand<T> && static_cast<bool>(T::IsVectorAtCompileTime);

/// A vector of numbers is a spectrum already, not a matrix of one column.
template <class Operand>
SingularValues spectrum_of(const Operand& operand) {
  return singular_values(operand);
}
template <PlainVector Vector>
SingularValues spectrum_of(const Vector& values) {
  return values.template cast<double>();
}

} // namespace detail

/// The same of an Eigen vector of singular values, or of a matrix or expression, from its singular
/// values: O((m + n) r²) for one of low rank.
/// @throws NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] double entropy_rank(const Operand& operand) {
  return entropy_rank(std::span<const double>(detail::spectrum_of(operand)));
}
template <detail::Operand Operand>
[[nodiscard]] double stable_rank(const Operand& operand) {
  return stable_rank(std::span<const double>(detail::spectrum_of(operand)));
}
template <detail::Operand Operand>
[[nodiscard]] double participation_rank(const Operand& operand) {
  return participation_rank(std::span<const double>(detail::spectrum_of(operand)));
}

ACCRETE_END_NAMESPACE
