// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/dense_or_factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

struct FFSplitOptions {
  Index rank = 0;
  double dense_share = 0.5;
  double hitters = 0.1;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.real("dense-share", dense_share, 0, 1, "share of the training with a dense W");
    visitor.real("hitters", hitters, 0, 1, "share of the neurons whose weights stay dense");
  }
};

/// Dense training, after which the neurons that matter most, the heavy hitters, keep their weights
/// and all others share factors (FFSplit, arXiv 2401.04044):
///
///     W = D Eᵀ + U Vᵀ   neurons are inputs, n >= m: D is m x h, the columns of W that E picks
///     W = E D + U Vᵀ    neurons are outputs, m > n: D is h x n
///
/// with U Vᵀ the best approximation of rank r of W without them. A neuron's weight is the largest
/// norm that it adds to an output, or has as one, over the samples of the last dense step:
/// max_t |x_i(t)| ‖w_i‖, or max_t |w_iᵀ x(t)|. That step brings W and X to the host.
///
/// Differences to the paper, which compresses a trained model: here one training is both, and the
/// switch, at `dense_share` of it but after two steps at the earliest, never comes where nobody
/// knows how long that is. A weight sees
/// its own inputs and outputs alone, so that the two of a feed-forward part may choose different
/// neurons. The factors go over all neurons; at those of D they start at zero. Nothing is
/// quantised.
///
/// Memory: 4 m n scalars, then 4 ((m + n) r + min(m, n) h).
template <class Scalar, class Backend = Cpu>
class FFSplitWeight : public DenseOrFactoredWeight<Scalar, Backend> {
  using Base = DenseOrFactoredWeight<Scalar, Backend>;
  using View = ViewOn<Scalar, Backend>;
  using ConstView = ViewOn<const Scalar, Backend>;
  using K = Kernels<Backend>;

 public:
  using typename Base::Factors;
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Storage;

  FFSplitWeight(const WeightPlace& place, const FFSplitOptions& options,
                const AdamWOptions& optimizer)
      : Base(Factors(place.rows, place.cols), optimizer, optimizer),
        options_(options),
        place_(place),
        adamw_(optimizer) {
    options_.rank = detail::rank_or_quarter("ffsplit", options.rank, place.rows, place.cols);
    this->begin_dense(detail::dense_start<Scalar, Backend>(place));
  }

  /// The neurons of D, ascending; none while W is dense.
  [[nodiscard]] const std::vector<Index>& hitters() const noexcept { return hitters_; }
  /// The neurons are inputs.
  [[nodiscard]] bool is_on_inputs() const { return this->cols() >= this->rows(); }

