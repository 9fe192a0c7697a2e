// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/spectral_weight.hpp>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

struct PowerpropagationOptions {
  Index rank = 0;
  Index power = 2;
  std::int64_t period = 200;
  double cutoff = 0.05;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "at the start; 0: a quarter of the smaller side");
    visitor.whole("power", power, 1, 8, "alpha; 1: the singular values themselves");
    visitor.whole("period", period, 1, detail::most_steps, "steps between two cuts");
    visitor.real("cutoff", cutoff, 0, 1, "singular values below this part of the largest are cut");
  }
};

/// W = U diag(σ) Vᵀ with columns of length 1 and singular values σ = θ |θ|^(α-1), the
/// reparameterisation of Schwarz et al., Powerpropagation, NeurIPS 2021, arXiv 2110.00296, which is
/// there one of all entries of W. The gradient
///
///     dθ = α |θ|^(α-1) dσ
///
/// moves what is large more than what is small, so that small singular values stay behind and can
/// be cut: every `period` steps those below `cutoff` times the largest go, with their directions.
/// θ starts as sign(σ) |σ|^(1/α), for which W is the same. All three are trained by AdamW, whose
/// weight decay acts on θ.
///
/// The paper is about sparse entries; that it is a prior of low rank where it acts on singular
/// values is this library's reading. Powers are whole numbers, the paper's are 1 to 5. Memory for c
/// directions: 4 c (m + n + 1) with gradients and state, and 4 c.
template <class Scalar, class Backend = Cpu>
class PowerpropagationWeight : public SpectralWeight<Scalar, Backend> {
  using Base = SpectralWeight<Scalar, Backend>;

 public:
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Storage;

  PowerpropagationWeight(const WeightPlace& place, const PowerpropagationOptions& options,
                         const AdamWOptions& optimizer)
      : PowerpropagationWeight(
            detail::rank_or_quarter("powerpropagation", options.rank, place.rows, place.cols),
            place, options, optimizer) {}

  void forward(const Storage& x, Storage& y) override {
    raise();
    Base::forward(x, y);
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    visitor(Parameter{"weight_u", view_of(this->u_), view_of(this->u_gradient_)});
    visitor(Parameter{"weight_theta", view_of(theta_), view_of(this->sigma_gradient_)});
    visitor(Parameter{"weight_v", view_of(this->v_), view_of(this->v_gradient_)});
  }

  void step(const StepInfo& info) override {
    this->step_factors(info.learning_rate, info.gradient_scale);
    this->step_row(theta_, info.learning_rate, info.gradient_scale);
  }

  WeightChange after_step(const StepInfo& info) override {
    if ((info.step + 1) % options_.period == 0) {
      raise();
      cut();
    }
    return {};
  }

  void visit_shape(const NumberVisitor& visitor) override {
    Base::visit_shape(visitor);
    fit();
  }

 private:
  PowerpropagationWeight(Index rank, const WeightPlace& place,
                         const PowerpropagationOptions& options, const AdamWOptions& optimizer)
      : PowerpropagationWeight(svd(detail::normal_factors<Scalar, Backend>(place, rank)), options,
                               optimizer) {}
  PowerpropagationWeight(const SVD<Scalar, Backend>& parts, const PowerpropagationOptions& options,
                         const AdamWOptions& optimizer)
      : Base(parts, parts.U.cols(), parts.U.cols(), false, optimizer), options_(options) {
    fit();
    const double root = 1 / static_cast<double>(options.power);
    this->upload(parts.singular_values.array().pow(root).matrix(), theta_);
  }

  /// σ and dσ/dθ from θ.
  void raise() {
    auto& device = Base::device();
    const auto multiply = [&](double factor, const Storage& a, const Storage& b, Storage& product) {
      Kernels<Backend>::hadamard(device, static_cast<Scalar>(factor), view_of(a), view_of(b),
                                 Scalar{0}, view_of(product));
    };
    const auto power = static_cast<double>(options_.power);
    Base::copy(view_of(std::as_const(theta_)), view_of(magnitude_));
    Kernels<Backend>::absolute(device, view_of(magnitude_));
    Kernels<Backend>::fill(device, static_cast<Scalar>(power), view_of(this->slope_));
    for (Index i = 1; i < options_.power; ++i) {
      multiply(1, this->slope_, magnitude_, this->sigma_);
      std::swap(this->slope_, this->sigma_);
    }
    multiply(1 / power, theta_, this->slope_, this->sigma_);
  }
  void cut() {
    const Eigen::VectorXd size = this->host_sigma().cwiseAbs();
    std::vector<Index> kept;
    for (Index i = 0; i < size.size(); ++i) {
      if (size[i] >= options_.cutoff * size.maxCoeff()) {
        kept.push_back(i);
      }
    }
    if (static_cast<Index>(kept.size()) < size.size()) {
      this->keep(kept);
      Base::gather_entries(theta_, kept);
      fit();
    }
  }
  void fit() {
    if (theta_.rows() != this->directions()) {
      theta_ = Storage(this->directions(), 1);
    }
    magnitude_ = Storage(this->directions(), 1);
    this->slope_ = Storage(this->directions(), 1);
  }

  PowerpropagationOptions options_;
  Storage theta_, magnitude_;
};

struct Powerpropagation {
  static constexpr MethodDescription description{
      "powerpropagation", "Powerpropagation of σ",
      "Schwarz et al., Powerpropagation, NeurIPS 2021, arXiv 2110.00296",
      "U diag(θ |θ|^(α-1)) Vᵀ, small singular values are cut"};
  using Options = PowerpropagationOptions;
  template <class Scalar, class Backend>
  using Weight = PowerpropagationWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
