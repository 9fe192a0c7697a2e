// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/kernels.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Products of bfloat16 operands with float sums, by cuBLAS.
template <>
struct Bfloat16Kernels<Cuda> {
  using Source = View<const bfloat16, Cuda>;

  template <class Scalar>
  static const char* product_provider() noexcept {
    return "cuBLAS";
  }
  template <class Result>
  static void gemm(Device<Cuda>& device, float alpha, Source a, Source b, float beta,
                   View<Result, Cuda> c) {
    CudaProducts::gemm<bfloat16, Result>(device, alpha, a, b, beta, c);
  }
  template <class Result>
  static void gemv(Device<Cuda>& device, float alpha, Source a, Source x, float beta,
                   View<Result, Cuda> y) {
    gemm(device, alpha, a, x, beta, y);
  }
  template <class Result>
  static void combine(Device<Cuda>& device, float alpha, Source a, float beta,
                      View<Result, Cuda> c) {
    CudaLaunches<bfloat16>::template combine<Result>(device.stream(), alpha, a, beta, c);
  }
  template <class Result>
  static void fill(Device<Cuda>& device, Result value, View<Result, Cuda> c) {
    CudaLaunches<Result>::fill(device.stream(), value, c);
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
