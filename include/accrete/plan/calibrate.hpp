// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/context.hpp>
#include <accrete/plan/measured_model.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Measures the kernels of one backend and scalar at the points of a MeasuredModel.
template <class Backend, class Scalar>
class Calibration {
 public:
  explicit Calibration(Context<Backend>& context) : device_(context.device()) {
    // Entries are small and not equal, so that no product overflows or is a special case.
    memory_ = Matrix<Scalar, Backend>(size, 1);
    Kernels<Backend>::fill_uniform(device_, std::uint64_t{1}, -1e-3, 1e-3, view_of(memory_));
  }

  MeasuredModel::Table run() {
    MeasuredModel::Table table;
    measure_products(table.gemm);
    measure_vectors(table.gemv);
    for (std::size_t i = 0; i < MeasuredModel::points; ++i) {
      const Index n = MeasuredModel::entry_counts[i];
      const View<const Scalar> a = operand(0, n, 1);
      const View<Scalar> c = operand(1, n, 1);
      table.combine[i] = time([&] { K::combine(device_, Scalar{2}, a, Scalar{0}, c); });
      table.accumulate[i] = time([&] { K::combine(device_, Scalar{0.5}, a, Scalar{1}, c); });
      table.fill[i] = time([&] { K::fill(device_, Scalar{0}, c); });
    }
    return table;
  }

 private:
  using K = Kernels<Backend>;
  static constexpr Index part = Index{1} << 24; // entries of the largest operand
  static constexpr Index size = 3 * part;

  View<Scalar> operand(Index which, Index rows, Index cols) {
    return dense_view(memory_.data() + which * part, rows, cols);
  }

  /// Seconds of one call: the least of some rounds, each long enough for the clock.
  template <class Call>
  double time(const Call& call) {
    constexpr double round_seconds = 4e-4;
    const double first = seconds_of(1, call);
    const double once = first > round_seconds ? first : seconds_of(1, call);
    const auto count = static_cast<Index>(std::clamp(round_seconds / once, 1.0, 1e4));
    double best = seconds_of(count, call);
    const int rounds = once > 1e-2 ? 1 : 4;
    for (int i = 1; i < rounds; ++i) {
      best = std::min(best, seconds_of(count, call));
    }
    return best;
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

  /// What would take long is derived from a smaller product of the same kind: four times its time
  /// for four times the longest side.
  void measure_products(std::array<double, MeasuredModel::points * MeasuredModel::points *
                                               MeasuredModel::points>& times) {
    constexpr double most_flops = 1.2e9;
    constexpr std::size_t points = MeasuredModel::points;
    for (std::size_t i = 0; i < points; ++i) {
      for (std::size_t j = 0; j < points; ++j) {
        for (std::size_t l = 0; l < points; ++l) {
          const auto& sides = MeasuredModel::product_sides;
          const KernelCall call{Kernel::gemm, sides[i], sides[j], sides[l]};
          double& target = times[(i * points + j) * points + l];
          if (call.flops() <= most_flops) {
            const View<const Scalar> a = operand(0, call.m, call.k);
            const View<const Scalar> b = operand(1, call.k, call.n);
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

  void measure_vectors(std::array<double, MeasuredModel::points * MeasuredModel::points>& times) {
    constexpr std::size_t points = MeasuredModel::points;
    for (std::size_t i = 0; i < points; ++i) {
      for (std::size_t j = 0; j < points; ++j) {
        const Index rows = MeasuredModel::vector_sides[i];
        const Index cols = MeasuredModel::vector_sides[j];
        double& target = times[i * points + j];
        if (rows * cols > part) {
          target = 4 * times[i >= j ? (i - 1) * points + j : i * points + j - 1];
          continue;
        }
        const View<const Scalar> a = operand(0, rows, cols);
        const View<const Scalar> x = operand(1, cols, 1);
        const View<Scalar> y = operand(2, rows, 1);
        target = time([&] { K::gemv(device_, Scalar{1}, a, x, Scalar{0}, y); });
      }
    }
  }

  Device<Backend>& device_;
  Matrix<Scalar, Backend> memory_;
};

} // namespace detail

/// Measures the kernels of this machine with the context's threads, float and double. Takes some
/// seconds, needs 600 MB, wants an idle machine. Nothing changes until the model is set:
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
