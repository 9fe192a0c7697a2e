// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/optimizer_step.hpp>
#include <accrete/optim/column_state.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// Names and defaults of torch.optim.AdamW.
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  /// Added to the bias-corrected root of the second moment; above 0, or an entry whose gradient was
  /// always zero would be divided by zero.
  double epsilon = 1e-8;
  /// Decoupled: a step first multiplies the parameter by 1 - learning_rate * weight_decay.
  double weight_decay = 0.01;

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    const auto require = [](bool holds, const char* name, double value, const char* domain) {
      detail::require_option(holds, "AdamW", name, value, domain);
    };
    require(detail::is_finite(beta1) && beta1 >= 0 && beta1 < 1, "beta1", beta1, "[0, 1)");
    require(detail::is_finite(beta2) && beta2 >= 0 && beta2 < 1, "beta2", beta2, "[0, 1)");
    require(detail::is_finite(epsilon) && epsilon > 0, "epsilon", epsilon, "(0, infinity)");
    require(detail::is_finite(weight_decay) && weight_decay >= 0, "weight_decay", weight_decay,
            "[0, infinity)");
  }

  /// Calls visit(name, field) for every field, to write or to read them.
  template <class Visitor>
  void visit(const Visitor& visitor) {
    visitor("beta1", beta1);
    visitor("beta2", beta2);
    visitor("epsilon", epsilon);
    visitor("weight_decay", weight_decay);
  }
};

/// How AdamW::rotate carries the second moment over. What the gradients of different columns have
/// to do with each other is not stored, so each form assumes something.
enum class SecondMoment : unsigned char {
  /// The columns' deviations from their means are uncorrelated: variances are rotated apart from
  /// the squared means, |(V - M²) (C∘C) + (M C)²| of the corrected moments (LDAdam: Robert et al.,
  /// ICLR 2025). Exact for gradients that do not change and for permutations.
  variance,
  /// The columns' gradients themselves are uncorrelated: V (C∘C). Never below the least of the
  /// mixed moments; for beta1 = 0, whose mean is a single gradient.
  uncorrelated
};

/// AdamW's state of one m x k parameter whose columns come and go (Loshchilov and Hutter, Decoupled
/// Weight Decay Regularization, ICLR 2019; the arithmetic of torch.optim.AdamW).
///
/// Every column counts its own steps. A column that joins late gets the bias corrections of its own
/// age: its first step has the length of the learning rate. Under a count that all share it would
/// be (1 - beta1) / sqrt(1 - beta2) times that, 3.2 times with the default betas.
///
/// Memory: 2 m * capacity scalars.
template <class MatrixScalar, class MatrixBackend = Cpu>
class AdamW {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using HostMatrix = typename BasisChange<Scalar>::HostMatrix;

  AdamW() : AdamW(0, 0) {}

  /// State of a rows x cols parameter that has not been updated, with room for `capacity` columns.
  /// @throws ArgumentError for options outside their domain, ShapeError for negative sizes.
  AdamW(Index rows, Index cols, const AdamWOptions& options = {}, Index capacity = 0)
      : options_(validated(options)), state_("AdamW", rows, cols, capacity) {}

  [[nodiscard]] Index rows() const noexcept { return state_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return state_.cols(); }
  [[nodiscard]] Index capacity() const noexcept { return state_.capacity(); }
  [[nodiscard]] const AdamWOptions& options() const noexcept { return options_; }

  /// First and second moment, m x k; writable to restore a checkpoint.
  [[nodiscard]] ViewOn<Scalar, Backend> first() noexcept { return state_.moment(0); }
  [[nodiscard]] ViewOn<Scalar, Backend> second() noexcept { return state_.moment(1); }
  [[nodiscard]] ViewOn<const Scalar, Backend> first() const noexcept { return state_.moment(0); }
  [[nodiscard]] ViewOn<const Scalar, Backend> second() const noexcept { return state_.moment(1); }
  /// How often each column was updated.
  [[nodiscard]] std::span<std::int64_t> steps() noexcept { return state_.steps(); }
  [[nodiscard]] std::span<const std::int64_t> steps() const noexcept { return state_.steps(); }
  /// For how many steps each column still rests.
  [[nodiscard]] std::span<std::int64_t> frozen() noexcept { return state_.frozen(); }
  [[nodiscard]] std::span<const std::int64_t> frozen() const noexcept { return state_.frozen(); }

  /// Calls visit(name, buffer) for everything that a checkpoint needs beside the options: Views of
  /// the moments and spans of the counts, all of cols() columns. What is written into them becomes
  /// the state; restored into an AdamW of the same options it goes on bit for bit.
  template <class Visitor>
  void visit_state(const Visitor& visitor) {
    visitor("first_moment", first());
    visitor("second_moment", second());
    visitor("steps", steps());
    visitor("frozen", frozen());
  }

