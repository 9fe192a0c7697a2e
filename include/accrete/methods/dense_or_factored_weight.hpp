// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>
#include <accrete/factor/truncation.hpp>
#include <accrete/methods/balanced_factors.hpp>
#include <accrete/methods/factored_weight.hpp>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// What a new optimizer is told where a weight turns from W into U Vᵀ, or back.
enum class SwitchMoments : unsigned char {
  /// The mean gradient, mapped to the new parameters, is the first gradient that it sees. The first
  /// moment is so carried over exactly. Nothing maps the second, and AdamW counts the steps of both
  /// together: a first moment of many steps beside a second of none would make steps of
  /// 1 / sqrt(1 - beta2) times the learning rate, so that the count starts anew as well.
  carried,
  /// Nothing.
  reset
};

namespace detail {

/// A share of the training in steps; 0 where nobody knows how long it is.
[[nodiscard]] inline std::int64_t steps_of(double share, const StepInfo& info) {
  return std::llround(share * static_cast<double>(info.total_steps));
}

/// The mean gradient: the first moment with its bias corrected. Empty where there was no step.
template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> mean_gradient(const AdamW<Scalar, Backend>& optimizer) {
  if (optimizer.cols() == 0 || optimizer.steps()[0] == 0) {
    return {};
  }
  const double share =
      1 - std::pow(optimizer.options().beta1, static_cast<double>(optimizer.steps()[0]));
  Matrix<Scalar, Backend> mean(optimizer.rows(), optimizer.cols());
  Kernels<Backend>::combine(Context<Backend>::current().device(), static_cast<Scalar>(1 / share),
                            optimizer.first(), Scalar{0}, view_of(mean));
  return mean;
}

/// Gives an optimizer its first gradient, without a step of the parameter.
template <class Scalar, class Backend>
void begin_with(AdamW<Scalar, Backend>& optimizer, const Matrix<Scalar, Backend>& gradient) {
  Matrix<Scalar, Backend> direction(gradient.rows(), gradient.cols());
  optimizer.direction(gradient, direction);
}

/// A (AᵀA)⁻¹ of a thin matrix; directions in which A is zero are left out.
template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> dual_basis(ViewOn<const Scalar, Backend> a) {
  const auto parts = svd(factor_leaf<Scalar, Backend>(a));
  const SingularValues& values = parts.singular_values;
  std::vector<double> inverse;
  for (const double value : values) {
    inverse.push_back(value > rank_rounding<Scalar>(a.cols) * values[0] ? 1 / value : 0.0);
  }
  Matrix<Scalar, Backend> scaled(a.rows, a.cols);
  scale_columns<Backend, Scalar>(Context<Backend>::current().device(), view_of(parts.U), inverse,
                                 view_of(scaled));
  Matrix<Scalar, Backend> result(a.rows, a.cols);
  noalias(result) = lazy(scaled) * transpose(parts.V);
  return result;
}

} // namespace detail

/// A weight that is a dense W for a part of the training and U Vᵀ for another: of rank 0 while it
/// is dense. What methods derive from that factorise, or go to and fro; they call begin_dense()
/// where the weight starts dense, factorise() and form() in after_step(). Only one of the two is
/// stored, each with the moments of its AdamW.
template <class WeightScalar, class WeightBackend = Cpu>
class DenseOrFactoredWeight : public FactoredWeight<LowRankMatrix<WeightScalar, WeightBackend>> {
  using Base = FactoredWeight<LowRankMatrix<WeightScalar, WeightBackend>>;

 public:
  using typename Base::Backend;
  using typename Base::Factors;
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Scalar;
  using typename Base::Storage;

  /// Starts as these factors; without a column, begin_dense() has to follow.
  DenseOrFactoredWeight(Factors factors, const AdamWOptions& of_weight,
                        const AdamWOptions& of_factors)
      : Base(std::move(factors), of_factors), of_weight_(of_weight), of_factors_(of_factors) {}

  [[nodiscard]] bool is_dense() const noexcept { return this->factors().rank() == 0; }

