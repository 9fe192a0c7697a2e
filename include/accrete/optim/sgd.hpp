// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/optim/column_state.hpp>

#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// Names and defaults of torch.optim.SGD.
struct SGDOptions {
  double momentum = 0;
  /// The momentum takes in 1 - dampening of each gradient but the first.
  double dampening = 0;
  bool nesterov = false;
  /// Coupled: weight_decay times the parameter is part of the gradient.
  double weight_decay = 0;

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    const auto require = [](bool holds, const char* name, double value, const char* domain) {
      detail::require_option(holds, "SGD", name, value, domain);
    };
    require(detail::is_finite(momentum) && momentum >= 0, "momentum", momentum, "[0, infinity)");
    require(detail::is_finite(dampening), "dampening", dampening, "(-infinity, infinity)");
    require(detail::is_finite(weight_decay) && weight_decay >= 0, "weight_decay", weight_decay,
            "[0, infinity)");
    if (nesterov && (momentum == 0 || dampening != 0)) {
      ACCRETE_THROW ArgumentError("SGD: nesterov needs a momentum above 0 and no dampening");
    }
  }

  /// Calls visit(name, field) for every field, to write or to read them.
  template <class Visitor>
  void visit(const Visitor& visitor) {
    visitor("momentum", momentum);
    visitor("dampening", dampening);
    visitor("nesterov", nesterov);
    visitor("weight_decay", weight_decay);
  }
};

/// Stochastic gradient descent with momentum on one m x k parameter whose columns come and go; the
/// arithmetic of torch.optim.SGD:
///
///     g = gradient + weight_decay * p
///     b = g at a column's first step, momentum * b + (1 - dampening) g later
///     p = p - learning_rate * (nesterov ? g + momentum * b : b)
///
/// Every column counts its own steps, so that a new one starts from its own first gradient.
/// Memory: m * capacity scalars.
template <class MatrixScalar, class MatrixBackend = Cpu>
class SGD {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using HostMatrix = typename BasisChange<Scalar>::HostMatrix;

  SGD() : SGD(0, 0) {}

  /// @throws ArgumentError for options outside their domain, ShapeError for negative sizes.
  SGD(Index rows, Index cols, const SGDOptions& options = {}, Index capacity = 0)
      : options_(options), state_("SGD", rows, cols, capacity) {
    options_.validate();
  }

  [[nodiscard]] Index rows() const noexcept { return state_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return state_.cols(); }
  [[nodiscard]] Index capacity() const noexcept { return state_.capacity(); }
  [[nodiscard]] const SGDOptions& options() const noexcept { return options_; }

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

  /// One update of `parameter` by `gradient * gradient_scale`. Allocates nothing.
  /// @throws ShapeError when a shape differs from rows() x cols(), ArgumentError for a rate or a
  /// scale that is not finite.
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
    state_.check_shape("SGD::step", "parameter", parameter.rows, parameter.cols);
    advance("SGD::step", parameter, gradient, learning_rate, options_.weight_decay, gradient_scale);
  }

  void direction_views(ViewOn<const Scalar, Backend> gradient, ViewOn<Scalar, Backend> out,
                       double gradient_scale) {
    state_.check_shape("SGD::direction", "output", out.rows, out.cols);
    state_.check_shape("SGD::direction", "gradient", gradient.rows, gradient.cols);
    Kernels<Backend>::fill(State::device(), Scalar{0}, out);
    advance("SGD::direction", out, gradient, -1.0, 0.0, gradient_scale);
  }

  void advance(const char* operation, ViewOn<Scalar, Backend> parameter,
               ViewOn<const Scalar, Backend> gradient, double learning_rate, double weight_decay,
               double gradient_scale) {
    state_.check_shape(operation, "gradient", gradient.rows, gradient.cols);
    detail::check_rate(operation, learning_rate, gradient_scale);
    state_.for_each_active_run([&](Index begin, Index count) {
      for (const Index end = begin + count; begin < end;) {
        // Columns at their first step, or columns beyond it.
        const bool first = step_count(begin) == 0;
        Index last = begin;
        while (last < end && (step_count(last) == 0) == first) {
          ++step_count(last++);
        }
        advance_columns(parameter.columns(begin, last - begin),
                        gradient.columns(begin, last - begin),
                        momentum().columns(begin, last - begin), first, learning_rate, weight_decay,
                        gradient_scale);
        begin = last;
      }
    });
  }

  void advance_columns(ViewOn<Scalar, Backend> parameter, ViewOn<const Scalar, Backend> gradient,
                       ViewOn<Scalar, Backend> momentum, bool first, double learning_rate,
                       double weight_decay, double gradient_scale) const {
    auto& device = State::device();
    const auto add = [&](double alpha, ViewOn<const Scalar, Backend> source, double beta,
                         ViewOn<Scalar, Backend> target) {
      Kernels<Backend>::combine(device, static_cast<Scalar>(alpha), source,
                                static_cast<Scalar>(beta), target);
    };
    if (options_.momentum != 0) {
      const double weight = first ? 1.0 : 1.0 - options_.dampening;
      add(weight * gradient_scale, gradient, first ? 0.0 : options_.momentum, momentum);
      if (weight_decay != 0) {
        add(weight * weight_decay, parameter, 1.0, momentum);
      }
    }
    if (options_.momentum == 0 || options_.nesterov) {
      add(-learning_rate * gradient_scale, gradient, 1.0 - learning_rate * weight_decay, parameter);
    }
    if (options_.momentum != 0) {
      add(options_.nesterov ? -learning_rate * options_.momentum : -learning_rate, momentum, 1.0,
          parameter);
    }
  }

  std::int64_t& step_count(Index column) noexcept {
    return state_.steps()[static_cast<std::size_t>(column)];
  }

  SGDOptions options_;
  State state_;
};

ACCRETE_END_NAMESPACE
