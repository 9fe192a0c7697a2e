// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/function.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <cmath>

ACCRETE_BEGIN_NAMESPACE

struct CoLAOptions {
  Index rank = 0;
  bool only_low_rank_activation = true;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.flag("only-low-rank-activation", only_low_rank_activation,
                 "the activation between the factors replaces the one after the layer");
  }
};

/// A nonlinearity between two factors: activations, not weights, have a low rank (Liu et al., CoLA,
/// EMNLP 2025, arXiv 2502.10940). With Z = Vᵀ X (r x p), H = silu(Z) and silu(z) = z / (1 +
/// exp(-z)):
///
///     Y = U H
///     dU = dY Hᵀ,   dZ = (Uᵀ dY) ∘ silu'(Z),   dV = X dZᵀ,   dX = V dZ
///
/// U (m x r) is the paper's B and V (n x r) its A, transposed. Both start normal with the variance
/// (r (m + n))^-1/2, so that the entries of U Vᵀ have the variance 1 / (m + n), whatever the place
/// asks for: the map is none of a matrix, and the authors' configurations start so.
///
/// Of a forward pass Z alone is kept; H is computed again. Memory: (m + n) r scalars of weights, as
/// many of gradients, twice as many of AdamW's state.
///
/// The authors leave out the activation after the layer in their models of 350 M parameters and
/// more and keep both in those of 60 M and 130 M: only_low_rank_activation, by default as in the
/// large ones. Their recomputation (CoLA-M) is a matter of the model, not of a weight.
template <class Scalar, class Backend = Cpu>
class CoLAWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>> {
  using Base = FactoredWeight<LowRankMatrix<Scalar, Backend>>;

 public:
  using typename Base::Storage;

  CoLAWeight(const WeightPlace& place, const CoLAOptions& options, const AdamWOptions& optimizer)
      : Base(start(place, detail::rank_or_quarter("cola", options.rank, place.rows, place.cols)),
             optimizer),
        replaces_activation_(options.only_low_rank_activation) {}

  void forward(const Storage& x, Storage& y) override {
    if (z_.rows() != this->factors().rank() || z_.cols() != x.cols()) {
      z_ = Storage(this->factors().rank(), x.cols());
    }
    noalias(z_) = transpose(v()) * x;
    detail::Frame<Backend> frame(device().workspace());
    const auto h = detail::temporary<Scalar>(frame, z_.rows(), z_.cols());
    Kernels<Backend>::map(device(), Function::silu, view_of(z_).as_const(), h);
    noalias(y) = u() * leaf(h);
  }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    detail::Frame<Backend> frame(device().workspace());
    const auto h = detail::temporary<Scalar>(frame, z_.rows(), z_.cols());
    Kernels<Backend>::map(device(), Function::silu, view_of(z_).as_const(), h);
    noalias(this->u_gradient()) += lazy(dy) * transpose(leaf(h));

    const auto slope = h; // H is used up
    Kernels<Backend>::map(device(), Function::silu_slope, view_of(z_).as_const(), slope);
    const auto dz = detail::temporary<Scalar>(frame, z_.rows(), z_.cols());
    noalias(dz) = transpose(u()) * dy;
    Kernels<Backend>::hadamard(device(), Scalar{1}, dz.as_const(), slope.as_const(), Scalar{0}, dz);
    noalias(this->v_gradient()) += lazy(x) * transpose(leaf(dz));
    noalias(dx) = v() * leaf(dz);
  }

  [[nodiscard]] bool replaces_activation() const override { return replaces_activation_; }

 private:
  using Leaf = detail::FactorLeaf<Scalar, Backend>;

  static LowRankMatrix<Scalar, Backend> start(const WeightPlace& place, Index rank) {
    const double deviation =
        std::pow(static_cast<double>(rank) * static_cast<double>(place.rows + place.cols), -0.25);
    return {detail::normal_matrix<Scalar, Backend>(place.rows, rank, deviation,
                                                   detail::seed_of(place, 1)),
            detail::normal_matrix<Scalar, Backend>(place.cols, rank, deviation,
                                                   detail::seed_of(place, 2))};
  }
  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static Leaf leaf(ViewOn<const Scalar, Backend> view) {
    return detail::factor_leaf<Scalar, Backend>(view);
  }
  [[nodiscard]] Leaf u() { return leaf(this->factors().u_view()); }
  [[nodiscard]] Leaf v() { return leaf(this->factors().v_view()); }

  bool replaces_activation_;
  Storage z_; // Vᵀ X
};

struct CoLA {
  static constexpr MethodDescription description{
      "cola", "CoLA", "Liu et al., CoLA, EMNLP 2025, arXiv 2502.10940",
      "U silu(Vᵀ x), two factors with a nonlinearity between them"};
  using Options = CoLAOptions;
  template <class Scalar, class Backend>
  using Weight = CoLAWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
