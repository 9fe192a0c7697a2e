// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/assign.hpp>

#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

/// A copy of a host matrix in the memory of a backend:
///
///     ac::Matrix<float, Device> W0 = ac::from_host<Device>(weights);
///
/// One transfer. @throws std::bad_alloc
template <class Backend, class Derived>
[[nodiscard]] Matrix<typename Derived::Scalar, Backend>
from_host(Context<Backend>& context, const Eigen::DenseBase<Derived>& matrix) {
  using Scalar = typename Derived::Scalar;
  const Matrix<Scalar> dense(matrix.derived());
  if constexpr (is_host_backend<Backend>) {
    return dense;
  } else {
    Matrix<Scalar, Backend> result(context, dense.rows(), dense.cols());
    if (dense.size() > 0) {
      Kernels<Backend>::upload(context.device(), dense.data(), view_of(result));
    }
    return result;
  }
}
template <class Backend, class Derived>
[[nodiscard]] Matrix<typename Derived::Scalar, Backend>
from_host(const Eigen::DenseBase<Derived>& matrix) {
  return from_host(Context<Backend>::current(), matrix);
}

/// The value of a matrix, a view or an expression of any backend as an Eigen matrix. One transfer
/// where it lies in the memory of a device, which the host waits for.
template <class Operand>
  requires detail::Operand<Operand> || detail::LazyValueNode<Operand>
[[nodiscard]] auto to_host(const Operand& operand) {
  if constexpr (detail::LazyValueNode<Operand> && !detail::Expandable<Operand>) {
    if constexpr (is_host_backend<detail::backend_of<Operand>>) {
      return Matrix<typename Operand::Scalar>(operand);
    } else {
      return to_host(operand.eval());
    }
  } else if constexpr (detail::EigenDense<Operand>) {
    return Matrix<typename Operand::Scalar>(operand);
  } else if constexpr (detail::Expandable<Operand>) {
    return to_host(operand.expression());
  } else {
    const auto node = detail::lift(operand);
    using Backend = detail::backend_of<std::remove_const_t<decltype(node)>>;
    const auto view = node.view();
    Matrix<std::remove_const_t<std::remove_reference_t<decltype(*view.data)>>> result(view.rows,
                                                                                      view.cols);
    if (result.size() > 0) {
      Kernels<Backend>::download(Context<Backend>::current().device(), view, result.data());
    }
    return result;
  }
}

ACCRETE_END_NAMESPACE
