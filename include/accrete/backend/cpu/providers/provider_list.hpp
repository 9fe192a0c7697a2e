// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/view.hpp>

#include <array>
#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Who multiplies matrices, in order of preference. A provider is a struct in a header of its own:
///
///     static constexpr const char* name;  // that explain prints
///     static constexpr bool adds_up;      // takes several products; otherwise count is 1
///     template <class Scalar>
///     static constexpr bool supports;     // operands of this scalar
///     static bool is_usable() noexcept;   // on this processor
///     template <class Scalar, class Result>
///     static bool gemm(Device<Cpu>&, accumulator<Scalar> alpha, const MatrixProduct<Scalar>*,
///                      int count, accumulator<Scalar> beta, const View<Result>& c);
///
/// gemm computes c = alpha (a b + ...) + beta c, where c is column-major and no size is zero, or
/// returns false, with nothing done, where it cannot.
template <class... Provider>
struct ProviderList {
  /// Of the first that is usable; null where none is.
  static const char* name() noexcept {
    const char* result = nullptr;
    static_cast<void>(((Provider::is_usable() && (result = Provider::name) != nullptr) || ...));
    return result;
  }

  /// The first that is usable adds products up before it stores them.
  static bool adds_up() noexcept {
    bool result = false;
    static_cast<void>(((Provider::is_usable() && (result = Provider::adds_up, true)) || ...));
    return result;
  }

  /// c = alpha a b + beta c by the first that can.
  template <class Scalar, class Result>
  static bool gemm([[maybe_unused]] Device<Cpu>& device, [[maybe_unused]] accumulator<Scalar> alpha,
                   const View<const Scalar>& a, const View<const Scalar>& b,
                   [[maybe_unused]] accumulator<Scalar> beta,
                   [[maybe_unused]] const View<Result>& c) {
    static_assert((Provider::template supports<Scalar> && ...));
    [[maybe_unused]] const MatrixProduct<Scalar> product{a, b};
    return ((Provider::is_usable() && Provider::gemm(device, alpha, &product, 1, beta, c)) || ...);
  }

  /// c = alpha (a b + ...) + beta c for at most most_products, c in either order; inner sizes may
  /// be zero. False, and nothing done, where nobody adds up or nothing is summed.
  template <class Scalar, class Result>
  static bool gemm_sum([[maybe_unused]] Device<Cpu>& device,
                       [[maybe_unused]] accumulator<Scalar> alpha,
                       const MatrixProduct<Scalar>* products, int count,
                       [[maybe_unused]] accumulator<Scalar> beta, const View<Result>& c) {
    std::array<MatrixProduct<Scalar>, most_products> terms;
    int used = 0;
    for (int i = 0; i < count; ++i) {
      if (products[i].left.cols > 0) {
        terms[static_cast<std::size_t>(used++)] =
            c.is_column_major() ? products[i] : products[i].transposed();
      }
    }
    if (used == 0 || c.empty()) {
      return false;
    }
    [[maybe_unused]] const View<Result> target = c.is_column_major() ? c : c.transposed();
    return ((Provider::adds_up && Provider::is_usable() &&
             Provider::gemm(device, alpha, terms.data(), used, beta, target)) ||
            ...);
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
