// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/parallel.hpp>
#include <accrete/backend/view.hpp>
#include <accrete/backend/workspace.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What a caller lends to the factorisations in host memory: scratch memory, threads, and the
/// product c = alpha a b + beta c that they use where they work by blocks.
template <class Scalar>
struct HostTools {
  using Gemm = void (*)(void* owner, Scalar alpha, const View<const Scalar>& a,
                        const View<const Scalar>& b, Scalar beta, const View<Scalar>& c);

  Workspace& workspace;
  int threads;
  Gemm product;
  void* owner; ///< what `product` is given first

  void gemm(Scalar alpha, const View<const Scalar>& a, const View<const Scalar>& b, Scalar beta,
            const View<Scalar>& c) const {
    product(owner, alpha, a, b, beta, c);
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