  void forward(const Storage& x, Storage& y) override {
    Base::forward(x, y);
    if (hitters_.empty()) {
      return;
    }
    Frame frame(device().workspace());
    if (is_on_inputs()) {
      K::gemm(device(), Scalar{1}, view_of(std::as_const(dense_)), picked(frame, view_of(x)),
              Scalar{1}, view_of(y));
    } else {
      const View of_hitters = temporary(frame, x.cols());
      K::gemm(device(), Scalar{1}, view_of(std::as_const(dense_)), view_of(x), Scalar{0},
              of_hitters);
      add_picked(of_hitters, view_of(y));
    }
  }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    if (scores_are_due_) {
      score(x);
      scores_are_due_ = false;
    }
    Base::backward(x, dy, dx);
    if (hitters_.empty()) {
      return;
    }
    Frame frame(device().workspace());
    const ConstView d = view_of(std::as_const(dense_));
    if (is_on_inputs()) {
      const ConstView x_of_hitters = picked(frame, view_of(x));
      K::gemm(device(), Scalar{1}, view_of(dy), x_of_hitters.transposed(), Scalar{1},
              view_of(dense_gradient_));
      const View dx_of_hitters = temporary(frame, x.cols());
      K::gemm(device(), Scalar{1}, d.transposed(), view_of(dy), Scalar{0}, dx_of_hitters);
      add_picked(dx_of_hitters, view_of(dx));
    } else {
      const ConstView dy_of_hitters = picked(frame, view_of(dy));
      K::gemm(device(), Scalar{1}, dy_of_hitters, view_of(x).transposed(), Scalar{1},
              view_of(dense_gradient_));
      K::gemm(device(), Scalar{1}, d.transposed(), dy_of_hitters, Scalar{1}, view_of(dx));
    }
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    Base::visit_parameters(visitor);
    if (!hitters_.empty()) {
      visitor(Parameter{"weight_d", view_of(dense_), view_of(dense_gradient_)});
    }
  }

  void step(const StepInfo& info) override {
    Base::step(info);
    if (!hitters_.empty()) {
      dense_optimizer_.step(dense_, dense_gradient_, info.learning_rate, info.gradient_scale);
    }
  }

  WeightChange after_step(const StepInfo& info) override {
    const std::int64_t last = detail::steps_of(options_.dense_share, info) - 1; // dense one
    if (info.total_steps == 0 || !this->is_dense()) {
      return {};
    }
    if (info.step >= last && scores_.size() > 0) {
      split();
      return {.restarted = true};
    }
    scores_are_due_ = info.step + 1 >= last;
    return {};
  }

  void visit_shape(const NumberVisitor& visitor) override {
    Base::visit_shape(visitor);
    auto count = static_cast<std::int64_t>(hitters_.size());
    visitor("hitters", count);
    if (count != static_cast<std::int64_t>(hitters_.size())) {
      if (count < 0 || count > neurons()) {
        ACCRETE_THROW RankError("method ffsplit: " + std::to_string(count) + " of " +
                                std::to_string(neurons()) + " neurons cannot stay dense");
      }
      hitters_.assign(static_cast<std::size_t>(count), 0);
      fit();
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    std::int64_t due = scores_are_due_ ? 1 : 0;
    visitor.count("weight.scores_are_due", due);
    scores_are_due_ = due != 0;
    if (!hitters_.empty()) {
      std::vector<std::int64_t> indices(hitters_.begin(), hitters_.end());
      visitor.counts("weight_d.hitters", indices);
      hitters_.assign(indices.begin(), indices.end());
      check_hitters();
      detail::visit_optimizer(dense_optimizer_, "weight_d.", visitor);
    }
  }

  [[nodiscard]] double flops() const override {
    return Base::flops() + 6.0 * static_cast<double>(dense_.size());
  }

 private:
  using Frame = detail::Frame<Backend>;

  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  [[nodiscard]] Index neurons() const { return (std::max)(this->rows(), this->cols()); }
  [[nodiscard]] Index hitter_count() const { return static_cast<Index>(hitters_.size()); }
  /// A matrix with the neurons as columns.
  template <class Matrix>
  [[nodiscard]] auto by_neurons(Matrix&& matrix) const {
    return is_on_inputs() ? view_of(matrix) : view_of(matrix).transposed();
  }

  /// h x p, rows one after the other: its transpose has neurons as columns.
  [[nodiscard]] View temporary(Frame& frame, Index samples) const {
    return detail::temporary<Scalar>(frame, samples, hitter_count()).transposed();
  }
  /// The hitters' rows of x.
  [[nodiscard]] ConstView picked(Frame& frame, const ConstView& x) const {
    const View result = temporary(frame, x.cols);
    K::gather_columns(device(), x.transposed(), hitters_, result.transposed());
    return result;
  }
  /// Adds to the hitters' rows of y.
  void add_picked(const View& rows, const View& y) const {
    K::scatter_add_columns(device(), rows.as_const().transposed(), hitters_, y.transposed());
  }

  /// What each neuron weighs, by the samples of x.
  void score(const Storage& x) {
    const Eigen::MatrixXd w = to_host(this->weight_).template cast<double>();
    const Eigen::MatrixXd samples = to_host(x).template cast<double>();
    if (is_on_inputs()) {
      const Eigen::VectorXd lengths = w.colwise().norm().transpose();
      scores_ = samples.cwiseAbs().rowwise().maxCoeff().cwiseProduct(lengths);
    } else {
      scores_ = (w * samples).cwiseAbs().rowwise().maxCoeff();
    }
  }

  void split() {
    const auto count =
        static_cast<std::size_t>(std::llround(options_.hitters * static_cast<double>(neurons())));
    std::vector<Index> order(static_cast<std::size_t>(neurons()));
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](Index a, Index b) { return scores_[a] > scores_[b]; });
    hitters_.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count));
    std::sort(hitters_.begin(), hitters_.end());
    fit();
    Storage rest = detail::copy_of<Scalar, Backend>(view_of(std::as_const(this->weight_)));
    if (!hitters_.empty()) {
      K::gather_columns(device(), by_neurons(std::as_const(this->weight_)), hitters_,
                        by_neurons(dense_));
      K::combine(device(), Scalar{-1}, view_of(std::as_const(dense_)), Scalar{0},
                 view_of(dense_gradient_));
      K::scatter_add_columns(device(), by_neurons(std::as_const(dense_gradient_)), hitters_,
                             by_neurons(rest));
      K::fill(device(), Scalar{0}, view_of(dense_gradient_));
    }
    this->factorise(
        detail::balanced_factors<Scalar, Backend>(rest, options_.rank, detail::seed_of(place_, 3)),
        SwitchMoments::reset);
    scores_.resize(0);
  }

  /// D for as many neurons.
  void fit() {
    const Index m = is_on_inputs() ? this->rows() : hitter_count();
    const Index n = is_on_inputs() ? hitter_count() : this->cols();
    dense_ = Storage(m, n);
    dense_gradient_ = detail::zero_matrix<Scalar, Backend>(m, n);
    dense_optimizer_ = AdamW<Scalar, Backend>(m, n, adamw_);
  }
  void check_hitters() const {
    const auto repeats = std::adjacent_find(hitters_.begin(), hitters_.end(),
                                            [](Index a, Index b) { return a >= b; });
    if (repeats != hitters_.end() || hitters_.front() < 0 || hitters_.back() >= neurons()) {
      ACCRETE_THROW ArgumentError(
          "method ffsplit: the neurons that stay dense are to ascend from 0 "
          "to " +
          std::to_string(neurons() - 1) + " at most");
    }
  }

  FFSplitOptions options_;
  WeightPlace place_;
  AdamWOptions adamw_;
  std::vector<Index> hitters_;
  Storage dense_, dense_gradient_; // D
  AdamW<Scalar, Backend> dense_optimizer_;
  Eigen::VectorXd scores_;
  bool scores_are_due_ = false;
};

struct FFSplit {
  static constexpr MethodDescription description{
      "ffsplit", "FFSplit", "FFSplit: Split Feed-Forward Network, arXiv 2401.04044",
      "dense W, then its heaviest neurons beside U Vᵀ", LayerSet::mlp};
  using Options = FFSplitOptions;
  template <class Scalar, class Backend>
  using Weight = FFSplitWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
