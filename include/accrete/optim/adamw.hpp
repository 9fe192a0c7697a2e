// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/optimizer_step.hpp>
#include <accrete/matrix/basis_change.hpp>
#include <accrete/plan/context.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// Names and defaults of torch.optim.AdamW.
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  /// Added to the bias-corrected root of the second moment.
  double epsilon = 1e-8;
  /// Decoupled: a step first multiplies the parameter by 1 - learning_rate * weight_decay.
  double weight_decay = 0.01;

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    const auto require = [](bool holds, const char* name, double value, const char* domain) {
      if (!holds) {
        throw ArgumentError(std::string("AdamW: ") + name + " = " + std::to_string(value) +
                            " is outside " + domain);
      }
    };
    require(beta1 >= 0 && beta1 < 1, "beta1", beta1, "[0, 1)");
    require(beta2 >= 0 && beta2 < 1, "beta2", beta2, "[0, 1)");
    require(epsilon >= 0 && std::isfinite(epsilon), "epsilon", epsilon, "[0, infinity)");
    require(weight_decay >= 0 && std::isfinite(weight_decay), "weight_decay", weight_decay,
            "[0, infinity)");
  }
};

/// AdamW's state of one m x k parameter whose columns come and go (Loshchilov and Hutter, Decoupled
/// Weight Decay Regularization, ICLR 2019; the arithmetic of torch.optim.AdamW).
///
/// Every column counts its own steps. A column that joins late gets the bias corrections of its own
/// age: its first step has the length of the learning rate. Under a count that all share it would
/// be (1 - beta1) / sqrt(1 - beta2) times that, 3.2 times with the default betas.
///
/// Memory: 2 m * capacity scalars.
template <class Scalar, class Backend = Cpu>
class AdamW {
 public:
  using HostMatrix = typename BasisChange<Scalar>::HostMatrix;

  AdamW() : AdamW(0, 0) {}

  /// State of a rows x cols parameter that has not been updated, with room for `capacity` columns.
  /// @throws ArgumentError for options outside their domain, ShapeError for negative sizes.
  AdamW(Index rows, Index cols, const AdamWOptions& options = {}, Index capacity = 0)
      : options_(options) {
    options_.validate();
    if (rows < 0 || cols < 0) {
      throw ShapeError("AdamW: a " + detail::shape_text(rows, cols) + " parameter has no state");
    }
    first_ = Storage(rows, std::max(cols, capacity));
    second_ = Storage(rows, std::max(cols, capacity));
    steps_.reserve(static_cast<std::size_t>(std::max(cols, capacity)));
    append_columns(cols);
  }

  [[nodiscard]] Index rows() const noexcept { return first_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return static_cast<Index>(steps_.size()); }
  [[nodiscard]] Index capacity() const noexcept { return first_.cols(); }
  [[nodiscard]] const AdamWOptions& options() const noexcept { return options_; }

  /// First and second moment, m x k; writable to restore a checkpoint.
  [[nodiscard]] View<Scalar> first() noexcept { return view_of(first_).left_columns(cols()); }
  [[nodiscard]] View<Scalar> second() noexcept { return view_of(second_).left_columns(cols()); }
  [[nodiscard]] View<const Scalar> first() const noexcept {
    return view_of(first_).left_columns(cols());
  }
  [[nodiscard]] View<const Scalar> second() const noexcept {
    return view_of(second_).left_columns(cols());
  }
  /// How often each column was updated.
  [[nodiscard]] std::span<std::int64_t> steps() noexcept { return steps_; }
  [[nodiscard]] std::span<const std::int64_t> steps() const noexcept { return steps_; }

  /// One update of `parameter` by `gradient`, which is multiplied by `gradient_scale` as it is read
  /// (to clip a norm without a pass of its own). One pass over memory, no allocation once warm.
  /// @throws ShapeError when a shape differs from rows() x cols(), ArgumentError for a rate or a
  /// scale that is not finite.
  void step(View<Scalar> parameter, View<const Scalar> gradient, double learning_rate,
            double gradient_scale = 1.0) {
    const double decay = 1.0 - learning_rate * options_.weight_decay;
    advance("AdamW::step", parameter, gradient, learning_rate, decay, gradient_scale);
  }

