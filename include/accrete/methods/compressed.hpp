// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>
#include <accrete/methods/dense_weight.hpp>
#include <accrete/methods/options.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct CompressedOptions {
  Index rank = 0;
  double scale = 0.01;
  double rate_ratio = 5;
  std::int64_t gradients = 1;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors, twice the rank that is expected; 0: a quarter of the smaller "
                  "side");
    visitor.real("scale", scale, 1e-6, 1e6, "of each of the three factors at the start");
    visitor.real("rate-ratio", rate_ratio, 1e-6, 1e6,
                 "learning rate of the outer factors over that of the core");
    visitor.whole("gradients", gradients, 1, detail::most_steps,
                  "first steps whose gradients are summed for the start");
  }
};

/// A deep linear network of three factors, W = U C Vᵀ with U m x r, C r x r and V n x r, that
/// starts in the leading singular subspaces of the first gradients (Kwon et al., Efficient
/// Compression of Overparameterized Deep Models through Low-Dimensional Learning Dynamics, AISTATS
/// 2024): there the updates of the wide network of depth three would stay anyway. With the sum of
/// the first gradients -G = P S Qᵀ,
///
///     U = ε P_r,  C = ε I,  V = ε Q_r;   U and V are trained at α η, C at η (discrepant rates).
///
/// The gradients are those of factors, from thin products: with Z = Vᵀ X and D = Uᵀ dY,
/// dU = dY (C Z)ᵀ, dC = D Zᵀ, dV = X (Cᵀ D)ᵀ.
///
/// The authors compress a matrix problem whose data give the subspaces before the training. A layer
/// gets them by its first steps, in which nothing is updated: until then random factors of the same
/// size stand there, since a weight of zero would pass no gradient on. Their rates are for gradient
/// descent, here they are AdamW's. α is 5 in their matrix completion, 1 in their other tasks.
/// Memory: 4 ((m + n) r + r²) scalars, and m n for the sum of the first gradients.
template <class WeightScalar, class WeightBackend = Cpu>
class CompressedWeight : public TrainedWeight<WeightScalar, WeightBackend> {
  using Base = TrainedWeight<WeightScalar, WeightBackend>;

 public:
  using typename Base::Backend;
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Scalar;
  using typename Base::Storage;

  CompressedWeight(const WeightPlace& place, const CompressedOptions& options,
                   const AdamWOptions& optimizer)
      : options_(options), adamw_(optimizer), rows_(place.rows), cols_(place.cols) {
    set_columns(detail::rank_or_quarter("compressed", options.rank, rows_, cols_));
    auto& device = Context<Backend>::current().device();
    const auto fill = [&](std::uint64_t stream, Storage& factor) { // columns of length ε on average
      const double deviation = options.scale / std::sqrt(static_cast<double>(factor.rows()));
      Kernels<Backend>::fill_normal(device, detail::seed_of(place, stream), deviation,
                                    view_of(factor));
    };
    fill(1, u_.value);
    fill(2, v_.value);
    set_core();
    sum_ = detail::zero_matrix<Scalar, Backend>(rows_, cols_);
  }

  [[nodiscard]] Index rows() const override { return rows_; }
  [[nodiscard]] Index cols() const override { return cols_; }

