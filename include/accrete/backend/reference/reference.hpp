// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/cholesky_qr.hpp>
#include <accrete/backend/host/random.hpp>
#include <accrete/backend/host/transfer.hpp>
#include <accrete/backend/reference/column_kernels.hpp>
#include <accrete/backend/reference/factorizations.hpp>
#include <accrete/backend/reference/optimizer_kernels.hpp>
#include <accrete/backend/reference/products.hpp>
#include <accrete/backend/workspace.hpp>

ACCRETE_BEGIN_NAMESPACE

template <>
class Device<Reference> {
 public:
  [[nodiscard]] Workspace& workspace() noexcept { return workspace_; }
  [[nodiscard]] int threads() const noexcept { return 1; }
  /// The reference backend always runs on one thread.
  void set_threads(int) noexcept {}

 private:
  Workspace workspace_;
};

template <>
struct Kernels<Reference> : detail::ReferenceArithmetic,
                            detail::ReferenceColumns,
                            detail::ReferenceFactorizations,
                            detail::ReferenceOptimizers,
                            detail::HostRandom,
                            detail::HostTransfer {
  template <class Scalar>
  static double cholesky_qr(Device<Reference>& device, View<const Scalar> a, View<Scalar> r,
                            View<Scalar> r_inverse) {
    return detail::HostCholeskyQr<Kernels, Device<Reference>, Scalar>(device, a).run(r, r_inverse);
  }
  template <class Scalar>
  static const char* product_provider() noexcept {
    return "loops";
  }
};

ACCRETE_END_NAMESPACE
