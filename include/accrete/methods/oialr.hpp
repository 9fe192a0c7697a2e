// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/three_factor_weight.hpp>
#include <accrete/optim/transport_core.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

ACCRETE_BEGIN_NAMESPACE

struct OIALROptions {
  enum class Moments : unsigned char { rotate, crop };

  std::int64_t delay = 2500;
  std::int64_t period = 500;
  double cutoff = 0.15;
  double layer_share = 0.1;
  std::int64_t rest = 1;
  Moments moments = Moments::rotate;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("delay", delay, 1, detail::most_steps, "steps with a dense W");
    visitor.whole("period", period, 1, detail::most_steps, "steps between two checks of the core");
    visitor.real("cutoff", cutoff, 0, 1,
                 "singular values below this part of the largest are cut, beta");
    visitor.real("layer-share", layer_share, 0, 1,
                 "of the layers, from the last, that each check adds; 1: all at once");
    visitor.whole("rest", rest, 0, detail::most_steps, "checks that a weight sits out after one");
    visitor.choice("moments", moments, {"rotate", "crop"},
                   "the core's moments follow its basis, or are cut as in the authors' code");
  }
};

/// Orthogonality-informed adaptive low-rank training (Coquelin et al., OIALR, arXiv 2401.08505):
/// the bases of W settle early, so that they are trained for `delay` steps alone. Then
///
///     W = U S Vᵀ with frozen orthonormal U and V, and the whole k x k core S trained by AdamW.
///
/// Every `period` steps the core is made diagonal, S = P Σ Qᵀ, U <- U P, V <- V Q, S <- Σ, and
/// singular values below β σ₁ are cut: no more than half of them at once, and not below a hundredth
/// of the shorter side. The last layers begin; each check adds a share of the layers before them.
///
/// Differences to the authors' code: there W is formed in each forward pass, here the three factors
/// are multiplied with x. The moments of W become those of the core, Uᵀ M V, and follow its
/// rotations; there (`moments` = crop) they start at zero with the count of steps kept, and lose
/// columns without being rotated. The similarity of the bases is not computed: there it is only
/// logged. Memory: 4 m n, later k (m + n) + 4 k².
template <class Scalar, class Backend = Cpu>
class OIALRWeight : public ThreeFactorWeight<Scalar, Backend> {
  using Base = ThreeFactorWeight<Scalar, Backend>;
  using Optimizer = AdamW<Scalar, Backend>;

 public:
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Storage;

  OIALRWeight(const WeightPlace& place, const OIALROptions& options, const AdamWOptions& optimizer)
      : Base(ThreeFactorMatrix<Scalar, Backend>(place.rows, place.cols)),
        options_(options),
        place_(place),
        adamw_(optimizer) {
    begin_dense(detail::dense_start<Scalar, Backend>(place));
  }

