// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/gemm.hpp>
#include <accrete/backend/host/cholesky_qr.hpp>
#include <accrete/backend/host/factorizations.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The factorisations in host memory with this backend's products.
template <class Scalar>
HostTools<Scalar> tools_of(Device<Cpu>& device) {
  const auto product = [](void* owner, Scalar alpha, const View<const Scalar>& a,
                          const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
    CpuProducts::gemm(*static_cast<Device<Cpu>*>(owner), alpha, a, b, beta, c);
  };
  return {device.workspace(), device.threads(), product, &device};
}

} // namespace detail

ACCRETE_END_NAMESPACE
