// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/function.hpp>
#include <accrete/factor/row_norms.hpp>
#include <accrete/grow/growth.hpp>
#include <accrete/grow/initializers.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct DoRAOptions {
  Index rank = 0;
  double alpha = 0;
  bool detach_norm = true;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the update; 0: a quarter of the smaller side");
    visitor.real("alpha", alpha, 0, 1e6, "the update is scaled by alpha / rank; 0: by 1");
    visitor.flag("detach-norm", detach_norm,
                 "the row norms count as constants in the gradients of U and V");
  }
};

/// Magnitude and direction apart (Liu et al., DoRA, ICML 2024, arXiv 2402.09353). With W = W0 +
/// s U Vᵀ, W0 frozen, w_i its rows, and a trained magnitude a_i for each of them:
///
///     y_i = c_i w_i x,   c_i = a_i / ‖w_i‖
///     da_i = t_i / ‖w_i‖,   t_i = Σ dy_i w_i x over the samples
///     dW = diag(c) (dY Xᵀ - diag(t_i / ‖w_i‖²) W),   dU = s dW V,   dV = s dWᵀ U
///     dX = Wᵀ diag(c) dY
///
/// With `detach_norm`, as the paper proposes and the authors' code does, the second part of dW is
/// left out: the norms count as constants, and the gradients of U and V are not those of the loss.
/// Without it they are, for products with W of rank r more. a starts as the norms of W0, U zero
/// and V Kaiming, so that y is W0 x at first. A row of zeros gives zeros.
///
/// No m x n matrix beside W0: the norms come from a few rows at a time, 2 m n r FLOPs for each
/// forward pass. Memory: m n frozen and (m + n) r + m trained scalars, as many gradients as trained
/// ones, twice as many of AdamW's state; W X, m numbers a sample, is kept for the backward pass.
template <class Scalar, class Backend = Cpu>
class DoRAWeight : public FactoredWeight<CumulativeUpdate<Scalar, Backend>> {
  using Matrix = CumulativeUpdate<Scalar, Backend>;
  using Base = FactoredWeight<Matrix>;
  using View = ViewOn<Scalar, Backend>;
  using K = Kernels<Backend>;

 public:
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Storage;

  DoRAWeight(const WeightPlace& place, const DoRAOptions& options, const AdamWOptions& optimizer)
      : Base(start(place, options), optimizer),
        detach_norm_(options.detach_norm),
        magnitude_(row_norms(this->matrix_)),
        gradient_(detail::zero_matrix<Scalar, Backend>(place.rows, 1)),
        inverse_norms_(place.rows, 1),
        factors_(place.rows, 1),
        optimizer_(place.rows, 1, optimizer) {}

  void forward(const Storage& x, Storage& y) override {
    Base::forward(x, y);
    fit(undivided_, y);
    K::combine(device(), Scalar{1}, view_of(std::as_const(y)), Scalar{0}, view_of(undivided_));
    const auto& factors = std::as_const(*this).factors();
    const View norms = view_of(inverse_norms_);
    detail::column_norms_into<Backend, Scalar>(device(), this->matrix_.base_view().transposed(),
                                               this->matrix_.scale(), factors.v_view(),
                                               factors.u_view(), norms);
    K::map(device(), Function::reciprocal, norms.as_const(), norms);
    K::hadamard(device(), Scalar{1}, view_of(std::as_const(magnitude_)), norms.as_const(),
                Scalar{0}, view_of(factors_));
    scale_rows(view_of(std::as_const(undivided_)), view_of(factors_), view_of(y));
  }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    detail::Frame<Backend> frame(device().workspace());
    const View t = detail::temporary<Scalar>(frame, this->rows(), 1);
    const View ones = detail::temporary<Scalar>(frame, dy.cols(), 1);
    fit(upstream_, dy);
    K::hadamard(device(), Scalar{1}, view_of(dy), view_of(std::as_const(undivided_)), Scalar{0},
                view_of(upstream_));
    K::fill(device(), Scalar{1}, ones);
    K::gemv(device(), Scalar{1}, view_of(std::as_const(upstream_)), ones.as_const(), Scalar{0}, t);
    const View inverse_norms = view_of(inverse_norms_);
    K::hadamard(device(), Scalar{1}, t.as_const(), inverse_norms.as_const(), Scalar{1},
                view_of(gradient_));

