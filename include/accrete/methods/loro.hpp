// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>
#include <accrete/factor/truncation.hpp>
#include <accrete/matrix/host_copy.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct LOROOptions {
  Index rank = 0;
  std::int64_t period = 500;
  double rate_scale = 0;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.whole("period", period, 1, detail::most_steps, "steps between two exact ones");
    visitor.real("rate-scale", rate_scale, 0, 1e6,
                 "of the learning rate of the other steps; 0: rank / min(m, n)");
  }
};

/// Descent on the manifold of the matrices of rank r (LORO: Parameter and Memory Efficient
/// Pretraining via Low-rank Riemannian Optimization, ICLR 2025, OpenReview i0zzO7Hslk), from the
/// gradients of the factors of W = M Nᵀ alone. With bases U of M's columns and V of N's, M = U R_m,
/// N = V R_n, and what Adam makes of the gradients dM and dN in the place of these:
///
///     G V = dM R_n⁻¹,   Gᵀ U = dN R_m⁻¹
///     P = U Uᵀ G + (I - U Uᵀ) G V Vᵀ              the gradient projected on the tangent space
///     W <- the best approximation of W - η P of rank r, with balanced factors
///
/// every `period` steps. W - η P has rank 2 r and is never formed: O((m + n) r²). Adam begins anew
/// then and the learning rate is to be warmed up again. All other steps are Adam's on the factors,
/// at the learning rate times r / d, d the smaller side of W, which is the width of the network.
///
/// Adam's directions do not belong to one G. Uᵀ G V is taken from dN, as the authors' code does.
/// The bases come from an SVD where it has a QR: directions that M or N has lost stay without a
/// gradient instead of one that is divided by zero. Differences to it: decay comes before each
/// step, the exact one too, and epsilon is added to the corrected second moment.
///
/// Memory: (m + n) r weights, as many gradients, twice as many of Adam's state, and about
/// 5 (m + n) r while an exact step lasts.
template <class Scalar, class Backend = Cpu>
class LOROWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>> {
  using Factors = LowRankMatrix<Scalar, Backend>;
  using Base = FactoredWeight<Factors>;
  using View = ViewOn<Scalar, Backend>;
  using K = Kernels<Backend>;

 public:
  using typename Base::Storage;

  LOROWeight(const WeightPlace& place, const LOROOptions& options, const AdamWOptions& optimizer)
      : Base(detail::normal_factors<Scalar, Backend>(
                 place, detail::rank_or_quarter("loro", options.rank, place.rows, place.cols)),
             detail::without_decay(optimizer)), // the factors decay themselves
        options_(options),
        weight_decay_(optimizer.weight_decay) {
    if (options_.rate_scale == 0) {
      options_.rate_scale = static_cast<double>(this->factors().rank()) /
                            static_cast<double>((std::min)(place.rows, place.cols));
    }
  }

  void step(const StepInfo& info) override {
    const View m = this->factors().u_view();
    const View n = this->factors().v_view();
    detail::Frame<Backend> frame(device().workspace());
    const View dm = detail::temporary<Scalar>(frame, m.rows, m.cols);
    const View dn = detail::temporary<Scalar>(frame, n.rows, n.cols);
    this->u_optimizer_.direction(this->u_gradient(), dm, info.gradient_scale);
    this->v_optimizer_.direction(this->v_gradient(), dn, info.gradient_scale);
    const double keep = 1 - info.learning_rate * weight_decay_;
    const bool exact = is_exact(info);
    const double rate = exact ? 0.0 : info.learning_rate * options_.rate_scale;
    add(-rate, dm, keep, m);
    add(-rate, dn, keep, n);
    if (exact) {
      descend(m, n, dm, dn, info.learning_rate);
    }
  }

  WeightChange after_step(const StepInfo& info) override {
    if (!is_exact(info)) {
      return {};
    }
    this->u_optimizer_.reset();
    this->v_optimizer_.reset();
    return {.restarted = true};
  }

 private:
  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static void add(double alpha, ViewOn<const Scalar, Backend> source, double beta, View target) {
    K::combine(device(), static_cast<Scalar>(alpha), source, static_cast<Scalar>(beta), target);
  }
  static auto leaf(ViewOn<const Scalar, Backend> view) {
    return detail::factor_leaf<Scalar, Backend>(view);
  }
  [[nodiscard]] bool is_exact(const StepInfo& info) const {
    return (info.step + 1) % options_.period == 0;
  }

  /// F = Q R, with R = diag(σ) Zᵀ.
  struct Basis {
    Storage q;
    Storage r_transposed, r_inverse; // Z diag(σ), Z diag(1 / σ)
  };
  [[nodiscard]] static Basis basis_of(View factor) {
    auto parts = svd(leaf(factor));
    const Eigen::VectorXd sigma = parts.singular_values;
    const double rounding = static_cast<double>(sigma.size()) *
                            static_cast<double>(std::numeric_limits<Scalar>::epsilon()) * sigma[0];
    Eigen::VectorXd inverse(sigma.size());
    for (Index j = 0; j < sigma.size(); ++j) {
      inverse[j] = sigma[j] > rounding ? 1 / sigma[j] : 0.0;
    }
    Basis result{std::move(parts.U), Storage(parts.V.rows(), parts.V.cols()), std::move(parts.V)};
    const auto scale = [&](const Eigen::VectorXd& by, Storage& target) {
      const Storage factors = from_host<Backend>(by.template cast<Scalar>().eval());
      K::scale_columns(device(), view_of(std::as_const(result.r_inverse)), view_of(factors),
                       view_of(target));
    };
    scale(sigma, result.r_transposed);
    scale(inverse, result.r_inverse);
    return result;
  }

  /// W - η P = U (N R_mᵀ - η Gᵀ U)ᵀ - η (I - U Uᵀ) G V Vᵀ, cut to the rank.
  static void descend(View m, View n, View dm, View dn, double learning_rate) {
    const Index r = m.cols;
    const auto rate = static_cast<Scalar>(learning_rate);
    const Basis of_m = basis_of(m);
    const Basis of_n = basis_of(n);
    Factors moved(m.rows, n.rows, 2 * r);
    moved.set_rank(2 * r);
    const View u = moved.u_view().left_columns(r);
    const View v = moved.v_view().columns(r, r);
    const View beside_u = moved.v_view().left_columns(r);
    const View beside_v = moved.u_view().columns(r, r);
    add(1, view_of(of_m.q), 0, u);
    add(1, view_of(of_n.q), 0, v);
    noalias(beside_u) = leaf(n) * of_m.r_transposed - rate * (leaf(dn) * of_m.r_inverse);
    const Storage gv = leaf(dm) * of_n.r_inverse;
    noalias(beside_v) = -rate * lazy(gv);
    noalias(beside_v) += rate * (leaf(u) * (transpose(leaf(u)) * gv));
    moved.truncate({.max_rank = r, .min_rank = r});
    add(1, moved.u_view(), 0, m);
    add(1, moved.v_view(), 0, n);
  }

  LOROOptions options_;
  double weight_decay_;
};

struct LORO {
  static constexpr MethodDescription description{
      "loro", "LORO", "Low-rank Riemannian Optimization, ICLR 2025, OpenReview i0zzO7Hslk",
      "U Vᵀ, Adam on the factors and steps on the manifold"};
  using Options = LOROOptions;
  template <class Scalar, class Backend>
  using Weight = LOROWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