  void forward(const Storage& x, Storage& y) override {
    assign(z_, transpose(v_.value) * x);
    assign(cz_, lazy(core_.value) * z_);
    noalias(y) = lazy(u_.value) * cz_;
  }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    if (is_starting()) {
      noalias(sum_) += lazy(dy) * transpose(x);
    }
    assign(d_, transpose(u_.value) * dy);
    assign(cd_, transpose(core_.value) * d_);
    noalias(u_.gradient) += lazy(dy) * transpose(cz_);
    noalias(core_.gradient) += lazy(d_) * transpose(z_);
    noalias(v_.gradient) += lazy(x) * transpose(cd_);
    noalias(dx) = lazy(v_.value) * cd_;
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    visitor(Parameter{"weight_u", view_of(u_.value), view_of(u_.gradient)});
    visitor(Parameter{"weight_core", view_of(core_.value), view_of(core_.gradient)});
    visitor(Parameter{"weight_v", view_of(v_.value), view_of(v_.gradient)});
  }

  void step(const StepInfo& info) override {
    if (!is_starting()) {
      u_.step(info, options_.rate_ratio);
      core_.step(info, 1);
      v_.step(info, options_.rate_ratio);
    }
  }

  WeightChange after_step(const StepInfo& info) override {
    if (is_starting() && info.step + 1 >= options_.gradients) {
      const auto parts = svd(lazy(sum_));
      copy_scaled(-options_.scale, parts.U, u_.value);
      copy_scaled(options_.scale, parts.V, v_.value);
      sum_ = Storage();
    }
    return {};
  }

  void visit_shape(const NumberVisitor& visitor) override {
    std::int64_t columns = core_.value.cols(), starting = is_starting() ? 1 : 0;
    visitor("columns", columns);
    visitor("starting", starting);
    if (columns < 1 || columns > (std::min)(rows_, cols_)) {
      ACCRETE_THROW RankError("a " + detail::shape_text(rows_, cols_) +
                              " weight cannot have factors of " + std::to_string(columns) +
                              " columns");
    }
    if (columns != core_.value.cols()) {
      set_columns(static_cast<Index>(columns));
    }
    if ((starting != 0) != is_starting()) {
      sum_ = starting != 0 ? Storage(rows_, cols_) : Storage();
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    if (is_starting()) {
      visitor.tensor("weight.first_gradients", view_of(sum_));
    }
    detail::visit_optimizer(u_.optimizer, "weight_u.", visitor);
    detail::visit_optimizer(core_.optimizer, "weight_core.", visitor);
    detail::visit_optimizer(v_.optimizer, "weight_v.", visitor);
  }

  [[nodiscard]] WeightRank rank() const override {
    return {core_.value.cols(), core_.value.cols()};
  }
  [[nodiscard]] double flops() const override {
    return 6.0 * static_cast<double>((rows_ + cols_ + core_.value.cols()) * core_.value.cols());
  }

 private:
  struct Factor {
    Storage value, gradient;
    AdamW<Scalar, Backend> optimizer;

    Factor() = default;
    Factor(Index rows, Index cols, const AdamWOptions& adamw)
        : value(rows, cols),
          gradient(detail::zero_matrix<Scalar, Backend>(rows, cols)),
          optimizer(rows, cols, adamw) {}

    void step(const StepInfo& info, double ratio) {
      optimizer.step(value, gradient, info.learning_rate * ratio, info.gradient_scale);
    }
  };

  /// The first gradients are summed.
  [[nodiscard]] bool is_starting() const noexcept { return sum_.size() > 0; }

  void set_columns(Index columns) {
    u_ = Factor(rows_, columns, adamw_);
    core_ = Factor(columns, columns, adamw_);
    v_ = Factor(cols_, columns, adamw_);
  }
  void set_core() {
    auto& device = Context<Backend>::current().device();
    Kernels<Backend>::fill(device, Scalar{0}, view_of(core_.value));
    Kernels<Backend>::add_diagonal(device, static_cast<Scalar>(options_.scale),
                                   view_of(core_.value));
  }
  static void copy_scaled(double scale, const Storage& from, Storage& to) {
    Kernels<Backend>::combine(Context<Backend>::current().device(), static_cast<Scalar>(scale),
                              view_of(from).left_columns(to.cols()), Scalar{0}, view_of(to));
  }
  /// Allocates for a batch of another size alone.
  template <class Node>
  static void assign(Storage& target, const Node& node) {
    detail::fit_storage(target, node.rows(), node.cols());
    noalias(target) = node;
  }

  CompressedOptions options_;
  AdamWOptions adamw_;
  Index rows_, cols_;
  Factor u_, core_, v_;
  Storage sum_;             // of the first gradients
  Storage z_, cz_, d_, cd_; // Vᵀ X, C Vᵀ X, Uᵀ dY, Cᵀ Uᵀ dY
};

struct Compressed {
  static constexpr MethodDescription description{
      "compressed", "Compressed deep linear network",
      "Kwon et al., Efficient Compression of Overparameterized Deep Models through Low-Dimensional "
      "Learning Dynamics, AISTATS 2024, arXiv 2311.05061",
      "three factors, from the singular subspaces of the first gradients"};
  using Options = CompressedOptions;
  template <class Scalar, class Backend>
  using Weight = CompressedWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