    scale_rows(view_of(dy), view_of(factors_), view_of(upstream_));
    Base::backward(x, upstream_, dx);
    if (!detach_norm_) {
      for (const View factor : {view_of(factors_), inverse_norms, inverse_norms}) {
        K::hadamard(device(), Scalar{1}, t.as_const(), factor.as_const(), Scalar{0}, t);
      }
      subtract_radial_part(t);
    }
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    Base::visit_parameters([&](Parameter parameter) {
      if (detach_norm_) {
        parameter.kind = GradientKind::modified;
      }
      visitor(parameter);
    });
    visitor(Parameter{"magnitude", view_of(magnitude_), view_of(gradient_)});
  }

  void step(const StepInfo& info) override {
    Base::step(info);
    optimizer_.step(magnitude_, gradient_, info.learning_rate, info.gradient_scale);
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    detail::visit_optimizer(optimizer_, "magnitude.", visitor);
  }
  /// Without the norms, which are computed once a pass.
  [[nodiscard]] double flops() const override {
    return Base::flops() + 4.0 * static_cast<double>(this->rows());
  }

 private:
  static Matrix start(const WeightPlace& place, const DoRAOptions& options) {
    const Index rank = detail::rank_or_quarter("dora", options.rank, place.rows, place.cols);
    Matrix matrix(detail::dense_start<Scalar, Backend>(place));
    if (options.alpha > 0) {
      matrix.set_scale(static_cast<Scalar>(options.alpha / static_cast<double>(rank)));
    }
    matrix.grow(rank, init::zero(detail::seed_of(place, 1)));
    return matrix;
  }

  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static void fit(Storage& storage, const Storage& model) {
    if (storage.rows() != model.rows() || storage.cols() != model.cols()) {
      storage = Storage(model.rows(), model.cols());
    }
  }
  /// result = diag(factors) a; result may be a.
  static void scale_rows(ViewOn<const Scalar, Backend> a, ViewOn<const Scalar, Backend> factors,
                         View result) {
    K::scale_columns(device(), a.transposed(), factors, result.transposed());
  }

  /// What the norms add to the gradients: dU -= s diag(e) W V, dV -= s Wᵀ diag(e) U.
  void subtract_radial_part(View e) {
    detail::Frame<Backend> frame(device().workspace());
    const auto leaf = [](ViewOn<const Scalar, Backend> view) {
      return detail::factor_leaf<Scalar, Backend>(view);
    };
    const View u = this->factors().u_view();
    const View of_u = detail::temporary<Scalar>(frame, u.rows, u.cols);
    const Scalar s = this->matrix_.scale();
    noalias(of_u) = this->matrix_ * leaf(this->factors().v_view());
    scale_rows(of_u, e, of_u);
    K::combine(device(), -s, of_u.as_const(), Scalar{1}, this->u_gradient());
    scale_rows(u, e, of_u);
    noalias(this->v_gradient()) -= s * (transpose(this->matrix_) * leaf(of_u));
  }

  bool detach_norm_;
  Storage magnitude_, gradient_;
  Storage inverse_norms_, factors_; // of the last forward pass: 1 / ‖w_i‖, c_i
  Storage undivided_;               // W X
  Storage upstream_;                // diag(c) dY
  AdamW<Scalar, Backend> optimizer_;
};

struct DoRA {
  static constexpr MethodDescription description{
      "dora", "DoRA",
      "Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation, ICML 2024, arXiv 2402.09353",
      "the direction of W0 + s U Vᵀ, row by row, and its magnitude"};
  using Options = DoRAOptions;
  template <class Scalar, class Backend>
  using Weight = DoRAWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
