// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>

#include <span>

ACCRETE_BEGIN_NAMESPACE

/// c = alpha a b + beta c, one of several products of any shapes.
template <class Scalar, class Space>
struct GroupedProduct {
  Scalar alpha;
  View<const Scalar, Space> a;
  View<const Scalar, Space> b;
  Scalar beta;
  View<Scalar, Space> c;
};

namespace detail {

/// Products that do not depend on each other: in one call where the backend's table has
/// gemm_grouped, as devices do, whose calls cost microseconds; otherwise one after the other.
template <class Backend, class Scalar>
void multiply_grouped(Device<Backend>& device,
                      std::span<const GroupedProduct<Scalar, typename Backend::Space>> products) {
  if constexpr (requires { Kernels<Backend>::gemm_grouped(device, products); }) {
    Kernels<Backend>::gemm_grouped(device, products);
  } else {
    for (const auto& p : products) {
      Kernels<Backend>::gemm(device, p.alpha, p.a, p.b, p.beta, p.c);
    }
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
