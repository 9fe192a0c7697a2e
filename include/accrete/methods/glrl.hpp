// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/randomized_svd.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/projected_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

ACCRETE_BEGIN_NAMESPACE

struct GreedyLowRankOptions {
  enum class Converged : unsigned char { interval, gradient };

  Index rank = 0;
  Index initial_rank = 1;
  double new_value = 1e-3;
  Converged converged = Converged::interval;
  std::int64_t interval = 100;
  double tolerance = 0.1;
  BasisSearch direction = BasisSearch::randomized;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "up to which it grows; 0: a quarter of the smaller side");
    visitor.whole("initial-rank", initial_rank, 1, detail::most_rank, "at the start");
    visitor.real("new-value", new_value, 1e-30, 1e6, "singular value that a new column brings");
    visitor.choice(
        "converged", converged, {"interval", "gradient"},
        "when the rank grows: after so many steps, or when the gradient has become small");
    visitor.whole("interval", interval, 1, detail::most_steps, "steps between two growths");
    visitor.real("tolerance", tolerance, 0, 1,
                 "the gradient is small at this part of its largest norm since the last growth");
    visitor.choice("direction", direction, {"randomized", "exact"},
                   "SVD that gives the new column");
  }
};

/// Greedy low-rank learning: the rank grows by one whenever the training at the present rank has
/// converged, into the direction in which the loss falls fastest (Li, Luo and Lyu, ICLR 2021, who
/// show that gradient flow on factors from an infinitesimal start does this by itself):
///
///     G = dL/dW = P S Qᵀ,   U <- [U, -sqrt(ε) p_1],   V <- [V, sqrt(ε) q_1],
///
/// as long as σ_1 > 0, so that W changes by -ε p_1 q_1ᵀ. All columns are trained on.
///
/// The paper grows a symmetric U Uᵀ from W = 0, by gradient descent, until the loss has converged.
/// Here the start has `initial-rank` random columns of about the same small size, since with W = 0
/// throughout no gradient passes a network. A weight sees no loss: `gradient` takes the norm of its
/// factors' gradient, which first rises while a new column leaves the saddle point and then falls.
/// The default is a fixed interval, since the noise of batches keeps that norm from falling.
/// Convergence is judged after a step, the direction found in the next gradient, the first where a
/// step has several, and G is not formed for it. Memory: 4 (m + n) r scalars.
template <class Scalar, class Backend = Cpu>
class GreedyLowRankWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>> {
  using Base = FactoredWeight<LowRankMatrix<Scalar, Backend>>;

 public:
  using typename Base::Storage;

  GreedyLowRankWeight(const WeightPlace& place, const GreedyLowRankOptions& options,
                      const AdamWOptions& optimizer)
      : Base(start(place, options), optimizer),
        options_(options),
        most_(detail::rank_or_quarter("glrl", options.rank, place.rows, place.cols)),
        seed_(detail::seed_of(place, 3)) {}

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    if (growth_is_due_) {
      find_direction(x, dy);
      growth_is_due_ = false;
    }
    Base::backward(x, dy, dx);
  }

  WeightChange after_step(const StepInfo& info) override {
    bool converged = is_converged(info.step + 1);
    if (direction_.singular_values.size() > 0) {
      converged = converged && options_.converged == GreedyLowRankOptions::Converged::interval;
      append_direction();
    }
    growth_is_due_ = converged && this->factors().rank() < most_;
    return {};
  }

  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    std::int64_t due = growth_is_due_ ? 1 : 0;
    visitor.count("weight.growth_is_due", due);
    growth_is_due_ = due != 0;
    visitor.number("weight.largest_gradient", largest_gradient_);
  }

 private:
  static LowRankMatrix<Scalar, Backend> start(const WeightPlace& place,
                                              const GreedyLowRankOptions& options) {
    const Index most = detail::rank_or_quarter("glrl", options.rank, place.rows, place.cols);
    if (options.initial_rank > most) {
      ACCRETE_THROW ArgumentError(
          "method glrl: initial-rank = " + std::to_string(options.initial_rank) +
          " exceeds the rank " + std::to_string(most) + "; lower it or raise rank");
    }
    const auto columns = [&](Index rows, std::uint64_t stream) { // of length sqrt(ε) on average
      const double deviation = std::sqrt(options.new_value / static_cast<double>(rows));
      return detail::normal_matrix<Scalar, Backend>(rows, options.initial_rank, deviation,
                                                    detail::seed_of(place, stream));
    };
    return {columns(place.rows, 1), columns(place.cols, 2)};
  }

  [[nodiscard]] bool is_converged(std::int64_t done) {
    if (options_.converged == GreedyLowRankOptions::Converged::interval) {
      return done % options_.interval == 0;
    }
    auto& device = Context<Backend>::current().device();
    const double norm =
        std::sqrt(Kernels<Backend>::squared_norm(device, this->u_gradient().as_const()) +
                  Kernels<Backend>::squared_norm(device, this->v_gradient().as_const()));
    largest_gradient_ = (std::max)(largest_gradient_, norm);
    return norm <= options_.tolerance * largest_gradient_;
  }

  void find_direction(const Storage& x, const Storage& dy) {
    const auto gradient = lazy(dy) * transpose(x);
    direction_ = options_.direction == BasisSearch::exact
                     ? svd(gradient)
                     : randomized_svd(gradient, {.rank = 1, .seed = seed_});
    if (direction_.singular_values.size() > 0 && direction_.singular_values[0] == 0) {
      direction_ = {};
    }
  }

  void append_direction() {
    auto& factors = this->factors();
    if (factors.rank() == factors.capacity()) {
      factors.reserve((std::min)(2 * factors.capacity(), most_));
    }
    factors.set_rank(factors.rank() + 1);
    const auto fill = [&](double length, const Storage& from, ViewOn<Scalar, Backend> to) {
      Kernels<Backend>::combine(Context<Backend>::current().device(), static_cast<Scalar>(length),
                                view_of(from).left_columns(1), Scalar{0},
                                to.columns(to.cols - 1, 1));
    };
    fill(-std::sqrt(options_.new_value), direction_.U, factors.u_view());
    fill(std::sqrt(options_.new_value), direction_.V, factors.v_view());
    direction_ = {};
    largest_gradient_ = 0;
    this->fit();
  }

  GreedyLowRankOptions options_;
  Index most_;
  std::uint64_t seed_;
  bool growth_is_due_ = false;
  double largest_gradient_ = 0;    // since the last growth
  SVD<Scalar, Backend> direction_; // from a backward pass to the end of its step
};

struct GreedyLowRank {
  static constexpr MethodDescription description{
      "glrl", "Greedy low-rank learning",
      "Li, Luo and Lyu, Towards Resolving the Implicit Bias of Gradient Descent for Matrix "
      "Factorization: Greedy Low-Rank Learning, ICLR 2021, arXiv 2012.09839",
      "U Vᵀ whose rank grows by one whenever it has converged"};
  using Options = GreedyLowRankOptions;
  template <class Scalar, class Backend>
  using Weight = GreedyLowRankWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
