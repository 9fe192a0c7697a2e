// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/polar.hpp>
#include <accrete/matrix/low_rank_matrix.hpp>
#include <accrete/optim/column_state.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct MuonOptions {
  double momentum = 0.95;
  bool nesterov = true;
  /// Decoupled: a step first multiplies the parameter by 1 - learning_rate * weight_decay.
  double weight_decay = 0;

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    const auto require = [](bool holds, const char* name, double value, const char* domain) {
      detail::require_option(holds, "Muon", name, value, domain);
    };
    require(detail::is_finite(momentum) && momentum >= 0 && momentum < 1, "momentum", momentum,
            "[0, 1)");
    require(detail::is_finite(weight_decay) && weight_decay >= 0, "weight_decay", weight_decay,
            "[0, infinity)");
  }

  /// Calls visit(name, field) for every field, to write or to read them.
  template <class Visitor>
  void visit(const Visitor& visitor) {
    visitor("momentum", momentum);
    visitor("nesterov", nesterov);
    visitor("weight_decay", weight_decay);
  }
};

/// Muon on one m x k parameter whose columns come and go (Jordan et al., Muon: An optimizer for
/// hidden layers in neural networks, 2024; torch.optim.Muon's "original" scale):
///
///     b = momentum * b + (1 - momentum) g
///     d = nesterov ? (1 - momentum) g + momentum * b : b
///     o = polar_factor(d, {.method = PolarMethod::muon}): singular values about 0.7 to 1.2
///     p = (1 - learning_rate * weight_decay) p - learning_rate * sqrt(max(1, m / k)) * o
///
/// For hidden layers' matrices and for factors U and V of their own; other parameters take AdamW.
/// Every step turns all columns together: unlike with AdamW, a column's step depends on the others.
/// The scale is that of the shape as stored: V (n x k) gets that of an n x k matrix, although it
/// acts as Vᵀ.
///
/// A step costs 5 (4 m k² + 2 k³) FLOPs for m >= k. Memory m * capacity scalars, and 3 m k in the
/// step.
template <class MatrixScalar, class MatrixBackend = Cpu>
class Muon {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using HostMatrix = typename BasisChange<Scalar>::HostMatrix;

  Muon() : Muon(0, 0) {}

  /// @throws ArgumentError for options outside their domain, ShapeError for negative sizes.
  Muon(Index rows, Index cols, const MuonOptions& options = {}, Index capacity = 0)
      : options_(options), state_("Muon", rows, cols, capacity) {
    options_.validate();
  }

  [[nodiscard]] Index rows() const noexcept { return state_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return state_.cols(); }
  [[nodiscard]] Index capacity() const noexcept { return state_.capacity(); }
  [[nodiscard]] const MuonOptions& options() const noexcept { return options_; }

  /// The momentum b, m x k; writable to restore a checkpoint.
  [[nodiscard]] ViewOn<Scalar, Backend> momentum() noexcept { return state_.moment(0); }
  [[nodiscard]] ViewOn<const Scalar, Backend> momentum() const noexcept { return state_.moment(0); }
  /// How often each column was updated, and for how many steps it still rests.
  [[nodiscard]] std::span<std::int64_t> steps() noexcept { return state_.steps(); }
  [[nodiscard]] std::span<const std::int64_t> steps() const noexcept { return state_.steps(); }
  [[nodiscard]] std::span<std::int64_t> frozen() noexcept { return state_.frozen(); }
  [[nodiscard]] std::span<const std::int64_t> frozen() const noexcept { return state_.frozen(); }

  /// As AdamW::visit_state.
  template <class Visitor>
  void visit_state(const Visitor& visitor) {
    visitor("momentum", momentum());
    visitor("steps", steps());
    visitor("frozen", frozen());
  }

  /// One update of `parameter` by `gradient * gradient_scale`. A zero gradient and momentum make no
  /// step. @throws ShapeError when a shape differs from rows() x cols(), ArgumentError for a rate
  /// or a scale that is not finite, NumericError when the gradient is not.
  template <class Parameter, class Gradient>
  void step(Parameter&& parameter, const Gradient& gradient, double learning_rate,
            double gradient_scale = 1.0) {
    step_views(view_of(parameter), view_of(gradient), learning_rate, gradient_scale);
  }

  /// The same update of the momentum; `out` receives what a step would subtract, without the
  /// learning rate and without weight decay.
  template <class Gradient, class Output>
  void direction(const Gradient& gradient, Output&& out, double gradient_scale = 1.0) {
    direction_views(view_of(gradient), view_of(out), gradient_scale);
  }

