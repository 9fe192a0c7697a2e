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
  /// Who computes the large products of this scalar.
  template <class Scalar>
  static const char* product_provider() noexcept {
    const bool own = detail::GemmProvider<Scalar>::is_native && detail::has_avx512();
    return own ? "avx512" : detail::GemmProvider<Scalar>::name;
  }
};

ACCRETE_END_NAMESPACE
