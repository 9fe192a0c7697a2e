// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>

ACCRETE_BEGIN_NAMESPACE

// Small dense problems in host memory and in double, whatever the backend and its scalar. Scratch
// memory is this thread's host_workspace(): no heap traffic once it is warm.
namespace detail {

/// c = alpha a b + beta c, beta = 0 without reading c; any order of each. For matrices that fit a
/// cache.
ACCRETE_COMPILED_INLINE void small_product(double alpha, View<const double> a, View<const double> b,
                                           double beta, View<double> c);

/// a = u diag(values) vᵀ, thin, as the kernel svd.
/// @throws ShapeError, NumericError on NaN or infinity.
ACCRETE_COMPILED_INLINE void small_svd(int threads, const View<const double>& a,
                                       const View<double>& u, const View<double>& values,
                                       const View<double>& v);

} // namespace detail

ACCRETE_END_NAMESPACE

#if ACCRETE_HAS_DEFINITIONS
#include <accrete/backend/host/small_dense_loops.hpp>
#endif
