// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/cholesky_qr.hpp>
#include <accrete/factor/lazy_basis.hpp>
#include <accrete/factor/significant_split.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Splits a block with no more columns than rows and returns the directions, in the caller's frame.
/// Two passes of Gram-Schmidt: the second acts on directions that are nearly orthonormal, so that
/// those of small residuals come out orthogonal to the basis as well. O(m (r b + b²)), and nothing
/// that the host has to wait for but whether the residual's columns are independent.
template <class Backend, class Scalar, class Frame>
ViewOn<const Scalar, Backend>
orthogonal_split(Device<Backend>& device, Frame& frame, LazyBasis<Scalar, Backend>& basis,
                 ViewOn<const Scalar, Backend> block,
                 const SplitCoefficients<Scalar, typename Backend::Space>& small) {
  ViewOn<Scalar, Backend> directions = temporary<Scalar>(frame, block.rows, block.cols);
  copy_into<Backend, Scalar>(device, block, directions);
  basis.project(device, directions, small.coefficients);
  const CholeskyQr<Scalar, Backend> qr(device, frame, directions.as_const());
  if (qr.usable()) {
    const ViewOn<const Scalar, Backend> residual = directions;
    directions = temporary<Scalar>(frame, block.rows, block.cols);
    multiply<Backend, Scalar>(device, residual, qr.r_inverse, directions);
    copy_into<Backend, Scalar>(device, qr.r, small.r);
  } else {
    Kernels<Backend>::thin_qr(device, directions, small.r);
  }
  const auto correction = temporary<Scalar>(frame, basis.cols(), block.cols);
  basis.project(device, directions, correction);
  if (!correction.empty()) {
    Kernels<Backend>::gemm(device, Scalar{1}, correction.as_const(), small.r.as_const(), Scalar{1},
                           small.coefficients);
  }
  multiply<Backend, Scalar>(device, directions.as_const().transposed(), directions, small.gram);
  return directions;
}

} // namespace detail

ACCRETE_END_NAMESPACE
