// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/view.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Who multiplies matrices, in order of preference. A provider is a struct in a header of its own:
///
///     static constexpr const char* name;  // that explain prints
///     template <class Scalar>
///     static constexpr bool supports;     // operands of this scalar
///     static bool is_usable() noexcept;   // on this processor
///     template <class Scalar, class Result>
///     static bool gemm(Device<Cpu>&, accumulator<Scalar> alpha, const View<const Scalar>& a,
///                      const View<const Scalar>& b, accumulator<Scalar> beta,
///                      const View<Result>& c);
///
/// gemm computes c = alpha a b + beta c, where c is column-major and no size is zero, or
/// returns false, with nothing done, where it cannot.
template <class... Provider>
struct ProviderList {
  /// Of the first that is usable; null where none is.
  static const char* name() noexcept {
    const char* result = nullptr;
    static_cast<void>(((Provider::is_usable() && (result = Provider::name) != nullptr) || ...));
    return result;
  }

  /// c = alpha a b + beta c by the first that can.
  template <class Scalar, class Result>
  static bool
  gemm([[maybe_unused]] Device<Cpu>& device, [[maybe_unused]] accumulator<Scalar> alpha,
       [[maybe_unused]] const View<const Scalar>& a, [[maybe_unused]] const View<const Scalar>& b,
       [[maybe_unused]] accumulator<Scalar> beta, [[maybe_unused]] const View<Result>& c) {
    static_assert((Provider::template supports<Scalar> && ...));
    return ((Provider::is_usable() && Provider::gemm(device, alpha, a, b, beta, c)) || ...);
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
