// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <accrete/backend/view.hpp>

#include <bit>
#include <cstdint>
#include <type_traits>

namespace gpt {

namespace detail {

template <class Scalar>
using BitsOf = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
template <class Scalar>
inline constexpr BitsOf<Scalar> exponent_bits = sizeof(Scalar) == 4
                                                    ? BitsOf<Scalar>{0x7f800000U}
                                                    : static_cast<BitsOf<Scalar>>(0x7ffULL << 52U);

} // namespace detail

/// Neither NaN nor an infinity. The exponent's bits decide: under -ffast-math a compiler may take
/// std::isfinite for always true.
template <class Scalar>
[[nodiscard]] bool is_finite(Scalar value) noexcept {
  constexpr auto mask = detail::exponent_bits<Scalar>;
  return (std::bit_cast<detail::BitsOf<Scalar>>(value) & mask) != mask;
}

template <class Scalar>
[[nodiscard]] bool all_finite(const accrete::View<const Scalar>& view) noexcept {
  for (Index j = 0; j < view.cols; ++j) {
    bool finite = true;
    for (Index i = 0; i < view.rows; ++i) {
      finite = finite && is_finite(view(i, j));
    }
    if (!finite) {
      return false;
    }
  }
  return true;
}

} // namespace gpt
