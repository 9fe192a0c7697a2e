// SPDX-License-Identifier: MIT
#pragma once

#include "model/parameter.hpp"

#include <accrete/accrete.hpp>

#include <string>
#include <type_traits>
#include <utility>

namespace gpt {

/// A trained matrix W.
template <class Scalar>
class DenseWeight {
 public:
  explicit DenseWeight(Matrix<Scalar> weight)
      : weight_(std::move(weight)),
        gradient_(Matrix<Scalar>::Zero(weight_.rows(), weight_.cols())) {}

  /// y = W x
  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) {
    accrete::noalias(y) = accrete::lazy(weight_) * x;
  }

  /// dW += dy xᵀ, dx = Wᵀ dy
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx) {
    const auto g = accrete::gradients(accrete::lazy(weight_) * x, dy);
    accrete::noalias(gradient_) += g.base;
    accrete::noalias(dx) = g.X;
  }

  template <class Function>
  void for_each_parameter(const std::string& name, const Function& function) {
    using accrete::view_of;
    function(Parameter<Scalar>{name + ".weight", view_of(weight_), view_of(gradient_), true});
  }

  [[nodiscard]] Index rows() const noexcept { return weight_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return weight_.cols(); }
  [[nodiscard]] Index parameter_count() const noexcept { return weight_.size(); }
  /// FLOPs of forward and backward for one column of x.
  [[nodiscard]] double flops() const noexcept { return 6.0 * static_cast<double>(weight_.size()); }

 private:
  Matrix<Scalar> weight_, gradient_;
};

/// A matrix with trained factors: U Vᵀ (LowRankMatrix), or W0 + U Vᵀ with W0 frozen
/// (CumulativeUpdate). Its rank can change between steps; the gradients change with it.
template <class MatrixType>
class FactoredWeight {
 public:
  using Scalar = typename MatrixType::Scalar;
  static constexpr bool has_base = std::is_same_v<MatrixType, accrete::CumulativeUpdate<Scalar>>;

  /// `rank` columns count, the others are a buffer for the rank to grow into. `column_length` is
  /// the Euclidean norm that new columns of U are to have.
  FactoredWeight(MatrixType weight, Index rank, double column_length)
      : weight_(std::move(weight)), rank_(rank), column_length_(column_length) {
    fit_gradients();
  }

  /// y = W0 x + U (Vᵀ x)
  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) {
    accrete::noalias(y) = pass_.forward(weight_, x);
  }

  /// dU += dy (Vᵀ x)ᵀ, dV += x (Uᵀ dy)ᵀ, dx = W0ᵀ dy + V (Uᵀ dy): dW is never formed.
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx) {
    const auto g = pass_.backward(weight_, x, dy);
    accrete::noalias(dU()) += g.U;
    accrete::noalias(dV()) += g.V;
    accrete::noalias(dx) = g.X;
  }

  /// The frozen base, where there is one, comes without a gradient.
  template <class Function>
  void for_each_parameter(const std::string& name, const Function& function) {
    if constexpr (has_base) {
      function(Parameter<Scalar>{name + ".weight", weight_.base_view(), {}, false});
    }
    auto u_gradient = dU();
    auto v_gradient = dV();
    using accrete::view_of;
    function(Parameter<Scalar>{name + ".weight_u", factors().u_view(), view_of(u_gradient), true});
    function(Parameter<Scalar>{name + ".weight_v", factors().v_view(), view_of(v_gradient), true});
  }

  [[nodiscard]] MatrixType& matrix() noexcept { return weight_; }
  [[nodiscard]] const MatrixType& matrix() const noexcept { return weight_; }
  [[nodiscard]] accrete::LowRankMatrix<Scalar>& factors() noexcept {
    if constexpr (has_base) {
      return weight_.low_rank();
    } else {
      return weight_;
    }
  }

  [[nodiscard]] const accrete::LowRankMatrix<Scalar>& factors() const noexcept {
    if constexpr (has_base) {
      return weight_.low_rank();
    } else {
      return weight_;
    }
  }

  /// How many columns count; the policy that grows them decides it.
  [[nodiscard]] Index rank() const noexcept { return rank_; }
  void set_rank(Index rank) noexcept { rank_ = rank; }
  [[nodiscard]] double column_length() const noexcept { return column_length_; }

  /// The same, with `columns` columns in each factor, of which new ones are zero.
  void set_rank(Index rank, Index columns) {
    const Index before = weight_.rank();
    factors().reserve(columns);
    factors().set_rank(columns);
    if (columns > before) {
      factors().U().rightCols(columns - before).setZero();
      factors().V().rightCols(columns - before).setZero();
    }
    rank_ = rank;
    fit_gradients();
  }

  /// To be called after factors() got other columns or another capacity; gradients become zero.
  void fit_gradients() {
    u_gradient_.setZero(weight_.rows(), weight_.capacity());
    v_gradient_.setZero(weight_.cols(), weight_.capacity());
  }

  [[nodiscard]] Index rows() const noexcept { return weight_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return weight_.cols(); }
  /// Scalars in the factors and in the base.
  [[nodiscard]] Index parameter_count() const noexcept {
    return (rows() + cols()) * weight_.rank() + (has_base ? rows() * cols() : 0);
  }
  /// FLOPs of forward and backward for one column of x. W0 has no gradient.
  [[nodiscard]] double flops() const noexcept {
    const double factors = 6.0 * static_cast<double>((rows() + cols()) * weight_.rank());
    return has_base ? factors + 4.0 * static_cast<double>(rows() * cols()) : factors;
  }

 private:
  auto dU() { return u_gradient_.leftCols(weight_.rank()); }
  auto dV() { return v_gradient_.leftCols(weight_.rank()); }

  MatrixType weight_;
  Index rank_;
  double column_length_;
  Matrix<Scalar> u_gradient_, v_gradient_; // as many columns as the capacity
  accrete::WeightPass<Scalar> pass_;
};

} // namespace gpt