  /// As the members of AdamW of these names. The momentum is linear in the gradients, so rotate()
  /// is exact.
  void reserve(Index columns) { state_.reserve(columns); }
  /// Gives back what the columns do not need.
  void shrink_to_fit() { state_.shrink_to_fit(); }
  void append_columns(Index count) { state_.append(count); }
  void keep_columns(std::span<const Index> indices) { state_.keep(indices); }
  void rotate(const HostMatrix& change) { state_ = state_.rotated(change); }
  void reset() { state_.reset(); }
  void reset_columns(std::span<const Index> indices) { state_.reset_columns(indices); }
  void freeze_columns(std::span<const Index> indices, std::int64_t steps) {
    state_.freeze(indices, steps);
  }
  Index prune(const Pruning& pruning) { return state_.prune(pruning); }

 private:
  using State = detail::ColumnState<Scalar, Backend, 1>;

  void step_views(ViewOn<Scalar, Backend> parameter, ViewOn<const Scalar, Backend> gradient,
                  double learning_rate, double gradient_scale) {
    check("Muon::step", "parameter", parameter, gradient, learning_rate, gradient_scale);
    advance(parameter, gradient, learning_rate, 1.0 - learning_rate * options_.weight_decay,
            gradient_scale);
  }

  void direction_views(ViewOn<const Scalar, Backend> gradient, ViewOn<Scalar, Backend> out,
                       double gradient_scale) {
    check("Muon::direction", "output", out, gradient, 1.0, gradient_scale);
    Kernels<Backend>::fill(State::device(), Scalar{0}, out);
    advance(out, gradient, -1.0, 1.0, gradient_scale);
  }

  void check(const char* operation, const char* name, const ViewOn<Scalar, Backend>& target,
             const ViewOn<const Scalar, Backend>& gradient, double learning_rate,
             double gradient_scale) const {
    state_.check_shape(operation, name, target.rows, target.cols);
    state_.check_shape(operation, "gradient", gradient.rows, gradient.cols);
    detail::check_rate(operation, learning_rate, gradient_scale);
    if (!Kernels<Backend>::all_finite(State::device(), gradient)) {
      detail::throw_not_finite(operation, gradient.rows, gradient.cols);
    }
  }

  void advance(ViewOn<Scalar, Backend> parameter, ViewOn<const Scalar, Backend> gradient,
               double learning_rate, double decay, double gradient_scale) {
    if (parameter.empty()) {
      return;
    }
    auto& device = State::device();
    const auto add = [&](double alpha, ViewOn<const Scalar, Backend> source, double beta,
                         ViewOn<Scalar, Backend> target) {
      Kernels<Backend>::combine(device, static_cast<Scalar>(alpha), source,
                                static_cast<Scalar>(beta), target);
    };
    detail::Frame<Backend> frame(device.workspace());
    const auto update = detail::temporary<Scalar>(frame, rows(), cols());
    Kernels<Backend>::fill(device, Scalar{0}, update); // resting columns take no part
    const double beta = options_.momentum;
    state_.for_each_active_run([&](Index begin, Index count) {
      const ViewOn<const Scalar, Backend> g = gradient.columns(begin, count);
      const ViewOn<Scalar, Backend> b = momentum().columns(begin, count);
      const ViewOn<Scalar, Backend> d = update.columns(begin, count);
      const ViewOn<Scalar, Backend> p = parameter.columns(begin, count);
      add((1.0 - beta) * gradient_scale, g, beta, b);
      add(1.0, b, 0.0, d);
      if (options_.nesterov) {
        add((1.0 - beta) * gradient_scale, g, beta, d);
      }
      if (decay != 1.0) {
        add(decay, p, 0.0, p);
      }
      for (std::int64_t& steps : steps_of(begin, count)) {
        ++steps;
      }
    });
    detail::polar_in_place<Backend>(device, update, PolarMethod::muon);
    const double shape = (std::max)(1.0, static_cast<double>(rows()) / static_cast<double>(cols()));
    add(-learning_rate * std::sqrt(shape), update.as_const(), 1.0, parameter);
  }

  std::span<std::int64_t> steps_of(Index begin, Index count) noexcept {
    return steps().subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
  }

  MuonOptions options_;
  State state_;
};

ACCRETE_END_NAMESPACE
