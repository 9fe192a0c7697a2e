// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grad/weight_pass.hpp>
#include <accrete/methods/dense_weight.hpp>
#include <accrete/methods/options.hpp>
#include <accrete/optim/state_policy.hpp>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// U Vᵀ (LowRankMatrix), or W0 + s U Vᵀ with a frozen W0 (CumulativeUpdate), whose factors are
/// trained by an optimizer each. dW is never formed. What methods derive from: they change the
/// factors in after_step() and call fit() when the number of columns has changed.
template <class MatrixType,
          class FactorOptimizer = AdamW<typename MatrixType::Scalar, typename MatrixType::Backend>>
class FactoredWeight
    : public TrainedWeight<typename MatrixType::Scalar, typename MatrixType::Backend> {
  using Base = TrainedWeight<typename MatrixType::Scalar, typename MatrixType::Backend>;

 public:
  using typename Base::Backend;
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Scalar;
  using typename Base::Storage;
  using Factors = LowRankMatrix<Scalar, Backend>;
  using View = ViewOn<Scalar, Backend>;
  static constexpr bool has_base = std::is_same_v<MatrixType, CumulativeUpdate<Scalar, Backend>>;

  /// `optimizer` is of options that the optimizer of a factor takes.
  template <class OptimizerOptions>
  FactoredWeight(MatrixType matrix, const OptimizerOptions& optimizer)
      : matrix_(std::move(matrix)),
        u_optimizer_(matrix_.rows(), matrix_.rank(), optimizer, matrix_.capacity()),
        v_optimizer_(matrix_.cols(), matrix_.rank(), optimizer, matrix_.capacity()) {
    fit_gradients();
  }

  [[nodiscard]] Index rows() const override { return matrix_.rows(); }
  [[nodiscard]] Index cols() const override { return matrix_.cols(); }
  [[nodiscard]] MatrixType& matrix() noexcept { return matrix_; }
  [[nodiscard]] Factors& factors() noexcept {
    if constexpr (has_base) {
      return matrix_.low_rank();
    } else {
      return matrix_;
    }
  }
  [[nodiscard]] const Factors& factors() const noexcept {
    if constexpr (has_base) {
      return matrix_.low_rank();
    } else {
      return matrix_;
    }
  }

  /// y = W0 x + s U (Vᵀ x)
  void forward(const Storage& x, Storage& y) override { noalias(y) = pass_.forward(matrix_, x); }

  /// dU += s dy (Vᵀ x)ᵀ, dV += s x (Uᵀ dy)ᵀ, dx = W0ᵀ dy + s V (Uᵀ dy)
  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    const auto g = pass_.backward(matrix_, x, dy);
    noalias(u_gradient()) += g.U;
    noalias(v_gradient()) += g.V;
    noalias(dx) = g.X;
  }

  /// The frozen base, where there is one, comes without a gradient.
  void visit_parameters(const ParameterVisitor& visitor) override {
    if constexpr (has_base) {
      visitor(Parameter{"weight", matrix_.base_view(), {}});
    }
    visitor(Parameter{"weight_u", factors().u_view(), u_gradient()});
    visitor(Parameter{"weight_v", factors().v_view(), v_gradient()});
  }

  void step(const StepInfo& info) override {
    u_optimizer_.step(factors().u_view(), u_gradient(), info.learning_rate, info.gradient_scale);
    v_optimizer_.step(factors().v_view(), v_gradient(), info.learning_rate, info.gradient_scale);
  }

  void visit_shape(const NumberVisitor& visitor) override {
    std::int64_t columns = factors().rank();
    visitor("columns", columns);
    if (columns != factors().rank()) {
      if (columns < 0 || columns > (std::min)(rows(), cols())) {
        ACCRETE_THROW RankError("a " + detail::shape_text(rows(), cols()) +
                                " weight cannot have factors of " + std::to_string(columns) +
                                " columns");
      }
      factors().reserve(columns);
      factors().set_rank(columns);
      fit();
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    detail::visit_optimizer(u_optimizer_, "weight_u.", visitor);
    detail::visit_optimizer(v_optimizer_, "weight_v.", visitor);
  }

  [[nodiscard]] WeightRank rank() const override { return {factors().rank(), factors().rank()}; }
  /// W0 has no gradient.
  [[nodiscard]] double flops() const override {
    const double of_factors = 6.0 * static_cast<double>((rows() + cols()) * factors().rank());
    return has_base ? of_factors + 4.0 * static_cast<double>(rows() * cols()) : of_factors;
  }

 protected:
  [[nodiscard]] View u_gradient() { return view_of(u_gradient_).left_columns(factors().rank()); }
  [[nodiscard]] View v_gradient() { return view_of(v_gradient_).left_columns(factors().rank()); }

  /// After factors() got other columns: gradients become zero, optimizers drop the columns at the
  /// right or get new ones there.
  void fit() {
    detail::fit_columns(u_optimizer_, factors().rank());
    detail::fit_columns(v_optimizer_, factors().rank());
    fit_gradients();
  }

  void fit_gradients() {
    fit(u_gradient_, rows());
    fit(v_gradient_, cols());
  }

  MatrixType matrix_;
  FactorOptimizer u_optimizer_, v_optimizer_;

 private:
  void fit(Storage& gradient, Index rows) {
    detail::fit_storage(gradient, rows, factors().capacity());
    Kernels<Backend>::fill(Context<Backend>::current().device(), Scalar{0}, view_of(gradient));
  }

  Storage u_gradient_, v_gradient_; // as many columns as the capacity
  WeightPass<Scalar, Backend> pass_;
};

ACCRETE_END_NAMESPACE
