// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/polar.hpp>
#include <accrete/factor/symmetric.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>
#include <accrete/optim/sgd.hpp>

#include <cmath>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct LoRAMuonOptions {
  Index rank = 0;
  double momentum = 0.9;
  double rebalance = 1;
  double damping = 1e-6;
  PolarMethod polar = PolarMethod::newton_schulz;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.real("momentum", momentum, 0, 0.9999, "of the averaged gradients");
    visitor.real("rebalance", rebalance, 0, 1,
                 "power to which a step evens the spectral norms of the factors out; 0: not");
    visitor.real("damping", damping, 0, 1,
                 "share of a Gram matrix's largest eigenvalue that is added to all");
    visitor.choice("polar", polar, {"exact", "muon"},
                   "orthogonal factor iterated to rounding, or by Muon's five steps");
  }
};

/// U Vᵀ from scratch by the steps that Muon would make of the product (LoRA-Muon, arXiv
/// 2606.12921). With the momenta M_U and M_V of the gradients, R_V = (VᵀV)^-1/2 and R_U =
/// (UᵀU)^-1/2:
///
///     dU = -η/2 polar(M_U R_V) R_V,   dV = -η/2 polar(M_V R_U) R_U
///     U = a U + dU / a,   V = a V + dV / a,   a = sqrt(1 - η λ)
///     U *= c,   V /= c,   c = (σ(V) / σ(U))^(rebalance / 2)
///
/// dU Vᵀ and U dVᵀ have the singular values η/2, and the matrix U Vᵀ moves the same way whichever
/// of its factorisations is at hand: for (U A, V A^-T) the steps are dU A and dV A^-T. The split
/// decay multiplies U Vᵀ by 1 - η λ and leaves dU Vᵀ and U dVᵀ as they are. Evening out changes the
/// factors alone; momenta follow it, as gradients do. σ are those of the factors before the step.
///
/// Both factors start with orthogonal columns of one length. Published with η = 0.1, momentum 0.9,
/// λ = 0.01. Memory: (m + n) r weights, as many gradients, as many of momentum. A step: 8 (m + n)
/// r² FLOPs beside the polar factors, with two eigenvalue problems of size r on the host, whose r x
/// r matrices are the only memory that it asks for.
///
/// From a description, not from code. There the polar factor is approximated by eight steps, here
/// iterated to rounding unless Muon's five are asked for, and how the momenta are treated when the
/// factors are evened out is not said.
template <class Scalar, class Backend = Cpu>
class LoRAMuonWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>, SGD<Scalar, Backend>> {
  using Base = FactoredWeight<LowRankMatrix<Scalar, Backend>, SGD<Scalar, Backend>>;
  using View = ViewOn<Scalar, Backend>;
  using K = Kernels<Backend>;

 public:
  using typename Base::Storage;

  LoRAMuonWeight(const WeightPlace& place, const LoRAMuonOptions& options,
                 const AdamWOptions& optimizer)
      // A momentum without dampening is the average times 1 / (1 - β): the same polar factor.
      : Base(detail::orthogonal_factors<Scalar, Backend>(
                 place, detail::rank_or_quarter("lora-muon", options.rank, place.rows, place.cols)),
             SGDOptions{.momentum = options.momentum}),
        options_(options),
        weight_decay_(optimizer.weight_decay) {}

  /// @throws ArgumentError for a learning rate and a decay whose product is 1 or more.
  void step(const StepInfo& info) override {
    const double kept = 1 - info.learning_rate * weight_decay_;
    if (!(kept > 0)) {
      ACCRETE_THROW ArgumentError("lora-muon: learning rate " +
                                  detail::number_text(info.learning_rate) + " times weight decay " +
                                  detail::number_text(weight_decay_) +
                                  " must be below 1; lower one of them");
    }
    const View u = this->factors().u_view();
    const View v = this->factors().v_view();
    const Whitening of_u = whitening(u);
    const Whitening of_v = whitening(v);
    const double a = std::sqrt(kept);
    update(this->u_optimizer_, u, this->u_gradient(), of_v.root, a, info);
    update(this->v_optimizer_, v, this->v_gradient(), of_u.root, a, info);
    if (options_.rebalance > 0 && of_u.norm > 0 && of_v.norm > 0) {
      const double c = std::pow(of_v.norm / of_u.norm, options_.rebalance / 2);
      scale(u, c);
      scale(v, 1 / c);
      scale(this->u_optimizer_.momentum(), 1 / c);
      scale(this->v_optimizer_.momentum(), c);
    }
  }

 private:
  /// (FᵀF)^-1/2 of a factor, and its spectral norm.
  struct Whitening {
    Storage root;
    double norm;
  };

  [[nodiscard]] Whitening whitening(View factor) const {
    auto& context = Context<Backend>::current();
    const auto f = detail::factor_leaf<Scalar, Backend>(factor);
    detail::HostEigen eigen = detail::symmetric_eigen(context, transpose(f) * f);
    const Index r = factor.cols;
    const double largest = (std::max)(eigen.values[0], 0.0);
    for (Index j = 0; j < r; ++j) {
      // Directions that are zero, or rounding alone, are left out where nothing is added.
      const double value = (std::max)(eigen.values[j], 0.0) + options_.damping * largest;
      eigen.vectors.col(j) *= value > 0 ? std::pow(value, -0.25) : 0.0;
    }
    const Storage b = detail::rounded<Scalar, Backend>(context.device(), eigen.vectors);
    Whitening result{Storage(r, r), std::sqrt(largest)};
    noalias(result.root) = lazy(b) * transpose(b);
    return result;
  }

  /// F = a F - η/2 polar(M R) R / a
  void update(SGD<Scalar, Backend>& optimizer, View factor, View gradient, const Storage& root,
              double a, const StepInfo& info) {
    auto& device = Context<Backend>::current().device();
    detail::Frame<Backend> frame(device.workspace());
    const View m = detail::temporary<Scalar>(frame, factor.rows, factor.cols);
    const View o = detail::temporary<Scalar>(frame, factor.rows, factor.cols);
    const auto leaf = [](View view) { return detail::factor_leaf<Scalar, Backend>(view); };
    optimizer.direction(gradient, m, info.gradient_scale);
    noalias(o) = leaf(m) * root;
    detail::polar_in_place<Backend>(device, o, options_.polar);
    scale(factor, a);
    noalias(factor) -= static_cast<Scalar>(info.learning_rate / (2 * a)) * (leaf(o) * root);
  }
  static void scale(View values, double by) {
    K::combine(Context<Backend>::current().device(), static_cast<Scalar>(by), values.as_const(),
               Scalar{0}, values);
  }

  LoRAMuonOptions options_;
  double weight_decay_;
};

struct LoRAMuon {
  static constexpr MethodDescription description{"lora-muon", "LoRA-Muon",
                                                 "LoRA-Muon, arXiv 2606.12921",
                                                 "U Vᵀ, steps of Muon on the product"};
  using Options = LoRAMuonOptions;
  template <class Scalar, class Backend>
  using Weight = LoRAMuonWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
