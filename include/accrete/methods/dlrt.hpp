// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/three_factor_weight.hpp>
#include <accrete/optim/transport_core.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

ACCRETE_BEGIN_NAMESPACE

struct DLRTOptions {
  enum class Integrator : unsigned char { parallel, augmented };
  enum class CoreOptimizer : unsigned char { sgd, adam };

  Index rank = 0;
  Index max_rank = 0;
  Index min_rank = 2;
  double tolerance = 0.1;
  Integrator integrator = Integrator::parallel;
  CoreOptimizer optimizer = CoreOptimizer::sgd;
  double rate_ratio = 1;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "at the start; 0: a quarter of the smaller side");
    visitor.whole("max-rank", max_rank, 0, detail::most_rank,
                  "after a truncation; 0: half of the smaller side, which is the most");
    visitor.whole("min-rank", min_rank, 1, detail::most_rank, "after a truncation");
    visitor.real("tolerance", tolerance, 0, 1,
                 "norm that a truncation may discard, as a part of the whole's, theta");
    visitor.choice("integrator", integrator, {"parallel", "augmented"},
                   "bases and core by one gradient, or the core by the next batch's");
    visitor.choice("optimizer", optimizer, {"sgd", "adam"}, "of the core");
    visitor.real("rate-ratio", rate_ratio, 1e-6, 1e6,
                 "over the given learning rate; SGD needs a larger one than AdamW");
  }
};

/// Dynamical low-rank training (Schotthöfer et al., Low-rank lottery tickets, NeurIPS 2022, arXiv
/// 2205.13571): W = U S Vᵀ with orthonormal U and V follows the gradient flow on the matrices of
/// rank r, whatever the size of its small singular values, and r adapts. From K' = G V = dY Zᵀ and
/// L' = Gᵀ U = X Dᵀ, with Z = Vᵀ X and D = Uᵀ dY, the bases of a step are
///
///     Û = [U U₁] = orth[U K'],   V̂ = [V V₁] = orth[V L']
///
/// The parallel integrator (Schotthöfer et al., GeoLoRA, arXiv 2410.18720) needs no other gradient:
///
///     Ŝ = [S - η UᵀGV   -η L'ᵀV₁]
///         [  -η U₁ᵀK'       0   ]
///
/// The augmented one takes [S 0; 0 0] - η ÛᵀĜV̂ with the gradient Ĝ of the next batch at the same W,
/// so that a step takes two batches, of which the first moves the bases and the second the core.
/// Both end with Ŝ = P Σ Qᵀ and the least r' for which the tail of Σ is below `tolerance` times the
/// whole: U <- Û P, S <- Σ, V <- V̂ Q, the leading r' columns.
///
/// The default is SGD without momentum, as published. With `optimizer` = adam the leading block of
/// the core takes AdamW's direction, whose moments follow the bases, and the others, in which there
/// is none yet, are scaled as this one was.
///
/// Differences to the authors' code: one pass instead of three gives K' and L'; the truncation
/// takes the columns of Q, where DLRT's takes its rows, and the norm of the tail has all values.
/// Weight decay acts on S. Memory, r the largest rank so far: 2 r (m + n) for bases with room to
/// double, r (m + n) for K' and L', 12 r² for cores; state none, or 2 r².
template <class Scalar, class Backend = Cpu>
class DLRTWeight : public ThreeFactorWeight<Scalar, Backend> {
  using Base = ThreeFactorWeight<Scalar, Backend>;
  using Optimizer = AdamW<Scalar, Backend>;

 public:
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Storage;
  using typename Base::View;
  using ConstView = ViewOn<const Scalar, Backend>;

  DLRTWeight(const WeightPlace& place, const DLRTOptions& options, const AdamWOptions& optimizer)
      : Base(start(place, options)),
        options_(options),
        adamw_(detail::without_decay(optimizer)),
        weight_decay_(optimizer.weight_decay) {
    options_.max_rank = most_columns(place, options);
    options_.min_rank = (std::min)(options.min_rank, options_.max_rank);
    reshape();
  }

