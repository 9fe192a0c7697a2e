// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/polar.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/power_iteration.hpp>
#include <accrete/methods/registry_entry.hpp>
#include <accrete/optim/sgd.hpp>

#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct SpectronOptions {
  Index rank = 0;
  double momentum = 0.95;
  PolarMethod polar = PolarMethod::muon;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.real("momentum", momentum, 0, 0.9999, "of the averaged gradients");
    visitor.choice("polar", polar, {"exact", "muon"},
                   "orthogonal factor iterated to rounding, or by Muon's five steps");
  }
};

/// U Vᵀ from scratch by orthogonalised updates of the factors, as long as moves U Vᵀ by the
/// learning rate (Spectron, ICML 2026, arXiv 2602.12429). For each factor F, of gradient G:
///
///     M = β M + (1 - β) G,   O = polar(M)
///     F -= ρ O,   ρ = η / (σ(U) + σ(V) + 1)
///
/// with σ the spectral norms, each by one step of a power iteration that goes on from step to step.
/// Then ‖ΔW‖ <= ρ (σ(U) + σ(V)) + ρ² <= η in the spectral norm for η <= 1, as far as the iteration
/// has found the norms and with singular values of O that are at most 1; those of Muon's five steps
/// reach 1.2. Decay comes before: F *= 1 - η λ.
///
/// Both factors start with orthogonal columns of one length. Published with r = 0.25 to 0.4 of the
/// width and η about 0.04. Memory: (m + n) r weights, as many gradients, as many of momentum, and 2
/// r. A step costs 5 (4 m r² + 2 r³) FLOPs for U and as much for V with Muon's steps.
///
/// From a description, not from code: orthonormal columns are scaled here so that the entries of
/// U Vᵀ have the deviation of the place, and the momentum is constant, where the authors let it
/// grow from 0.85.
template <class Scalar, class Backend = Cpu>
class SpectronWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>, SGD<Scalar, Backend>> {
  using Base = FactoredWeight<LowRankMatrix<Scalar, Backend>, SGD<Scalar, Backend>>;
  using View = ViewOn<Scalar, Backend>;

 public:
  using typename Base::Storage;

  SpectronWeight(const WeightPlace& place, const SpectronOptions& options,
                 const AdamWOptions& optimizer)
      : SpectronWeight(place, options, optimizer,
                       detail::rank_or_quarter("spectron", options.rank, place.rows, place.cols)) {}

  void step(const StepInfo& info) override {
    const View u = this->factors().u_view();
    const View v = this->factors().v_view();
    const double bound = u_norm_.norm(u) + v_norm_.norm(v) + 1;
    const double rho = info.learning_rate / bound;
    update(this->u_optimizer_, u, this->u_gradient(), rho, info);
    update(this->v_optimizer_, v, this->v_gradient(), rho, info);
  }

  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    u_norm_.visit_state("weight_u.power_iteration", visitor);
    v_norm_.visit_state("weight_v.power_iteration", visitor);
  }

 private:
  SpectronWeight(const WeightPlace& place, const SpectronOptions& options,
                 const AdamWOptions& optimizer, Index rank)
      // A momentum without dampening is the average times 1 / (1 - β): the same polar factor.
      : Base(detail::orthogonal_factors<Scalar, Backend>(place, rank),
             SGDOptions{.momentum = options.momentum}),
        polar_(options.polar),
        weight_decay_(optimizer.weight_decay),
        u_norm_(rank, detail::seed_of(place, 3)),
        v_norm_(rank, detail::seed_of(place, 4)) {}

  void update(SGD<Scalar, Backend>& optimizer, View factor, View gradient, double rho,
              const StepInfo& info) {
    auto& device = Context<Backend>::current().device();
    detail::Frame<Backend> frame(device.workspace());
    const View o = detail::temporary<Scalar>(frame, factor.rows, factor.cols);
    optimizer.direction(gradient, o, info.gradient_scale);
    detail::polar_in_place<Backend>(device, o, polar_);
    const double keep = 1 - info.learning_rate * weight_decay_;
    Kernels<Backend>::combine(device, static_cast<Scalar>(-rho), o.as_const(),
                              static_cast<Scalar>(keep), factor);
  }

  PolarMethod polar_;
  double weight_decay_;
  detail::PowerIteration<Scalar, Backend> u_norm_, v_norm_;
};

struct Spectron {
  static constexpr MethodDescription description{"spectron", "Spectron",
                                                 "Spectron, ICML 2026, arXiv 2602.12429",
                                                 "U Vᵀ, orthogonalised updates of bounded length"};
  using Options = SpectronOptions;
  template <class Scalar, class Backend>
  using Weight = SpectronWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