  /// One update of `parameter` by `gradient`, which is multiplied by `gradient_scale` as it is read
  /// (to clip a norm without a pass of its own). One pass over memory, no allocation once warm.
  /// @throws ShapeError when a shape differs from rows() x cols(), ArgumentError for a rate or a
  /// scale that is not finite.
  template <class Parameter, class Gradient>
  void step(Parameter&& parameter, const Gradient& gradient, double learning_rate,
            double gradient_scale = 1.0) {
    step_views(view_of(parameter), view_of(gradient), learning_rate, gradient_scale);
  }

  /// The same update of the moments; `out` receives what a step would subtract, without the
  /// learning rate and without weight decay. For optimizers that work in a subspace.
  template <class Gradient, class Output>
  void direction(const Gradient& gradient, Output&& out, double gradient_scale = 1.0) {
    direction_views(view_of(gradient), view_of(out), gradient_scale);
  }

  /// Makes room for `columns` columns; never shrinks.
  void reserve(Index columns) { state_.reserve(columns); }
  /// Gives back what the columns do not need.
  void shrink_to_fit() { state_.shrink_to_fit(); }

  /// New columns at the right, never updated. The moments of the others stay bit for bit.
  /// Moves nothing within the capacity, doubles it otherwise.
  void append_columns(Index count) { state_.append(count); }

  /// Column j becomes what column `indices[j]` was, bit for bit; the others are dropped.
  /// @throws RankError for an index outside the columns.
  void keep_columns(std::span<const Index> indices) { state_.keep(indices); }

  /// Carries the state over to the parameter whose gradient is `gradient * change` (k x k_new):
  /// the first moment m * change is exact, the second as `second` says; each new column takes the
  /// counts of the old column that contributes most, a zero column starts anew. O(m k k_new).
  /// @throws ShapeError when change has another number of rows than this has columns.
  void rotate(const HostMatrix& change, SecondMoment second = SecondMoment::variance) {
    State rotated = state_.rotated(change);
    if (change.rows() > 0) {
      if (second == SecondMoment::variance) {
        rotate_variance(change, rotated);
      } else {
        State::multiply(std::as_const(state_).moment(1), change.cwiseAbs2(), Scalar{0},
                        rotated.moment(1));
      }
    }
    state_ = std::move(rotated);
  }

  /// Forgets all moments and counts.
  void reset() { state_.reset(); }

  /// Forgets the moments and the step counts of these columns alone.
  /// @throws RankError for an index outside the columns.
  void reset_columns(std::span<const Index> indices) { state_.reset_columns(indices); }

  /// The next `steps` steps leave these columns as they are: the parameter, its decay, the moments
  /// and the step counts. @throws RankError, ArgumentError for a negative count.
  void freeze_columns(std::span<const Index> indices, std::int64_t steps) {
    state_.freeze(indices, steps);
  }

  /// Zeroes a share of the entries, of both moments at once: a second moment that is zero beside a
  /// first that is not would make a step without bound. Step counts stay. Returns how many entries
  /// were not zero before. Passes through host memory: for restarts, not for every step.
  /// @throws ArgumentError for options outside their domain.
  Index prune(const Pruning& pruning) { return state_.prune(pruning); }

 private:
  using State = detail::ColumnState<Scalar, Backend, 2>;

  void step_views(ViewOn<Scalar, Backend> parameter, ViewOn<const Scalar, Backend> gradient,
                  double learning_rate, double gradient_scale) {
    const double decay = 1.0 - learning_rate * options_.weight_decay;
    advance("AdamW::step", parameter, gradient, learning_rate, decay, gradient_scale);
  }

  void direction_views(ViewOn<const Scalar, Backend> gradient, ViewOn<Scalar, Backend> out,
                       double gradient_scale) {
    check("AdamW::direction", "output", out, gradient, 1.0, gradient_scale);
    Kernels<Backend>::fill(State::device(), Scalar{0}, out);
    advance("AdamW::direction", out, gradient, -1.0, 1.0, gradient_scale);
  }

  static AdamWOptions validated(const AdamWOptions& options) {
    options.validate();
    if (static_cast<Scalar>(options.epsilon) < (std::numeric_limits<Scalar>::min)()) {
      ACCRETE_THROW ArgumentError(
          "AdamW: epsilon = " + detail::number_text(options.epsilon) +
          " is zero or subnormal in the parameter's scalar; give at least " +
          detail::number_text((std::numeric_limits<Scalar>::min)()));
    }
    return options;
  }

  void check(const char* operation, const char* name, const ViewOn<Scalar, Backend>& target,
             const ViewOn<const Scalar, Backend>& gradient, double learning_rate,
             double gradient_scale) const {
    state_.check_shape(operation, name, target.rows, target.cols);
    state_.check_shape(operation, "gradient", gradient.rows, gradient.cols);
    detail::check_rate(operation, learning_rate, gradient_scale);
  }

