// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/temporaries.hpp>
#include <accrete/finite.hpp>

#include <cmath>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Frobenius norm, also where squares of the entries leave the range of double. NaN for NaN.
template <class Backend, class Scalar>
double norm_of(Device<Backend>& device, ViewOn<const Scalar, Backend> a) {
  const double squared = Kernels<Backend>::squared_norm(device, a);
  if constexpr (std::is_same_v<Scalar, double>) {
    const bool too_large = !is_finite(squared) && !is_nan(squared);
    // Below, squares of entries that matter are subnormal.
    const bool too_small = squared < 0x1p-900;
    if ((too_large || too_small) && !a.empty()) {
      const double scale = too_large ? 0x1p-540 : 0x1p+540;
      Frame<Backend> frame(device.workspace());
      const auto scaled = temporary<Scalar>(frame, a.rows, a.cols);
      Kernels<Backend>::combine(device, scale, a, 0.0, scaled);
      return std::sqrt(Kernels<Backend>::squared_norm(device, scaled.as_const())) / scale;
    }
  }
  return std::sqrt(squared);
}

} // namespace detail

ACCRETE_END_NAMESPACE