  /// The same update of the moments; `out` receives what a step would subtract, without the
  /// learning rate and without weight decay. For optimizers that work in a subspace.
  void direction(View<const Scalar> gradient, View<Scalar> out, double gradient_scale = 1.0) {
    check_shape("AdamW::direction", "output", out.rows, out.cols);
    Kernels<Backend>::fill(device(), Scalar{0}, out);
    advance("AdamW::direction", out, gradient, -1.0, 1.0, gradient_scale);
  }

  /// Makes room for `columns` columns; never shrinks.
  void reserve(Index columns) {
    if (columns <= capacity()) {
      return;
    }
    Storage first(rows(), columns);
    Storage second(rows(), columns);
    copy(std::as_const(*this).first(), view_of(first).left_columns(cols()));
    copy(std::as_const(*this).second(), view_of(second).left_columns(cols()));
    steps_.reserve(static_cast<std::size_t>(columns));
    first_ = std::move(first);
    second_ = std::move(second);
  }

  /// New columns at the right, never updated. The moments of the others stay bit for bit.
  /// Moves nothing within the capacity, doubles it otherwise.
  void append_columns(Index count) {
    if (count < 0) {
      throw ArgumentError("AdamW: cannot append " + std::to_string(count) +
                          " columns; use keep_columns to drop some");
    }
    const Index before = cols();
    if (before + count > capacity()) {
      reserve(std::max(2 * capacity(), before + count));
    }
    steps_.resize(static_cast<std::size_t>(before + count), 0);
    clear(before, count);
  }

  /// Column j becomes what column `indices[j]` was, bit for bit; the others are dropped.
  /// @throws RankError for an index outside the columns.
  void keep_columns(std::span<const Index> indices) {
    for (const Index index : indices) {
      if (index < 0 || index >= cols()) {
        throw RankError("AdamW: keep_columns of column " + std::to_string(index) +
                        ", but there are " + std::to_string(cols()));
      }
    }
    AdamW kept(rows(), 0, options_, std::max(capacity(), static_cast<Index>(indices.size())));
    kept.append_columns(static_cast<Index>(indices.size()));
    for (std::size_t j = 0; j < indices.size(); ++j) {
      const auto target = static_cast<Index>(j);
      copy(std::as_const(*this).first().columns(indices[j], 1), kept.first().columns(target, 1));
      copy(std::as_const(*this).second().columns(indices[j], 1), kept.second().columns(target, 1));
      kept.steps_[j] = steps_[static_cast<std::size_t>(indices[j])];
    }
    *this = std::move(kept);
  }

  /// Carries the state over to the parameter whose gradient is `gradient * change` (k x k_new):
  /// the first moment m * change is exact; the second, v * (change ∘ change), takes the old
  /// columns' gradients for uncorrelated; each new column takes the step count of the old column
  /// that contributes most, a zero column starts anew.
  /// @throws ShapeError when change has another number of rows than this has columns.
  void rotate(const HostMatrix& change) {
    if (change.rows() != cols()) {
      throw ShapeError("AdamW: rotate by a " + detail::shape_text(change.rows(), change.cols()) +
                       " matrix, but there are " + std::to_string(cols()) +
                       " columns; its rows must be the old columns");
    }
    AdamW rotated(rows(), change.cols(), options_, std::max(capacity(), change.cols()));
    multiply(std::as_const(*this).first(), change, rotated.first());
    multiply(std::as_const(*this).second(), change.cwiseAbs2(), rotated.second());
    for (Index j = 0; j < change.cols(); ++j) {
      Index dominant = 0;
      const bool any = change.rows() > 0 && change.col(j).cwiseAbs().maxCoeff(&dominant) > 0;
      rotated.steps_[static_cast<std::size_t>(j)] =
          any ? steps_[static_cast<std::size_t>(dominant)] : 0;
    }
    *this = std::move(rotated);
  }

  /// Forgets all moments and counts.
  void reset() {
    std::ranges::fill(steps_, 0);
    clear(0, cols());
  }

