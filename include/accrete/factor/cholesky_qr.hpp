// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/factor_space.hpp>

#include <Eigen/Cholesky>

#include <cmath>
#include <limits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class Scalar>
using HostMatrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

/// The power of two that brings entries of this Frobenius norm to about 1, or 0 where there is
/// none: zero, not finite, or too close to the ends of the range.
template <class Scalar>
Scalar scale_of_entries(double squared_norm, Index count) {
  if (!(squared_norm >= std::numeric_limits<double>::min() &&
        squared_norm <= std::numeric_limits<double>::max())) {
    return Scalar{0};
  }
  return unit_scale(static_cast<Scalar>(std::sqrt(squared_norm / static_cast<double>(count))));
}

/// One pass of Cholesky QR: rᵀr = qᵀq, then q <- q r⁻¹. False, and q unchanged, where qᵀq is not
/// positive definite to rounding, or departs from I by more than `limit` in the Frobenius norm.
template <class Backend, class Scalar>
bool cholesky_pass(Device<Backend>& device, View<Scalar> q, double limit, View<Scalar> r) {
  multiply<Backend, Scalar>(device, View<const Scalar>(q).transposed(), q, r);
  HostMatrix<Scalar> host(q.cols, q.cols);
  Kernels<Backend>::download(device, View<const Scalar>(r), host.data());
  HostMatrix<double> gram = host.template cast<double>();
  if (!((gram - HostMatrix<double>::Identity(q.cols, q.cols)).norm() <= limit)) {
    return false;
  }
  const Eigen::LLT<Eigen::Ref<HostMatrix<double>>> cholesky(gram);
  if (cholesky.info() != Eigen::Success || !gram.diagonal().allFinite()) {
    return false;
  }
  host.setZero();
  host.template triangularView<Eigen::Upper>() = gram.transpose().template cast<Scalar>();
  Kernels<Backend>::upload(device, host.data(), r);
  Kernels<Backend>::triangular_solve(device, r, q);
  return true;
}

/// CholeskyQR2 (Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, Electronic Transactions on Numerical
/// Analysis 44, 2015): Q as orthonormal as that of Householder reflections wherever the first pass
/// leaves QᵀQ near I, which is measured. False, and nothing written, where it does not: the
/// condition number of the columns, each scaled to length 1, is then near 1 / sqrt(epsilon) or
/// above.
template <class Backend, class Scalar>
bool cholesky_qr(Device<Backend>& device, View<Scalar> a_to_q, View<Scalar> r) {
  const Index k = a_to_q.cols;
  const Scalar scale = scale_of_entries<Scalar>(
      Kernels<Backend>::squared_norm(device, View<const Scalar>(a_to_q)), a_to_q.size());
  if (scale == Scalar{0}) {
    return false;
  }
  Frame<Backend> frame(device.workspace());
  const auto q = temporary<Scalar>(frame, a_to_q.rows, k);
  const auto first = temporary<Scalar>(frame, k, k);
  const auto second = temporary<Scalar>(frame, k, k);
  Kernels<Backend>::combine(device, scale, View<const Scalar>(a_to_q), Scalar{0}, q);
  // Within 1/2 of the identity, the second pass errs by a small multiple of epsilon.
  if (!cholesky_pass(device, q, std::numeric_limits<double>::infinity(), first) ||
      !cholesky_pass(device, q, 0.5, second)) {
    return false;
  }
  Kernels<Backend>::gemm(device, Scalar{1} / scale, View<const Scalar>(second),
                         View<const Scalar>(first), Scalar{0}, r);
  Kernels<Backend>::combine(device, Scalar{1}, View<const Scalar>(q), Scalar{0}, a_to_q);
  return true;
}

/// Measured by benchmarks/thin_qr on the cpu backend, float and double: from here on CholeskyQR2
/// takes 0.25 to 0.8 of the time of reflections; for nearly square or small operands it is slower
/// or hardly faster. Where it is refused, the attempt has cost a third of their time.
template <class Scalar>
bool cholesky_is_faster(const View<Scalar>& a) {
  return a.rows >= 3 * a.cols && a.size() >= (Index{1} << 14);
}

} // namespace detail

ACCRETE_END_NAMESPACE
