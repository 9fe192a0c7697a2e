// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/cpu.hpp>

#if ACCRETE_HAS_DEFINITIONS
#include <accrete/backend/cpu/bfloat16.hpp>
#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The kernel table of the cpu backend for bfloat16 operands, with results of float or bfloat16.
template <>
struct Bfloat16Kernels<Cpu> {
  template <class Result>
  static void gemm(Device<Cpu>& device, float alpha, View<const bfloat16> a, View<const bfloat16> b,
                   float beta, View<Result> c);
  template <class Result>
  static void gemv(Device<Cpu>& device, float alpha, View<const bfloat16> a, View<const bfloat16> x,
                   float beta, View<Result> y);
  template <class Result>
  static void combine(Device<Cpu>& device, float alpha, View<const bfloat16> a, float beta,
                      View<Result> c);
  template <class Result>
  static void fill(Device<Cpu>& device, Result value, View<Result> c);
  template <class Scalar>
  static const char* product_provider() noexcept;
};

#if ACCRETE_HAS_DEFINITIONS
template <class Result>
void Bfloat16Kernels<Cpu>::gemm(Device<Cpu>& device, float alpha, View<const bfloat16> a,
                                View<const bfloat16> b, float beta, View<Result> c) {
  CpuBfloat16::gemm(device, alpha, a, b, beta, c);
}
template <class Result>
void Bfloat16Kernels<Cpu>::gemv(Device<Cpu>& device, float alpha, View<const bfloat16> a,
                                View<const bfloat16> x, float beta, View<Result> y) {
  CpuBfloat16::gemv(device, alpha, a, x, beta, y);
}
template <class Result>
void Bfloat16Kernels<Cpu>::combine(Device<Cpu>& device, float alpha, View<const bfloat16> a,
                                   float beta, View<Result> c) {
  CpuBfloat16Elementwise::combine(device, alpha, a, beta, c);
}
template <class Result>
void Bfloat16Kernels<Cpu>::fill(Device<Cpu>& device, Result value, View<Result> c) {
  CpuElementwise::fill(device, value, c);
}
template <class Scalar>
const char* Bfloat16Kernels<Cpu>::product_provider() noexcept {
  return CpuBfloat16::product_provider();
}
#endif

} // namespace detail

ACCRETE_END_NAMESPACE
