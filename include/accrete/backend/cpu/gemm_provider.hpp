// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/cpu/elementwise.hpp>
#include <accrete/backend/cpu/gemm_eigen.hpp>
#include <accrete/backend/cpu/onednn_gemm.hpp>

#if !defined(ACCRETE_USE_ONEDNN) && defined(ACCRETE_USE_BLAS)
#include <cblas.h>

#include <algorithm>
#include <limits>
#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Where the products of the cpu backend come from; fixed when the program is compiled.
template <class Scalar>
struct GemmProvider {
#if defined(ACCRETE_USE_ONEDNN)
  static constexpr bool is_native = !std::is_same_v<Scalar, float>;
  static constexpr const char* name = is_native ? "eigen" : "onednn";
#elif defined(ACCRETE_USE_BLAS)
  static constexpr bool is_native = false;
  static constexpr const char* name = "blas";
#else
  static constexpr bool is_native = true;
  static constexpr const char* name = "eigen";
#endif
};

/// c = alpha a b + beta c with c column-major, through an external library; by Eigen where a size
/// or a leading dimension is beyond the integers of a BLAS.
template <class Scalar>
void provider_gemm([[maybe_unused]] Device<Cpu>& device, [[maybe_unused]] Scalar alpha,
                   [[maybe_unused]] View<const Scalar> a, [[maybe_unused]] View<const Scalar> b,
                   [[maybe_unused]] Scalar beta, [[maybe_unused]] View<Scalar> c) {
#if defined(ACCRETE_USE_ONEDNN)
  if constexpr (!GemmProvider<Scalar>::is_native) {
    onednn_gemm(device, alpha, a, b, beta, c);
  }
#elif defined(ACCRETE_USE_BLAS)
  constexpr Index most = (std::numeric_limits<int>::max)();
  if ((std::max)({c.rows, c.cols, a.cols, a.stride, b.stride, c.stride}) > most) {
    if (beta == Scalar{0}) {
      CpuElementwise::fill(device, Scalar{0}, c);
    } else {
      CpuElementwise::combine(device, beta, View<const Scalar>(c), Scalar{0}, c);
    }
    return eigen_gemm(device, alpha, a, b, c);
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
#endif
}

} // namespace detail

ACCRETE_END_NAMESPACE
