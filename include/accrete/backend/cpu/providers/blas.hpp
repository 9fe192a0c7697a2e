// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/view.hpp>

#if defined(ACCRETE_USE_BLAS)
#include <cblas.h>

#include <algorithm>
#include <limits>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Any CBLAS.
struct BlasGemm {
  static constexpr const char* name = "blas";
  template <class Scalar>
  static constexpr bool supports = sizeof(Scalar) >= sizeof(float);
  static constexpr bool is_usable() noexcept { return true; }

  /// False where a size or a leading dimension is beyond its integers.
  template <class Scalar>
  static bool gemm(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
    constexpr Index most = (std::numeric_limits<int>::max)();
    if ((std::max)({c.rows, c.cols, a.cols, a.stride, b.stride, c.stride}) > most) {
      return false;
    }
    const OpenmpThreads threads(device.threads());
    const auto flag = [](const View<const Scalar>& v) {
      return v.is_column_major() ? CblasNoTrans : CblasTrans;
    };
    const auto narrow = [](Index value) { return static_cast<int>(value); };
    const auto call = [&](auto gemm) {
      gemm(CblasColMajor, flag(a), flag(b), narrow(c.rows), narrow(c.cols), narrow(a.cols), alpha,
           a.data, narrow(a.stride), b.data, narrow(b.stride), beta, c.data, narrow(c.stride));
    };
    if constexpr (std::is_same_v<Scalar, float>) {
      call(cblas_sgemm);
    } else {
      call(cblas_dgemm);
    }
    return true;
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE

#endif
