// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/launches.hpp>
#include <accrete/backend/cuda/products.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// sums += the sums of a's rows, sums m x 1: pieces of the columns at once, then the pieces.
template <class Scalar>
void cuda_add_row_sums(Device<Cuda>& device, const View<const Scalar, Cuda>& a,
                       const View<Scalar, Cuda>& sums) {
  if (a.empty()) {
    return;
  }
  constexpr Index piece = 64;
  Frame<Cuda> frame(device.workspace());
  const auto partial = frame.matrix<Scalar>(a.rows, (a.cols + piece - 1) / piece);
  CudaLaunches<Scalar>::partial_row_sums(device.stream(), a, piece, partial);
  CudaLaunches<Scalar>::add_columns(device.stream(), partial, sums);
}

} // namespace detail

ACCRETE_END_NAMESPACE
