// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/random.hpp>
#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/spectral_weight.hpp>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

struct SSTOptions {
  Index rank = 0;
  std::int64_t period = 200;
  std::int64_t samplings = 0;
  std::int64_t warmup = 20;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "directions trained at a time; 0: a quarter of the smaller side");
    visitor.whole("period", period, 1, detail::most_steps, "steps between two samplings, T3");
    visitor.whole("samplings", samplings, 0, detail::most_steps,
                  "from one SVD of W to the next, T2; 0: min(m, n) / rank");
    visitor.whole("warmup", warmup, 0, detail::most_steps,
                  "steps over which the rate rises after a sampling");
  }
};

namespace detail {

/// The order of a draw of all indices without replacement, one after the other with probabilities
/// proportional to 1/k + values[i] / sum. Exponential clocks of these rates ring in that order
/// (Efraimidis and Spirakis, 2006).
[[nodiscard]] inline std::vector<Index> spectral_sample(const Eigen::VectorXd& values,
                                                        std::uint64_t seed) {
  const Index count = values.size();
  const double sum = values.sum();
  Eigen::VectorXd clock(count);
  for (Index i = 0; i < count; ++i) {
    const double rate = 1 / static_cast<double>(count) + (sum > 0 ? values[i] / sum : 0.0);
    clock[i] = -std::log(uniform_pair(static_cast<std::uint64_t>(i), seed).first) / rate;
  }
  std::vector<Index> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return clock[a] < clock[b]; });
  return order;
}

} // namespace detail

/// Sparse spectral training (Zhao et al., SST, ICML 2025, arXiv 2405.15481): W = U diag(σ) Vᵀ with
/// all k = min(m, n) singular directions. Each step trains all of σ, and U and V in r directions:
///
///     σ <- max(σ - η AdamW(dσ), 0)
///     u_i <- unit(u_i - η Adam(G v_i)),   v_i <- unit(v_i - η Adam(Gᵀ u_i)),   i active
///
/// The gradients of u_i and v_i lack the factor σ_i, so that directions of small singular values
/// learn as the others do. Every `period` steps r directions are drawn anew, without replacement
/// and with probabilities (1/k + σ_i / Σσ) / 2; the moments of U and V are forgotten and the rate
/// rises anew. After `samplings` of them the SVD of W makes U and V orthonormal again.
///
/// G is not formed. Memory: k (m + n + 1) weights, r (m + n) + k gradients and twice as much state.
/// There is no code of the authors to compare with. Where the paper leaves it open: σ's moments,
/// which belong to values that are trained at each step, move with their directions and are
/// forgotten at an SVD alone; weight decay acts on σ, before the step.
template <class Scalar, class Backend = Cpu>
class SSTWeight : public SpectralWeight<Scalar, Backend> {
  using Base = SpectralWeight<Scalar, Backend>;

 public:
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::View;

  SSTWeight(const WeightPlace& place, const SSTOptions& options, const AdamWOptions& optimizer)
      : Base(svd(detail::dense_start<Scalar, Backend>(place)), (std::min)(place.rows, place.cols),
             detail::rank_or_quarter("sst", options.rank, place.rows, place.cols), true, optimizer),
        options_(options),
        place_(place) {
    if (options_.samplings == 0) {
      options_.samplings = (std::max<Index>)(1, this->directions() / this->active());
    }
    sample(0);
  }

  /// Trained and frozen columns of U and V apart.
  void visit_parameters(const ParameterVisitor& visitor) override {
    const auto show = [&](const char* trained, const char* frozen, View all, View gradient) {
      const Index active = gradient.cols;
      visitor(Parameter{trained, all.left_columns(active), gradient, GradientKind::modified});
      if (active < all.cols) {
        visitor(Parameter{frozen, all.columns(active, all.cols - active), {}});
      }
    };
    show("weight_u_active", "weight_u_frozen", view_of(this->u_), view_of(this->u_gradient_));
    visitor(Parameter{"weight_sigma", view_of(this->sigma_), view_of(this->sigma_gradient_)});
    show("weight_v_active", "weight_v_frozen", view_of(this->v_), view_of(this->v_gradient_));
  }

  void step(const StepInfo& info) override {
    const auto since = static_cast<double>(info.step % options_.period + 1);
    const auto rising = static_cast<double>(options_.warmup);
    const double rate = info.learning_rate * (since < rising ? since / rising : 1.0);
    this->step_factors(rate, info.gradient_scale);
    this->step_row(this->sigma_, rate, info.gradient_scale);
    clip_at_zero();
  }

  WeightChange after_step(const StepInfo& info) override {
    const std::int64_t done = info.step + 1;
    if (done % options_.period != 0) {
      return {};
    }
    if (done / options_.period % options_.samplings == 0) {
      decompose();
    }
    sample(done);
    return {};
  }

 private:
  /// σ <- max(σ, 0) = (σ + |σ|) / 2
  void clip_at_zero() {
    auto& device = Base::device();
    detail::Frame<Backend> frame(device.workspace());
    const auto absolute = frame.template matrix<Scalar>(this->directions(), 1);
    Base::copy(view_of(this->sigma_), absolute);
    Kernels<Backend>::absolute(device, absolute);
    Kernels<Backend>::combine(device, Scalar{0.5}, absolute.as_const(), Scalar{0.5},
                              view_of(this->sigma_));
  }
  void decompose() {
    auto& device = Base::device();
    Kernels<Backend>::scale_columns(device, view_of(std::as_const(this->u_)),
                                    view_of(std::as_const(this->sigma_)), view_of(this->u_));
    this->assign(svd(outer(this->u_, this->v_)));
    this->sigma_optimizer_.reset();
  }
  /// Brings the drawn directions to the front.
  void sample(std::int64_t done) {
    std::vector<Index> order = detail::spectral_sample(
        this->host_sigma(), detail::seed_of(place_, static_cast<std::uint64_t>(done) + 1));
    this->gather(order);
    this->u_optimizer_.reset();
    this->v_optimizer_.reset();
  }

  SSTOptions options_;
  WeightPlace place_;
};

struct SST {
  static constexpr MethodDescription description{
      "sst", "SST", "Zhao et al., Sparse Spectral Training, ICML 2025, arXiv 2405.15481",
      "U diag(σ) Vᵀ: σ, and sampled columns of U and V"};
  using Options = SSTOptions;
  template <class Scalar, class Backend>
  using Weight = SSTWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