 private:
  using Storage = Matrix<Scalar, Backend>;

  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static void copy(View<const Scalar> from, View<Scalar> to) {
    Kernels<Backend>::combine(device(), Scalar{1}, from, Scalar{0}, to);
  }

  void clear(Index begin, Index count) {
    Kernels<Backend>::fill(device(), Scalar{0}, view_of(first_).columns(begin, count));
    Kernels<Backend>::fill(device(), Scalar{0}, view_of(second_).columns(begin, count));
  }

  static void multiply(View<const Scalar> moment, const HostMatrix& change, View<Scalar> target) {
    Storage factor(change.rows(), change.cols());
    Kernels<Backend>::upload(device(), change.data(), view_of(factor));
    Kernels<Backend>::gemm(device(), Scalar{1}, moment, View<const Scalar>(view_of(factor)),
                           Scalar{0}, target);
  }

  void check_shape(const char* operation, const char* name, Index m, Index k) const {
    if (m != rows() || k != cols()) {
      throw ShapeError(std::string(operation) + ": the " + name + " is " +
                       detail::shape_text(m, k) + " but the state " +
                       detail::shape_text(rows(), cols()) +
                       "; append_columns or keep_columns when the parameter does");
    }
  }

  void advance(const char* operation, View<Scalar> parameter, View<const Scalar> gradient,
               double learning_rate, double decay, double gradient_scale) {
    check_shape(operation, "parameter", parameter.rows, parameter.cols);
    check_shape(operation, "gradient", gradient.rows, gradient.cols);
    if (!std::isfinite(learning_rate) || !std::isfinite(gradient_scale)) {
      throw ArgumentError(
          std::string(operation) + ": learning_rate = " + std::to_string(learning_rate) +
          ", gradient_scale = " + std::to_string(gradient_scale) + "; both must be finite");
    }
    if (cols() == 0) {
      return;
    }
    std::int64_t previous = -1;
    bool uniform = true;
    corrections_.resize(steps_.size());
    for (std::size_t j = 0; j < steps_.size(); ++j) {
      const std::int64_t count = ++steps_[j];
      corrections_[j] = count == previous ? corrections_[j - 1] : correction(count, learning_rate);
      uniform = uniform && (j == 0 || count == previous);
      previous = count;
    }
    const AdamWStep<Scalar> shared{static_cast<Scalar>(1.0 - options_.beta1),
                                   static_cast<Scalar>(1.0 - options_.beta2),
                                   static_cast<Scalar>(options_.epsilon),
                                   static_cast<Scalar>(decay), static_cast<Scalar>(gradient_scale)};
    const std::span<const AdamWColumn<Scalar>> columns(corrections_);
    Kernels<Backend>::adamw_update(device(), parameter, gradient, first(), second(), shared,
                                   uniform ? columns.first(1) : columns);
  }

  [[nodiscard]] AdamWColumn<Scalar> correction(std::int64_t count, double learning_rate) const {
    // 1 - beta^t without the cancellation of the first steps.
    const auto one_minus_power = [t = static_cast<double>(count)](double beta) {
      return -std::expm1(t * std::log(beta));
    };
    return {static_cast<Scalar>(learning_rate / one_minus_power(options_.beta1)),
            static_cast<Scalar>(1.0 / std::sqrt(one_minus_power(options_.beta2)))};
  }

  AdamWOptions options_;
  Storage first_;
  Storage second_;
  std::vector<std::int64_t> steps_;
  std::vector<AdamWColumn<Scalar>> corrections_;
};

/// Carries the optimizer states of U and V through a change of basis, as their gradients move:
/// `transport(state_u, state_v, matrix.truncate({...}).basis)`.
/// @throws ShapeError
template <class Scalar, class Backend>
void transport(AdamW<Scalar, Backend>& state_u, AdamW<Scalar, Backend>& state_v,
               const BasisChange<Scalar>& basis) {
  state_u.rotate(basis.gradient_of_left());
  state_v.rotate(basis.gradient_of_right());
}

ACCRETE_END_NAMESPACE
