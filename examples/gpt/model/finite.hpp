// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <accrete/backend/view.hpp>
#include <accrete/finite.hpp>

namespace gpt {

using accrete::detail::is_finite;

/// Neither NaN nor infinities, under -ffast-math as well.
template <class Scalar>
[[nodiscard]] bool all_finite(const accrete::View<const Scalar>& view) noexcept {
  for (Index j = 0; j < view.cols; ++j) {
    if (!accrete::detail::all_finite(view.data + j * view.stride, view.rows)) {
      return false;
    }
  }
  return true;
}

} // namespace gpt
