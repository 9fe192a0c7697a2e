// SPDX-License-Identifier: MIT
#pragma once

#include "model/parameter.hpp"
#include "model/storage.hpp"

#include <accrete/accrete.hpp>

#include <string>
#include <type_traits>
#include <utility>

namespace gpt {

/// A trained matrix W.
template <class Scalar, class Backend = accrete::Cpu>
class DenseWeight {
 public:
  using Storage = Matrix<Scalar, Backend>;

  explicit DenseWeight(Storage weight)
      : weight_(std::move(weight)),
        gradient_(zeros<Scalar, Backend>(weight_.rows(), weight_.cols())) {}

  /// y = W x
  void forward(const Storage& x, Storage& y) { accrete::noalias(y) = accrete::lazy(weight_) * x; }

  /// dW += dy xᵀ, dx = Wᵀ dy
  void backward(const Storage& x, const Storage& dy, Storage& dx) {
    const auto g = accrete::gradients(accrete::lazy(weight_) * x, dy);
    accrete::noalias(gradient_) += g.base;
    accrete::noalias(dx) = g.X;
  }

  template <class Function>
  void for_each_parameter(const std::string& name, const Function& function) {
    using accrete::view_of;
    function(
        Parameter<Scalar, Backend>{name + ".weight", view_of(weight_), view_of(gradient_), true});
  }

  [[nodiscard]] Index rows() const noexcept { return weight_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return weight_.cols(); }
  [[nodiscard]] Index parameter_count() const noexcept { return weight_.size(); }
  /// FLOPs of forward and backward for one column of x.
  [[nodiscard]] double flops() const noexcept { return 6.0 * static_cast<double>(weight_.size()); }

 private:
  Storage weight_, gradient_;
};

/// A matrix with trained factors: U Vᵀ (LowRankMatrix), or W0 + U Vᵀ with W0 frozen
/// (CumulativeUpdate). Its rank can change between steps; the gradients change with it.
template <class MatrixType>
class FactoredWeight {
 public:
  using Scalar = typename MatrixType::Scalar;
  using Backend = typename MatrixType::Backend;
  using Storage = Matrix<Scalar, Backend>;
  using Factors = accrete::LowRankMatrix<Scalar, Backend>;
  static constexpr bool has_base =
      std::is_same_v<MatrixType, accrete::CumulativeUpdate<Scalar, Backend>>;

  /// `rank` columns count, the others are a buffer for the rank to grow into. `column_length` is
  /// the Euclidean norm that new columns of U are to have.
  FactoredWeight(MatrixType weight, Index rank, double column_length)
      : weight_(std::move(weight)), rank_(rank), column_length_(column_length) {
    fit_gradients();
  }

  /// y = W0 x + U (Vᵀ x)
  void forward(const Storage& x, Storage& y) { accrete::noalias(y) = pass_.forward(weight_, x); }

  /// dU += dy (Vᵀ x)ᵀ, dV += x (Uᵀ dy)ᵀ, dx = W0ᵀ dy + V (Uᵀ dy): dW is never formed.
  void backward(const Storage& x, const Storage& dy, Storage& dx) {
    const auto g = pass_.backward(weight_, x, dy);
    accrete::noalias(dU()) += g.U;
    accrete::noalias(dV()) += g.V;
    accrete::noalias(dx) = g.X;
  }

  /// The frozen base, where there is one, comes without a gradient.
  template <class Function>
  void for_each_parameter(const std::string& name, const Function& function) {
    using Tensor = Parameter<Scalar, Backend>;
    if constexpr (has_base) {
      function(Tensor{name + ".weight", weight_.base_view(), {}, false});
    }
    function(Tensor{name + ".weight_u", factors().u_view(), dU(), true});
    function(Tensor{name + ".weight_v", factors().v_view(), dV(), true});
  }

  [[nodiscard]] MatrixType& matrix() noexcept { return weight_; }
  [[nodiscard]] const MatrixType& matrix() const noexcept { return weight_; }
  [[nodiscard]] Factors& factors() noexcept {
    if constexpr (has_base) {
      return weight_.low_rank();
    } else {
      return weight_;
    }
  }

  [[nodiscard]] const Factors& factors() const noexcept {
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
    factors().reserve(columns);
    factors().set_rank(columns);
    rank_ = rank;
    fit_gradients();
  }

  /// To be called after factors() got other columns or another capacity; gradients become zero.
  void fit_gradients() {
    set_zero(u_gradient_, weight_.rows());
    set_zero(v_gradient_, weight_.cols());
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
  auto dU() { return accrete::view_of(u_gradient_).left_columns(weight_.rank()); }
  auto dV() { return accrete::view_of(v_gradient_).left_columns(weight_.rank()); }

  void set_zero(Storage& gradient, Index rows) const {
    set_shape(gradient, rows, weight_.capacity());
    fill<Scalar, Backend>(accrete::view_of(gradient), Scalar(0));
  }

  MatrixType weight_;
  Index rank_;
  double column_length_;
  Storage u_gradient_, v_gradient_; // as many columns as the capacity
  accrete::WeightPass<Scalar, Backend> pass_;
};

} // namespace gpt
