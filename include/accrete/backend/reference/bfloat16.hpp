// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/reference/reference.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Loops over bfloat16 operands with float sums.
template <>
struct Bfloat16Kernels<Reference> {
  template <class Scalar>
  static const char* product_provider() noexcept {
    return "loops";
  }

  template <class Result>
  static void gemm(Device<Reference>&, float alpha, View<const bfloat16> a, View<const bfloat16> b,
                   float beta, View<Result> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        float sum = 0;
        for (Index k = 0; k < a.cols; ++k) {
          sum += static_cast<float>(a(i, k)) * static_cast<float>(b(k, j));
        }
        set(alpha * sum, beta, c(i, j));
      }
    }
  }

  template <class Result>
  static void gemv(Device<Reference>& device, float alpha, View<const bfloat16> a,
                   View<const bfloat16> x, float beta, View<Result> y) {
    gemm(device, alpha, a, x, beta, y);
  }

  template <class Result>
  static void combine(Device<Reference>&, float alpha, View<const bfloat16> a, float beta,
                      View<Result> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        set(alpha * static_cast<float>(a(i, j)), beta, c(i, j));
      }
    }
  }

  template <class Result>
  static void fill(Device<Reference>& device, Result value, View<Result> c) {
    ReferenceArithmetic::fill(device, value, c);
  }

 private:
  template <class Result>
  static void set(float value, float beta, Result& target) {
    target = static_cast<Result>(beta == 0 ? value : value + beta * static_cast<float>(target));
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
