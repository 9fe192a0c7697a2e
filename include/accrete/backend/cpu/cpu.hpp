// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/factorizations.hpp>
#include <accrete/backend/cpu/optimizer_kernels.hpp>
#include <accrete/backend/cpu/products.hpp>
#include <accrete/backend/host_random.hpp>
#include <accrete/backend/host_transfer.hpp>

ACCRETE_BEGIN_NAMESPACE

template <>
struct Kernels<Cpu> : detail::CpuProducts,
                      detail::CpuElementwise,
                      detail::CpuFactorizations,
                      detail::CpuOptimizers,
                      detail::HostRandom,
                      detail::HostTransfer {
  /// The library that computes the products of this scalar.
  template <class Scalar>
  static const char* product_provider() noexcept {
    return detail::GemmProvider<Scalar>::name;
  }
};

ACCRETE_END_NAMESPACE
