// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct ExtrapolatedOptions {
  Index rank = 0;
  double look_ahead = 1;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.real("look-ahead", look_ahead, 0, 1e6, "length of the step ahead, in learning rates");
  }
};

/// U Vᵀ whose gradient is taken at a point ahead of the factors, where the last direction leads
/// (Lin et al., Extrapolation for Large-batch Training in Deep Learning, ICML 2020, arXiv
/// 2006.05720), with AdamW as the optimizer:
///
///     U' = U - η γ D_U          D_U, D_V: the directions of the step before, zero at first
///     D_U = AdamW(gradient at U', V'),   U <- (1 - η λ) U - η D_U
///
/// and the same for V. The parameters that the weight shows, and computes with, are U' and V': a
/// loss measured between steps is that of the point ahead. iterate() gives U Vᵀ itself. λ is
/// AdamW's weight decay, η that of the step before for the look-ahead.
///
/// Memory: (m + n) r each for factors, gradients and offsets, 2 (m + n) r for moments; of a dense W
/// the point ahead would cost another m n.
template <class Scalar, class Backend = Cpu>
class ExtrapolatedWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>> {
  using Base = FactoredWeight<LowRankMatrix<Scalar, Backend>>;

 public:
  using typename Base::Factors;
  using typename Base::Storage;
  using typename Base::View;

  ExtrapolatedWeight(const WeightPlace& place, const ExtrapolatedOptions& options,
                     const AdamWOptions& optimizer)
      : Base(detail::normal_factors<Scalar, Backend>(
                 place,
                 detail::rank_or_quarter("extrapolated", options.rank, place.rows, place.cols)),
             detail::without_decay(optimizer)), // of the directions; U and V decay themselves
        look_ahead_(options.look_ahead),
        weight_decay_(optimizer.weight_decay),
        u_offset_(detail::zero_matrix<Scalar, Backend>(place.rows, this->factors().rank())),
        v_offset_(detail::zero_matrix<Scalar, Backend>(place.cols, this->factors().rank())) {}

  /// The factors without the step ahead.
  [[nodiscard]] Factors iterate() const {
    Factors result = this->factors();
    add(1, view_of(u_offset_), result.u_view());
    add(1, view_of(v_offset_), result.v_view());
    return result;
  }

  void step(const StepInfo& info) override {
    step_factor(this->factors().u_view(), this->u_gradient(), this->u_optimizer_, u_offset_, info);
    step_factor(this->factors().v_view(), this->v_gradient(), this->v_optimizer_, v_offset_, info);
  }

  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    visitor.tensor("weight_u.offset", view_of(u_offset_));
    visitor.tensor("weight_v.offset", view_of(v_offset_));
  }

 private:
  static void add(double factor, ViewOn<const Scalar, Backend> from, View to, double keep = 1) {
    Kernels<Backend>::combine(Context<Backend>::current().device(), static_cast<Scalar>(factor),
                              from, static_cast<Scalar>(keep), to);
  }

  /// `ahead` is U' = U - offset before and after.
  void step_factor(View ahead, View gradient, AdamW<Scalar, Backend>& optimizer, Storage& offset,
                   const StepInfo& info) const {
    const double rate = info.learning_rate;
    const double keep = 1 - rate * weight_decay_;
    add(keep, view_of(std::as_const(offset)), ahead, keep); // (1 - η λ) U
    optimizer.direction(gradient, view_of(offset), info.gradient_scale);
    add(-rate * (1 + look_ahead_), view_of(std::as_const(offset)), ahead); // and the step ahead
    scale(rate * look_ahead_, view_of(offset));
  }
  static void scale(double factor, View matrix) {
    Kernels<Backend>::combine(Context<Backend>::current().device(), static_cast<Scalar>(factor),
                              matrix.as_const(), Scalar{0}, matrix);
  }

  double look_ahead_, weight_decay_;
  Storage u_offset_, v_offset_; // U - U', V - V'
};

struct Extrapolated {
  static constexpr MethodDescription description{
      "extrapolated", "Extrapolated U Vᵀ",
      "Lin et al., Extrapolation for Large-batch Training, ICML 2020, arXiv 2006.05720",
      "two factors of a fixed rank, gradients from a point ahead"};
  using Options = ExtrapolatedOptions;
  template <class Scalar, class Backend>
  using Weight = ExtrapolatedWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
