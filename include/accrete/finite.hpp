// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <bit>
#include <cstdint>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

// Tests for NaN and infinity by the bits of the exponent. Under -ffast-math compilers take
// std::isfinite(x) for true and !(x >= 0) for x < 0, so that checks of input written with them
// vanish.
namespace detail {

template <class Scalar>
struct FloatBits {
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>);
  using Bits = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  static constexpr Bits exponent = sizeof(Scalar) == 4 ? 0x7F800000U : 0x7FF0000000000000U;
  static constexpr Bits magnitude = ~Bits{0} >> 1;
};

/// Neither NaN nor infinite.
template <class Scalar>
[[nodiscard]] constexpr bool is_finite(Scalar value) noexcept {
  using Float = FloatBits<Scalar>;
  return (std::bit_cast<typename Float::Bits>(value) & Float::exponent) != Float::exponent;
}

template <class Scalar>
[[nodiscard]] constexpr bool is_nan(Scalar value) noexcept {
  using Float = FloatBits<Scalar>;
  return (std::bit_cast<typename Float::Bits>(value) & Float::magnitude) > Float::exponent;
}

/// low <= value <= high, where false for NaN.
[[nodiscard]] constexpr bool is_within(double value, double low, double high) noexcept {
  return !is_nan(value) && value >= low && value <= high;
}

/// All of the `count` values from `values` on are finite.
template <class Scalar>
[[nodiscard]] bool all_finite(const Scalar* values, Index count) noexcept {
  using Float = FloatBits<Scalar>;
  using Bits = typename Float::Bits;
  constexpr Bits unit = Float::exponent & (~Float::exponent + 1); // of the exponent
  constexpr Index block = 1024; // an early end, and loops without a branch inside
  for (Index first = 0; first < count; first += block) {
    const Index last = first + block < count ? first + block : count;
    Bits carry = 0; // into the sign, from an exponent of ones alone
    ACCRETE_SIMD(reduction(| : carry))
    for (Index i = first; i < last; ++i) {
      carry |= (std::bit_cast<Bits>(values[i]) & Float::exponent) + unit;
    }
    if (carry > Float::magnitude) {
      return false;
    }
  }
  return true;
}

} // namespace detail

ACCRETE_END_NAMESPACE
