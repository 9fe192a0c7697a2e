// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/operators.hpp>
#include <accrete/plan/evaluate.hpp>
#include <accrete/plan/measured_model.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <span>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Measures the kernels of one backend and scalar at the points of a MeasuredModel.
template <class Backend, class Scalar>
class Calibration {
 public:
  explicit Calibration(Context<Backend>& context) : context_(context), device_(context.device()) {
    // Entries are small and not equal, so that no product overflows or is a special case.
    memory_ = Matrix<Scalar, Backend>(size, 1);
    Kernels<Backend>::fill_uniform(device_, std::uint64_t{1}, -1e-3, 1e-3, view_of(memory_));
  }

  MeasuredModel::Table run() {
    MeasuredModel::Table table;
    for (std::size_t odd = 0; odd < 2; ++odd) {
      const auto& sides = MeasuredModel::product_sides[odd];
      measure_products(table.gemm[odd][0], sides, false, false);
      measure_products(table.gemm[odd][1], sides, true, false);
      measure_products(table.gemm[odd][2], sides, false, true);
      measure_vectors(table.gemv[odd][0], MeasuredModel::vector_sides[odd], false);
      measure_vectors(table.gemv[odd][1], MeasuredModel::vector_sides[odd], true);
    }
    for (std::size_t i = 0; i < MeasuredModel::points; ++i) {
      const Index n = MeasuredModel::entry_counts[i];
      const View<const Scalar> a = operand(0, n, 1);
      const View<Scalar> c = operand(1, n, 1);
      table.combine[i] = time([&] { K::combine(device_, Scalar{2}, a, Scalar{0}, c); });
      table.accumulate[i] = time([&] { K::combine(device_, Scalar{0.5}, a, Scalar{1}, c); });
      table.fill[i] = time([&] { K::fill(device_, Scalar{0}, c); });
    }
    table.step = time_of_step();
    return table;
  }

 private:
  using K = Kernels<Backend>;
  // Entries of the largest operand, rounded up so that the others begin at a cache line.
  static constexpr Index part = (Index{4099} * 4099 + 63) / 64 * 64;
  static constexpr Index size = 3 * part;

  View<Scalar> operand(Index which, Index rows, Index cols) {
    return dense_view(memory_.data() + which * part, rows, cols);
  }

  /// Seconds of one call: the median of some rounds, each long enough for the clock.
  template <class Call>
  double time(const Call& call) {
    constexpr double round_seconds = 1e-4;
    seconds_of(1, call);
    const double once = seconds_of(1, call);
    const auto count = static_cast<Index>(std::clamp(round_seconds / once, 1.0, 1e4));
    std::array<double, 5> rounds{};
    const std::size_t used = once > 1e-3 ? 3 : rounds.size();
    for (std::size_t i = 0; i < used; ++i) {
      rounds[i] = seconds_of(count, call);
    }
    std::sort(rounds.begin(), rounds.begin() + used);
    return rounds[used / 2];
  }
  template <class Call>
  double seconds_of(Index count, const Call& call) {
    const auto start = std::chrono::steady_clock::now();
    for (Index i = 0; i < count; ++i) {
      call();
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    return std::max(elapsed.count(), 1e-9) / static_cast<double>(count);
  }

  /// An operand of the given order.
  View<const Scalar> matrix(Index which, Index rows, Index cols, bool row_major) {
    return row_major ? View<const Scalar>(operand(which, cols, rows).transposed())
                     : View<const Scalar>(operand(which, rows, cols));
  }

  /// What would take long is derived from a smaller product of the same kind: four times its time
  /// for four times the longest side.
  void measure_products(MeasuredModel::ProductTimes& times, std::span<const Index> sides,
                        bool left_row_major, bool right_row_major) {
    constexpr double most_flops = 3e8;
    constexpr std::size_t points = MeasuredModel::product_points;
    for (std::size_t i = 0; i < points; ++i) {
      for (std::size_t j = 0; j < points; ++j) {
        for (std::size_t l = 0; l < points; ++l) {
          const KernelCall call{Kernel::gemm, sides[i], sides[j], sides[l]};
          double& target = times[(i * points + j) * points + l];
          if (call.flops() <= most_flops) {
            const View<const Scalar> a = matrix(0, call.m, call.k, left_row_major);
            const View<const Scalar> b = matrix(1, call.k, call.n, right_row_major);
            const View<Scalar> c = operand(2, call.m, call.n);
            target = time([&] { K::gemm(device_, Scalar{1}, a, b, Scalar{0}, c); });
          } else {
            const std::size_t longest = std::max({i, j, l});
            const std::size_t step = longest == i   ? points * points
                                     : longest == j ? points
                                                    : std::size_t{1};
            target = 4 * times[(i * points + j) * points + l - step];
          }
        }
      }
    }
  }

  void measure_vectors(MeasuredModel::VectorTimes& times, std::span<const Index> sides,
                       bool row_major) {
    constexpr std::size_t points = MeasuredModel::points;
    for (std::size_t i = 0; i < points; ++i) {
      for (std::size_t j = 0; j < points; ++j) {
        const Index rows = sides[i];
        const Index cols = sides[j];
        double& target = times[i * points + j];
        if (rows * cols > part) {
          target = 4 * times[i >= j ? (i - 1) * points + j : i * points + j - 1];
          continue;
        }
        const View<const Scalar> a = matrix(0, rows, cols, row_major);
        const View<const Scalar> x = operand(1, cols, 1);
        const View<Scalar> y = operand(2, rows, 1);
        target = time([&] { K::gemv(device_, Scalar{1}, a, x, Scalar{0}, y); });
      }
    }
  }

  /// What an expression of one step takes longer than its kernel.
  double time_of_step() {
    constexpr Index side = 16;
    const View<const Scalar> a = operand(0, side, side);
    const View<const Scalar> x = operand(1, side, 1);
    const View<Scalar> y = operand(2, side, 1);
    const auto leaf = [](const View<const Scalar>& view) {
      using Memory = ViewedMemory<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
      return Dense<Memory, Backend>(Memory(view));
    };
    const double whole =
        time([&] { evaluate_into(context_, leaf(a) * leaf(x), Scalar{1}, Scalar{0}, y, false); });
    const double kernel = time([&] { K::gemv(device_, Scalar{1}, a, x, Scalar{0}, y); });
    return std::max(whole - kernel, 1e-9);
  }

  Context<Backend>& context_;
  Device<Backend>& device_;
  Matrix<Scalar, Backend> memory_;
};

} // namespace detail

/// Measures the kernels of this machine with the context's threads, float and double. Takes some
/// seconds, needs 400 MB, wants an idle machine. Nothing changes until the model is set:
///
///     auto model = std::make_shared<MeasuredModel>(calibrate());
///     Context<>::current().set_cost_model(model);
///
/// model->text() keeps it for the next start, MeasuredModel::parse() takes it up again.
template <class Backend = Cpu>
[[nodiscard]] MeasuredModel calibrate(Context<Backend>& context = Context<Backend>::current()) {
  const MeasuredModel::Table of_float = detail::Calibration<Backend, float>(context).run();
  const MeasuredModel::Table of_double = detail::Calibration<Backend, double>(context).run();
  return {of_float, of_double};
}

ACCRETE_END_NAMESPACE