  void forward(const Storage& x, Storage& y) override {
    if (is_dense()) {
      noalias(y) = lazy(dense_) * x;
    } else {
      Base::forward(x, y);
    }
  }
  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    if (is_dense()) {
      noalias(gradient_) += lazy(dy) * transpose(x);
      noalias(dx) = transpose(dense_) * dy;
    } else {
      Base::backward(x, dy, dx);
    }
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    if (is_dense()) {
      visitor(Parameter{"weight", view_of(dense_), view_of(gradient_)});
    } else {
      visitor(Parameter{"weight_u", this->matrix_.u_view(), {}});
      visitor(Parameter{"weight_s", this->matrix_.core_view(), this->core_gradient()});
      visitor(Parameter{"weight_v", this->matrix_.v_view(), {}});
    }
  }

  void step(const StepInfo& info) override {
    if (is_dense()) {
      optimizer_.step(dense_, gradient_, info.learning_rate, info.gradient_scale);
    } else {
      optimizer_.step(this->matrix_.core_view(), this->core_gradient(), info.learning_rate,
                      info.gradient_scale);
    }
  }

  WeightChange after_step(const StepInfo& info) override {
    const std::int64_t since = info.step + 1 - options_.delay;
    if (is_dense()) {
      if (since >= 0) {
        factorize();
      }
    } else if (since % options_.period == 0 && is_reached(since / options_.period)) {
      if (resting_ > 0) {
        --resting_;
      } else {
        check();
        resting_ = options_.rest;
      }
    }
    return {};
  }

  void visit_shape(const NumberVisitor& visitor) override {
    Base::visit_shape(visitor);
    if (this->matrix_.rank() > 0) {
      end_dense();
    } else if (!is_dense()) {
      begin_dense(detail::zero_matrix<Scalar, Backend>(this->rows(), this->cols()));
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    visitor.count("weight.resting", resting_);
    detail::visit_optimizer(optimizer_, is_dense() ? "weight." : "weight_s.", visitor);
  }

  [[nodiscard]] double flops() const override {
    return is_dense() ? 6.0 * static_cast<double>(this->rows() * this->cols()) : Base::flops();
  }

 protected:
  void reshape() override {
    Base::reshape();
    optimizer_ = Optimizer(this->matrix_.rank(), this->matrix_.rank(), adamw_);
  }

 private:
  [[nodiscard]] bool is_dense() const { return dense_.size() > 0; }
  /// Check number `check`, counted from 1, looks at this layer.
  [[nodiscard]] bool is_reached(std::int64_t check) const {
    const double last =
        std::ceil(options_.layer_share * static_cast<double>(check * place_.layers));
    return static_cast<double>(place_.layers - place_.layer) <= (std::max)(1.0, last);
  }

  void begin_dense(Storage weight) {
    dense_ = std::move(weight);
    gradient_ = detail::zero_matrix<Scalar, Backend>(this->rows(), this->cols());
    optimizer_ = Optimizer(this->rows(), this->cols(), adamw_);
  }
  void end_dense() {
    dense_ = Storage();
    gradient_ = Storage();
  }

  void factorize() {
    this->matrix_ = ThreeFactorMatrix<Scalar, Backend>(svd(dense_));
    end_dense();
    if (options_.moments == OIALROptions::Moments::rotate) {
      transport_core(optimizer_,
                     {to_host(this->matrix_.u_view()), to_host(this->matrix_.v_view())});
    } else {
      const std::int64_t steps = optimizer_.steps()[0];
      optimizer_ = Optimizer(this->matrix_.rank(), this->matrix_.rank(), adamw_);
      std::ranges::fill(optimizer_.steps(), steps);
    }
    this->fit_core_gradient();
  }

  void check() {
    const auto report = this->matrix_.truncate();
    const Index rank = cut(report.singular_values);
    this->matrix_.set_rank(rank);
    this->matrix_.shrink_to_fit();
    if (options_.moments == OIALROptions::Moments::rotate) {
      transport_core(optimizer_,
                     {report.basis.left.leftCols(rank), report.basis.right.leftCols(rank)});
    } else {
      crop_core(optimizer_, rank);
    }
    this->fit_core_gradient();
  }
  [[nodiscard]] Index cut(const SingularValues& values) const {
    Index kept = 1;
    while (kept < values.size() && values[kept] >= options_.cutoff * values[0]) {
      ++kept;
    }
    const Index shorter = (std::min)(this->rows(), this->cols());
    return (std::min)(values.size(),
                      (std::max)({kept, (values.size() + 1) / 2, (shorter + 99) / 100}));
  }

  OIALROptions options_;
  WeightPlace place_;
  AdamWOptions adamw_;
  Storage dense_, gradient_; // until W is factorised
  Optimizer optimizer_;      // of W, then of the core
  std::int64_t resting_ = 0; // checks still to sit out
};

struct OIALR {
  static constexpr MethodDescription description{"oialr", "OIALR",
                                                 "Coquelin et al., Harnessing Orthogonality to "
                                                 "Train Low-Rank Neural Networks, arXiv 2401.08505",
                                                 "dense W, then the core of U S Vᵀ"};
  using Options = OIALROptions;
  template <class Scalar, class Backend>
  using Weight = OIALRWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