  /// dS as the base, and before the bases are augmented K' += dy (Vᵀ x)ᵀ, L' += x (Uᵀ dy)ᵀ
  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    const auto g = this->pass_.backward(this->matrix_, x, dy);
    if (trains_core()) {
      noalias(this->core_gradient()) += g.S;
    }
    if (!is_augmented_) {
      noalias(k_gradient()) += g.K;
      noalias(l_gradient()) += g.L;
    }
    noalias(dx) = g.X;
  }

  /// What is shown as the gradient of U is K', and L' as that of V.
  void visit_parameters(const ParameterVisitor& visitor) override {
    const View none;
    visitor(Parameter{"weight_u", this->matrix_.u_view(), is_augmented_ ? none : k_gradient(),
                      GradientKind::modified});
    visitor(Parameter{"weight_s", this->matrix_.core_view(),
                      trains_core() ? this->core_gradient() : none});
    visitor(Parameter{"weight_v", this->matrix_.v_view(), is_augmented_ ? none : l_gradient(),
                      GradientKind::modified});
  }

  void step(const StepInfo& info) override {
    const Index r = rank().rank;
    const View core = view_of(stepped_).block(0, 0, 2 * r, 2 * r);
    if (is_augmented_) {
      copy(this->matrix_.core_view(), core);
      step_core(core, this->core_gradient(), info);
      return;
    }
    augment(this->matrix_.all_u_view(), k_gradient());
    augment(this->matrix_.all_v_view(), l_gradient());
    Kernels<Backend>::fill(device(), Scalar{0}, core);
    copy(this->matrix_.core_view(), core.block(0, 0, r, r));
    if (trains_core()) {
      detail::Frame<Backend> frame(device().workspace());
      const View gradient = frame.template matrix<Scalar>(2 * r, 2 * r);
      Kernels<Backend>::fill(device(), Scalar{0}, gradient);
      copy(this->core_gradient(), gradient.block(0, 0, r, r));
      multiply(l_gradient().transposed(), this->matrix_.all_v_view().columns(r, r),
               gradient.block(0, r, r, r));
      multiply(this->matrix_.all_u_view().columns(r, r).transposed(), k_gradient(),
               gradient.block(r, 0, r, r));
      step_core(core, gradient, info);
    }
  }

  WeightChange after_step(const StepInfo& /*info*/) override {
    const Index r = rank().rank;
    const bool truncates = trains_core();
    this->matrix_.use_rank(2 * r);
    copy(view_of(stepped_).block(0, 0, 2 * r, 2 * r), this->matrix_.core_view());
    if (truncates) {
      const auto report = this->matrix_.truncate({.max_rank = options_.max_rank,
                                                  .tolerance = options_.tolerance,
                                                  .min_rank = options_.min_rank});
      restore_orthonormality(this->matrix_.u_view());
      restore_orthonormality(this->matrix_.v_view());
      if (options_.optimizer == DLRTOptions::CoreOptimizer::adam) {
        transport_core(optimizer_, {report.basis.left.topRows(r), report.basis.right.topRows(r)});
      }
    }
    is_augmented_ = !truncates;
    make_room();
    return {};
  }

  void visit_shape(const NumberVisitor& visitor) override {
    std::int64_t augmented = is_augmented_ ? 1 : 0;
    visitor("augmented", augmented);
    const bool changed = (augmented != 0) != is_augmented_;
    is_augmented_ = augmented != 0;
    Base::visit_shape(visitor);
    if (changed) {
      reshape();
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    if (options_.optimizer == DLRTOptions::CoreOptimizer::adam) {
      detail::visit_optimizer(optimizer_, "weight_s.", visitor);
    }
  }

  [[nodiscard]] WeightRank rank() const override {
    const Index columns = this->matrix_.rank();
    return {is_augmented_ ? columns / 2 : columns, columns};
  }
  [[nodiscard]] double flops() const override {
    const Index others = is_augmented_ ? 0 : 2 * this->matrix_.rank();
    return Base::flops() + static_cast<double>(others * (this->rows() + this->cols()));
  }

 protected:
  void reshape() override {
    make_room();
    if (options_.optimizer == DLRTOptions::CoreOptimizer::adam) {
      optimizer_ = Optimizer(rank().rank, rank().rank, adamw_);
    }
  }

 private:
  /// Twice as many columns have to fit a basis.
  static Index most_columns(const WeightPlace& place, const DLRTOptions& options) {
    const Index half = (std::min)(place.rows, place.cols) / 2;
    const Index wanted = (std::max)(options.rank, options.max_rank);
    if (half == 0 || wanted > half) {
      ACCRETE_THROW RankError(
          "method dlrt: rank " + std::to_string(wanted) + " exceeds half of min(m, n) of a " +
          detail::shape_text(place.rows, place.cols) +
          " weight, whose bases are doubled in a step; use at most " + std::to_string(half));
    }
    return options.max_rank > 0 ? options.max_rank : half;
  }
  static ThreeFactorMatrix<Scalar, Backend> start(const WeightPlace& place,
                                                  const DLRTOptions& options) {
    const Index rank =
        (std::min)(detail::rank_or_quarter("dlrt", options.rank, place.rows, place.cols),
                   most_columns(place, options));
    return ThreeFactorMatrix<Scalar, Backend>(
        svd(detail::normal_factors<Scalar, Backend>(place, rank)));
  }

  /// The coming step is one of the core.
  [[nodiscard]] bool trains_core() const {
    return is_augmented_ || options_.integrator == DLRTOptions::Integrator::parallel;
  }

  /// The columns after the first r of a basis become what the gradient adds to their space.
  void augment(View basis, ConstView gradient) {
    const Index r = gradient.cols;
    detail::Frame<Backend> frame(device().workspace());
    const View both = frame.template matrix<Scalar>(basis.rows, 2 * r);
    const View q = frame.template matrix<Scalar>(basis.rows, 2 * r);
    const View triangle = frame.template matrix<Scalar>(2 * r, 2 * r);
    copy(basis.left_columns(r), both.left_columns(r));
    copy(gradient, both.columns(r, r));
    detail::thin_qr_into<Backend, Scalar>(device(), both, q, triangle);
    copy(q.columns(r, r), basis.columns(r, r));
  }

  /// core <- (1 - η λ) core - η direction
  void step_core(View core, ConstView gradient, const StepInfo& info) {
    const double rate = info.learning_rate * options_.rate_ratio;
    const auto keep = static_cast<Scalar>(1 - rate * weight_decay_);
    const auto add = [&](double factor, ConstView direction, double beta, View target) {
      Kernels<Backend>::combine(device(), static_cast<Scalar>(factor), direction,
                                static_cast<Scalar>(beta), target);
    };
    if (options_.optimizer == DLRTOptions::CoreOptimizer::sgd) {
      add(-rate * info.gradient_scale, gradient, static_cast<double>(keep), core);
      return;
    }
    const Index r = core.rows / 2;
    const ConstView leading = gradient.block(0, 0, r, r);
    detail::Frame<Backend> frame(device().workspace());
    const View direction = frame.template matrix<Scalar>(r, r);
    optimizer_.direction(leading, direction, info.gradient_scale);
    const double length = std::sqrt(Kernels<Backend>::squared_norm(device(), leading));
    const double ratio =
        length > 0
            ? std::sqrt(Kernels<Backend>::squared_norm(device(), direction.as_const())) / length
            : 0.0;
    add(-rate * ratio, gradient.block(0, r, r, r), static_cast<double>(keep),
        core.block(0, r, r, r));
    add(-rate * ratio, gradient.block(r, 0, r, 2 * r), static_cast<double>(keep),
        core.block(r, 0, r, 2 * r));
    add(-rate, direction, static_cast<double>(keep), core.block(0, 0, r, r));
  }

  /// basis <- basis (3 I - basisᵀ basis) / 2, a step to its polar factor: without it rounding adds
  /// up over the steps.
  void restore_orthonormality(View basis) {
    detail::Frame<Backend> frame(device().workspace());
    const View small = frame.template matrix<Scalar>(basis.cols, basis.cols);
    const View product = frame.template matrix<Scalar>(basis.rows, basis.cols);
    Kernels<Backend>::gemm(device(), Scalar{-0.5}, basis.transposed().as_const(), basis.as_const(),
                           Scalar{0}, small);
    Kernels<Backend>::add_diagonal(device(), Scalar{1.5}, small);
    multiply(basis, small, product);
    copy(product, basis);
  }

  [[nodiscard]] View k_gradient() {
    return view_of(k_gradient_).left_columns(this->matrix_.rank());
  }
  [[nodiscard]] View l_gradient() {
    return view_of(l_gradient_).left_columns(this->matrix_.rank());
  }
  /// For bases of twice the rank; more than that only where the rank grows again.
  void make_room() {
    const Index needed = 2 * rank().rank;
    const Index before = this->matrix_.capacity();
    if (needed > before) {
      this->matrix_.reserve(
          (std::min)((std::max)(needed, before + before / 2), 2 * options_.max_rank));
    }
    const Index columns = this->matrix_.capacity();
    detail::fit_storage(stepped_, columns, columns);
    detail::fit_storage(k_gradient_, this->rows(), columns / 2);
    detail::fit_storage(l_gradient_, this->cols(), columns / 2);
    this->fit_core_gradient();
    Kernels<Backend>::fill(device(), Scalar{0}, view_of(k_gradient_));
    Kernels<Backend>::fill(device(), Scalar{0}, view_of(l_gradient_));
  }

  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static void copy(ConstView from, View to) {
    detail::copy_into<Backend, Scalar>(device(), from, to);
  }
  static void multiply(ConstView a, ConstView b, View c) {
    detail::multiply<Backend, Scalar>(device(), a, b, c);
  }

  DLRTOptions options_;
  AdamWOptions adamw_;
  double weight_decay_;             // of the core, which its optimizer does not know
  Storage k_gradient_, l_gradient_; // K' and L'
  Storage stepped_;                 // the core after a step, in both bases
  Optimizer optimizer_;             // of the core's leading block
  bool is_augmented_ = false;
};

struct DLRT {
  static constexpr MethodDescription description{
      "dlrt", "DLRT",
      "Schotthöfer et al., Low-rank lottery tickets, NeurIPS 2022, arXiv 2205.13571",
      "U S Vᵀ along the gradient flow of rank r, r adapts"};
  using Options = DLRTOptions;
  template <class Scalar, class Backend>
  using Weight = DLRTWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
