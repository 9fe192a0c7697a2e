// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/cholesky_qr.hpp>
#include <accrete/plan/assign.hpp>

#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// a = Q R: Q m x k with orthonormal columns, R k x k upper triangular.
template <class Scalar, class Backend = Cpu>
struct ThinQr {
  Matrix<Scalar, Backend> Q;
  Matrix<Scalar, Backend> R;
};

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
  detail::Frame<Backend> frame(context.device().workspace());
  const auto a = detail::temporary<Scalar>(frame, node.rows(), node.cols());
  detail::evaluate_into(context, node, Scalar{1}, Scalar{0}, a, false);
  detail::thin_qr_into<Backend, Scalar>(context.device(), a, view_of(result.Q), view_of(result.R),
                                        method);
  return result;
}

ACCRETE_END_NAMESPACE