  void advance(const char* operation, ViewOn<Scalar, Backend> parameter,
               ViewOn<const Scalar, Backend> gradient, double learning_rate, double decay,
               double gradient_scale) {
    check(operation, "parameter", parameter, gradient, learning_rate, gradient_scale);
    const AdamWStep<Scalar> shared{static_cast<Scalar>(1.0 - options_.beta1),
                                   static_cast<Scalar>(1.0 - options_.beta2),
                                   static_cast<Scalar>(options_.epsilon),
                                   static_cast<Scalar>(decay), static_cast<Scalar>(gradient_scale)};
    state_.for_each_active_run([&](Index begin, Index count) {
      Kernels<Backend>::adamw_update(State::device(), parameter.columns(begin, count),
                                     gradient.columns(begin, count), first().columns(begin, count),
                                     second().columns(begin, count), shared,
                                     count_and_correct(begin, count, learning_rate));
    });
  }

  /// Counts a step of each of these columns and returns their corrections, one for all where the
  /// counts are equal.
  std::span<const AdamWColumn<Scalar>> count_and_correct(Index begin, Index count,
                                                         double learning_rate) {
    const auto columns =
        steps().subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
    bool uniform = true;
    corrections_.resize(columns.size());
    for (std::size_t j = 0; j < columns.size(); ++j) {
      ++columns[j];
      const bool same = j > 0 && columns[j] == columns[j - 1];
      corrections_[j] = same ? corrections_[j - 1] : correction(columns[j], learning_rate);
      uniform = uniform && (j == 0 || same);
    }
    return std::span<const AdamWColumn<Scalar>>(corrections_).first(uniform ? 1 : columns.size());
  }

  /// 1 - beta^t without the cancellation of the first steps.
  static double one_minus_power(double beta, std::int64_t t) {
    return -std::expm1(static_cast<double>(t) * std::log(beta));
  }

  [[nodiscard]] AdamWColumn<Scalar> correction(std::int64_t count, double learning_rate) const {
    return {static_cast<Scalar>(learning_rate / one_minus_power(options_.beta1, count)),
            static_cast<Scalar>(1.0 / std::sqrt(one_minus_power(options_.beta2, count)))};
  }

  /// The corrections before and after the change are diagonal matrices, and so part of the small
  /// factors: V' = |V A - (M∘M) B + (M N)∘(M N)|.
  void rotate_variance(const HostMatrix& change, State& rotated) const {
    HostMatrix of_second = change.cwiseAbs2();
    HostMatrix of_squares = of_second;
    HostMatrix of_mean = change;
    for (Index i = 0; i < change.rows(); ++i) {
      const std::int64_t count = steps()[static_cast<std::size_t>(i)];
      // A column that was never updated has no moments.
      const double mean = count > 0 ? 1 / one_minus_power(options_.beta1, count) : 0.0;
      const double square = count > 0 ? 1 / one_minus_power(options_.beta2, count) : 0.0;
      of_second.row(i) *= static_cast<Scalar>(square);
      of_squares.row(i) *= static_cast<Scalar>(-mean * mean);
      of_mean.row(i) *= static_cast<Scalar>(mean);
    }
    for (Index j = 0; j < change.cols(); ++j) {
      const std::int64_t count = std::as_const(rotated).steps()[static_cast<std::size_t>(j)];
      const double square = one_minus_power(options_.beta2, count);
      of_second.col(j) *= static_cast<Scalar>(square);
      of_squares.col(j) *= static_cast<Scalar>(square);
      of_mean.col(j) *= static_cast<Scalar>(std::sqrt(square));
    }
    auto& device = State::device();
    detail::Frame<Backend> frame(device.workspace());
    const auto squares = detail::temporary<Scalar>(frame, rows(), cols());
    const auto means = detail::temporary<Scalar>(frame, rows(), change.cols());
    const ViewOn<Scalar, Backend> target = rotated.moment(1);
    Kernels<Backend>::hadamard(device, Scalar{1}, first(), first(), Scalar{0}, squares);
    State::multiply(second(), of_second, Scalar{0}, target);
    State::multiply(squares, of_squares, Scalar{1}, target);
    State::multiply(first(), of_mean, Scalar{0}, means);
    const ViewOn<const Scalar, Backend> mean(means);
    Kernels<Backend>::hadamard(device, Scalar{1}, mean, mean, Scalar{1}, target);
    Kernels<Backend>::absolute(device, target);
  }

  AdamWOptions options_;
  State state_;
  std::vector<AdamWColumn<Scalar>> corrections_;
};

ACCRETE_END_NAMESPACE
