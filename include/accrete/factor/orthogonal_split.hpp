// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/cholesky_qr.hpp>
#include <accrete/factor/lazy_basis.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// sqrt of a sum of squares that neither overflows nor underflows on the way.
template <class Scalar>
double safe_norm(const Scalar* values, Index count) {
  return Eigen::Map<const Eigen::Matrix<Scalar, Eigen::Dynamic, 1>>(values, count)
      .template cast<double>()
      .stableNorm();
}

/// block = basis * coefficients + directions * rest, up to `dropped` in the Frobenius norm;
/// directions are orthonormal and orthogonal to the basis. All in the caller's frame.
template <class Scalar>
struct OrthogonalSplit {
  View<Scalar> coefficients;
  View<Scalar> directions;
  View<Scalar> rest;
  double norm = 0;
  double dropped = 0;
};

/// The parts of one split while it is made, in two Gram-Schmidt passes. Between them an SVD of the
/// residual's triangle drops the directions that are rounding noise, and the second pass acts on
/// normalised directions, so that small residuals come out orthogonal as well.
template <class Backend, class Scalar, class Frame>
class Orthogonalization {
 public:
  Orthogonalization(Device<Backend>& device, Frame& frame, BasisView<Scalar> basis,
                    View<const Scalar> block)
      : device_(device), frame_(frame), basis_(basis), block_(block) {}

  OrthogonalSplit<Scalar> run() {
    parts_.coefficients = temporary<Scalar>(frame_, basis_.cols(), block_.cols);
    residual_ = temporary<Scalar>(frame_, block_.rows, block_.cols);
    copy_into<Backend, Scalar>(device_, block_, residual_);
    project(parts_.coefficients, residual_);
    factorize_residual();
    const Index kept = significant();
    parts_.directions = temporary<Scalar>(frame_, block_.rows, kept);
    parts_.rest = temporary<Scalar>(frame_, kept, block_.cols);
    if (kept > 0) {
      second_pass(kept);
    }
    return parts_;
  }

 private:
  using K = Kernels<Backend>;

  /// coefficients = basisᵀ target; target -= basis coefficients
  void project(View<Scalar> coefficients, View<Scalar> target) {
    if (basis_.cols() == 0) {
      return;
    }
    View<Scalar> stored = coefficients;
    if (basis_.rotation.data != nullptr) {
      stored = temporary<Scalar>(frame_, basis_.stored.cols, target.cols);
    }
    multiply<Backend, Scalar>(device_, basis_.stored.transposed(), target, stored);
    if (basis_.rotation.data != nullptr) {
      multiply<Backend, Scalar>(device_, basis_.rotation.transposed(), stored, coefficients);
      multiply<Backend, Scalar>(device_, basis_.rotation, coefficients, stored);
    }
    K::gemm(device_, Scalar{-1}, basis_.stored, View<const Scalar>(stored), Scalar{1}, target);
  }

  /// residual = (residual * expander_) triangle_; without expander_ the residual became
  /// orthonormal.
  void factorize_residual() {
    const CholeskyQr<Scalar> qr(device_, frame_, View<const Scalar>(residual_));
    triangle_ = qr.r;
    if (qr.usable()) {
      expander_ = qr.r_inverse;
    } else {
      K::thin_qr(device_, residual_, triangle_);
    }
  }

  /// How many directions of the residual are more than noise; fills left_, norm and dropped.
  Index significant() {
    const Index rank = basis_.cols();
    const Index count = block_.cols;
    left_ = temporary<Scalar>(frame_, count, count);
    const auto right = temporary<Scalar>(frame_, count, count);
    const auto values = temporary<Scalar>(frame_, count, 1);
    K::svd(device_, View<const Scalar>(triangle_), left_, values, right);
    Workspace::Frame host_frame(host_workspace());
    Scalar* host = host_frame.allocate<Scalar>(rank * count + count);
    K::download(device_, View<const Scalar>(values), host);
    K::download(device_, View<const Scalar>(parts_.coefficients), host + count);
    parts_.norm = std::hypot(safe_norm(host, count), safe_norm(host + count, rank * count));
    const double noise = 8 * std::sqrt(static_cast<double>(count + rank)) *
                         static_cast<double>(std::numeric_limits<Scalar>::epsilon()) * parts_.norm;
    Index kept = (std::min)(count, block_.rows - rank);
    while (kept > 0 && !(static_cast<double>(host[kept - 1]) > noise)) {
      --kept;
    }
    parts_.dropped = safe_norm(host + kept, count - kept);
    return kept;
  }

  void second_pass(Index kept) {
    const Index count = block_.cols;
    const auto leading = View<const Scalar>(left_).left_columns(kept);
    View<const Scalar> turn = leading;
    if (expander_.data != nullptr) {
      const auto product = temporary<Scalar>(frame_, count, kept);
      multiply<Backend, Scalar>(device_, expander_, leading, product);
      turn = product;
    }
    multiply<Backend, Scalar>(device_, residual_, turn, parts_.directions);
    const auto scaled = temporary<Scalar>(frame_, kept, count); // diag(values) rightᵀ
    multiply<Backend, Scalar>(device_, leading.transposed(), triangle_, scaled);
    const auto inside = temporary<Scalar>(frame_, basis_.cols(), kept);
    project(inside, parts_.directions);
    const View<const Scalar> outside = orthonormalize();
    multiply<Backend, Scalar>(device_, outside, scaled, parts_.rest);
    if (basis_.cols() > 0) {
      K::gemm(device_, Scalar{1}, View<const Scalar>(inside), View<const Scalar>(scaled), Scalar{1},
              parts_.coefficients);
    }
  }

  /// The directions become orthonormal; returns the triangle that they were multiplied by.
  View<const Scalar> orthonormalize() {
    const CholeskyQr<Scalar> qr(device_, frame_, View<const Scalar>(parts_.directions));
    if (!qr.accurate()) {
      K::thin_qr(device_, parts_.directions, qr.r);
      return qr.r;
    }
    const auto skewed = View<const Scalar>(parts_.directions);
    parts_.directions = temporary<Scalar>(frame_, skewed.rows, skewed.cols);
    multiply<Backend, Scalar>(device_, skewed, qr.r_inverse, parts_.directions);
    return qr.r;
  }

  Device<Backend>& device_;
  Frame& frame_;
  BasisView<Scalar> basis_;
  View<const Scalar> block_;
  OrthogonalSplit<Scalar> parts_;
  View<Scalar> residual_;
  View<Scalar> triangle_;
  View<Scalar> expander_;
  View<Scalar> left_;
};

/// Splits a block with no more columns than rows. O(m (r b + b²)).
template <class Backend, class Scalar, class Frame>
OrthogonalSplit<Scalar> orthogonal_split(Device<Backend>& device, Frame& frame,
                                         BasisView<Scalar> basis, View<const Scalar> block) {
  return Orthogonalization<Backend, Scalar, Frame>(device, frame, basis, block).run();
}

} // namespace detail

ACCRETE_END_NAMESPACE