  void forward(const Storage& x, Storage& y) override {
    if (is_dense()) {
      noalias(y) = lazy(weight_) * x;
    } else {
      Base::forward(x, y);
    }
  }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    if (!is_dense()) {
      Base::backward(x, dy, dx);
      return;
    }
    if (is_trained()) {
      noalias(weight_gradient_) += lazy(dy) * transpose(x);
    }
    noalias(dx) = transpose(weight_) * dy;
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    if (is_dense()) {
      visitor(Parameter{"weight", view_of(weight_), view_of(weight_gradient_)});
    } else {
      Base::visit_parameters(visitor);
    }
  }

  void step(const StepInfo& info) override {
    if (!is_dense()) {
      Base::step(info);
    } else if (is_trained()) {
      weight_optimizer_.step(weight_, weight_gradient_, info.learning_rate, info.gradient_scale);
    }
  }

  void visit_shape(const NumberVisitor& visitor) override {
    Base::visit_shape(visitor);
    if (is_dense() && weight_.size() == 0) {
      begin_dense(Storage(this->rows(), this->cols()));
    } else if (!is_dense()) {
      drop_dense();
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    if (!is_dense()) {
      Base::visit_state(visitor);
    } else if (is_trained()) {
      detail::visit_optimizer(weight_optimizer_, "weight.", visitor);
    }
  }

  [[nodiscard]] double flops() const override {
    const double products = is_trained() ? 6.0 : 4.0; // a frozen W has no gradient
    return is_dense() ? products * static_cast<double>(this->rows() * this->cols()) : Base::flops();
  }

 protected:
  /// A dense W may be frozen; factors are trained.
  [[nodiscard]] bool is_trained() const noexcept {
    return !is_dense() || weight_gradient_.size() > 0;
  }

  void begin_dense(Storage weight) {
    hold(Factors(weight.rows(), weight.cols()));
    weight_ = std::move(weight);
    weight_gradient_ = detail::zero_matrix<Scalar, Backend>(weight_.rows(), weight_.cols());
    weight_optimizer_ = AdamW<Scalar, Backend>(weight_.rows(), weight_.cols(), of_weight_);
  }
  /// W stays as it is from here on.
  void freeze() {
    weight_gradient_ = Storage();
    weight_optimizer_ = AdamW<Scalar, Backend>();
  }

  /// The factors take the place of W. Their gradients are dU = G V and dV = Gᵀ U, and so are the
  /// means of these.
  void factorise(Factors factors, SwitchMoments moments) {
    const Storage mean =
        moments == SwitchMoments::carried ? detail::mean_gradient(weight_optimizer_) : Storage();
    hold(std::move(factors));
    drop_dense();
    if (mean.size() > 0) {
      Storage of_u(this->rows(), this->factors().rank());
      Storage of_v(this->cols(), this->factors().rank());
      noalias(of_u) = lazy(mean) * this->factors().V();
      noalias(of_v) = transpose(mean) * this->factors().U();
      detail::begin_with(this->u_optimizer_, of_u);
      detail::begin_with(this->v_optimizer_, of_v);
    }
  }

  /// W = U Vᵀ takes the place of the factors. Of G they know the part G Pv + Pu G - Pu G Pv, with
  /// the projections on the columns of U and of V:
  ///
  ///     dU (VᵀV)⁻¹Vᵀ + U (UᵀU)⁻¹ (dV - V (VᵀV)⁻¹ dUᵀ U)ᵀ
  void form(SwitchMoments moments) {
    Storage weight(this->rows(), this->cols());
    noalias(weight) = this->factors().expression();
    Storage mean;
    if (moments == SwitchMoments::carried) {
      const Storage of_u = detail::mean_gradient(this->u_optimizer_);
      Storage of_v = detail::mean_gradient(this->v_optimizer_);
      if (of_u.size() > 0) {
        const Storage u = detail::dual_basis<Scalar, Backend>(this->factors().u_view());
        const Storage v = detail::dual_basis<Scalar, Backend>(this->factors().v_view());
        noalias(of_v) -= lazy(v) * (transpose(of_u) * this->factors().U());
        mean = Storage(this->rows(), this->cols());
        noalias(mean) = lazy(of_u) * transpose(v) + lazy(u) * transpose(of_v);
      }
    }
    begin_dense(std::move(weight));
    if (mean.size() > 0) {
      detail::begin_with(weight_optimizer_, mean);
    }
  }

  Storage weight_, weight_gradient_; // while it is dense
  AdamW<Scalar, Backend> weight_optimizer_;

 private:
  void hold(Factors factors) {
    this->matrix_ = std::move(factors);
    const Index columns = this->matrix_.rank();
    this->u_optimizer_ = AdamW<Scalar, Backend>(this->matrix_.rows(), columns, of_factors_);
    this->v_optimizer_ = AdamW<Scalar, Backend>(this->matrix_.cols(), columns, of_factors_);
    this->fit_gradients();
  }
  void drop_dense() {
    weight_ = Storage();
    freeze();
  }

  AdamWOptions of_weight_, of_factors_;
};

ACCRETE_END_NAMESPACE
