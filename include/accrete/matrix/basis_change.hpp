// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <Eigen/Core>

ACCRETE_BEGIN_NAMESPACE

/// How the factors of one product `U Vᵀ` were replaced by others: both matrices are
/// r_old x r_new, host memory on every backend (r is small).
///
///     U_new = U_old * left          V_new = V_old * right
///
/// Gradients of a function of `W = U Vᵀ` are `dU = dW V` and `dV = dWᵀ U`, so for the same dW they
/// move with the *other* factor's matrix, and so does the first moment of an optimizer:
///
///     dU_new = dU_old * right       dV_new = dV_old * left
template <class Scalar>
struct BasisChange {
  using HostMatrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

  HostMatrix left;
  HostMatrix right;

  [[nodiscard]] Index old_rank() const noexcept { return left.rows(); }
  [[nodiscard]] Index new_rank() const noexcept { return left.cols(); }

  /// What moves the gradient, and the optimizer state, of U.
  [[nodiscard]] const HostMatrix& gradient_of_left() const noexcept { return right; }
  /// What moves the gradient, and the optimizer state, of V.
  [[nodiscard]] const HostMatrix& gradient_of_right() const noexcept { return left; }
};

ACCRETE_END_NAMESPACE
