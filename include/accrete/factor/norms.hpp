// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/scaled_norm.hpp>
#include <accrete/factor/svd.hpp>

#include <string>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// ‖u vᵀ‖_F = ‖Ru Rvᵀ‖_F of the triangles of both factors.
template <class Backend, class Scalar>
double norm_of_product(Device<Backend>& device, ViewOn<const Scalar, Backend> u,
                       ViewOn<const Scalar, Backend> v) {
  check_factors(device, "frobenius_norm", u, v);
  if (u.empty() || v.empty()) {
    return 0;
  }
  Frame<Backend> frame(device.workspace());
  const ViewOn<const Scalar, Backend> left = orthogonal_factor(device, frame, u).r;
  const ViewOn<const Scalar, Backend> right = orthogonal_factor(device, frame, v).r;
  const auto core = temporary<Scalar>(frame, left.rows, right.rows);
  multiply<Backend, Scalar>(device, left, right.transposed(), core);
  return norm_of<Backend>(device, core.as_const());
}

} // namespace detail

/// sqrt of the sum of squares of a matrix or expression. A low-rank operand U Vᵀ is not formed:
/// O((m + n) r²) through QR of its factors. Where terms nearly cancel the error is a multiple of
/// ε ‖U‖ ‖V‖; through Gram matrices it would be one of √ε ‖U‖ ‖V‖.
/// @throws NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] double frobenius_norm(const Operand& operand) {
  using Backend = detail::backend_of_operand<Operand>;
  return detail::with_operand(
      operand, [](auto& device, auto u, auto v) { return detail::norm_of_product(device, u, v); },
      [](auto& device, auto a) {
        if (!Kernels<Backend>::all_finite(device, a)) {
          detail::throw_not_finite("frobenius_norm", a.rows, a.cols);
        }
        return detail::norm_of<Backend>(device, a);
      });
}

/// The largest singular value; 0 for an empty matrix. Cost as of singular_values(), O((m + n) r²)
/// for a low-rank operand. @throws NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] double spectral_norm(const Operand& operand) {
  const SingularValues values = singular_values(operand);
  return values.size() == 0 ? 0.0 : values[0];
}

/// The sum of the singular values (trace norm). Cost as of singular_values(), O((m + n) r²) for a
/// low-rank operand. @throws NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] double nuclear_norm(const Operand& operand) {
  double sum = 0;
  for (const double value : singular_values(operand)) {
    sum += value;
  }
  return sum;
}

/// The Frobenius inner product <A, B> = tr(AᵀB), accumulated in double. One of the two has low
/// rank r, A = U Vᵀ: <A, B> = <U, B V> costs one product of the other with r columns, O((m + n) r²)
/// where that has low rank too, and forms neither.
/// @throws ShapeError
template <detail::Operand Left, detail::Operand Right>
  requires detail::LowRankOperand<Left> || detail::LowRankOperand<Right>
[[nodiscard]] double inner_product(const Left& left, const Right& right) {
  if constexpr (!detail::LowRankOperand<Left>) {
    return inner_product(right, left);
  } else {
    const auto other = detail::lift(right);
    const auto node = detail::lift(left);
    detail::check_scalars<decltype(node), decltype(other)>();
    if (node.rows() != other.rows() || node.cols() != other.cols()) {
      detail::throw_shape_error("inner_product", node.rows(), node.cols(), other.rows(),
                                other.cols(), "both operands must have the same shape");
    }
    using Backend = detail::backend_of_operand<Left>;
    using Scalar = detail::scalar_of_operand<Left>;
    return detail::with_low_rank(left, [&](auto& device, auto u, auto v) {
      if (u.empty() || v.empty()) {
        return 0.0;
      }
      detail::Frame<Backend> frame(device.workspace());
      const auto image = detail::temporary<Scalar>(frame, u.rows, u.cols);
      detail::evaluate_into(Context<Backend>::current(),
                            detail::product(other, detail::factor_leaf<Scalar, Backend>(v)),
                            Scalar{1}, Scalar{0}, image, false);
      return Kernels<Backend>::dot(device, u, image.as_const());
    });
  }
}

/// The sum of the diagonal of a square low-rank matrix or expression, accumulated in double: O(n
/// r).
/// @throws ShapeError
template <detail::LowRankOperand Operand>
[[nodiscard]] double trace(const Operand& operand) {
  using Backend = detail::backend_of_operand<Operand>;
  return detail::with_low_rank(operand, [](auto& device, auto u, auto v) {
    if (u.rows != v.rows) {
      ACCRETE_THROW ShapeError("trace: the operand is " + detail::shape_text(u.rows, v.rows) +
                               " but must be square");
    }
    return Kernels<Backend>::dot(device, u, v);
  });
}

ACCRETE_END_NAMESPACE
