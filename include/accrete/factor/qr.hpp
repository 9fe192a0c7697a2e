// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/cholesky_qr.hpp>
#include <accrete/plan/evaluate.hpp>

#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// a = Q R: Q m x k with orthonormal columns, R k x k upper triangular.
template <class Scalar, class Backend = Cpu>
struct ThinQr {
  Matrix<Scalar, Backend> Q;
  Matrix<Scalar, Backend> R;
};

enum class QrMethod : unsigned char {
  automatic,   ///< whichever is faster for the shape
  householder, ///< reflections: orthonormal whatever the operand
  cholesky     ///< CholeskyQR2; reflections where the operand is too ill conditioned for it
};

namespace detail {

/// a = q r with orthonormal q in place of a.
/// @throws ShapeError when a has more columns than rows, NumericError on NaN or infinity.
template <class Backend, class Scalar>
void orthonormalise(Device<Backend>& device, View<Scalar> a_to_q, View<Scalar> r, QrMethod method) {
  check_thin_qr(a_to_q, r);
  if (method == QrMethod::householder || a_to_q.cols == 0 ||
      (method == QrMethod::automatic && !cholesky_is_faster(a_to_q)) ||
      !cholesky_qr(device, a_to_q, r)) {
    Kernels<Backend>::thin_qr(device, a_to_q, r);
  }
}

} // namespace detail

/// Thin QR of an m x k matrix or expression, m >= k. Q is orthonormal to rounding also where the
/// operand is rank deficient, whatever the method; the signs of R's diagonal are not determined.
/// O(m k²).
/// @throws ShapeError when m < k, NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] auto thin_qr(const Operand& operand, QrMethod method = QrMethod::automatic) {
  const auto node = detail::lift(operand);
  using Node = std::remove_cvref_t<decltype(node)>;
  using Scalar = typename Node::Scalar;
  using Backend = detail::backend_of<Node>;
  auto& context = Context<Backend>::current();
  ThinQr<Scalar, Backend> result;
  result.Q = Matrix<Scalar, Backend>(node.rows(), node.cols());
  result.R = Matrix<Scalar, Backend>(node.cols(), node.cols());
  detail::evaluate_into(context, node, Scalar{1}, Scalar{0}, view_of(result.Q), false);
  detail::orthonormalise<Backend>(context.device(), view_of(result.Q), view_of(result.R), method);
  return result;
}

ACCRETE_END_NAMESPACE
