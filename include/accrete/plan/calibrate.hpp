// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/operators.hpp>
#include <accrete/plan/evaluate.hpp>
#include <accrete/plan/measured_model.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
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

  /// Whatever else the machine does disturbs some milliseconds at a time: rounds of one point lie
  /// seconds apart.
  MeasuredModel::Table run() {
    MeasuredModel::Table table;
    for (pass_ = 0; pass_ < passes; ++pass_) {
      next_ = 0;
      table = measure();
    }
    return table;
  }

 private:
  using K = Kernels<Backend>;
  static constexpr std::size_t passes = 3;

  struct Rounds {
    std::array<double, 2 * passes> seconds{}; ///< in ascending order
    std::size_t count = 0;

    void add(double value) {
      seconds[count++] = value;
      std::sort(seconds.begin(), seconds.begin() + count);
    }
  };

  MeasuredModel::Table measure() {
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
      // Square, as kernels share out columns to threads.
      const auto n =
          static_cast<Index>(std::sqrt(static_cast<double>(MeasuredModel::entry_counts[i])));
      const View<Scalar> c = operand(1, n, n);
      for (std::size_t order = 0; order < 2; ++order) {
        const View<const Scalar> a = matrix(0, n, n, order == 1);
        table.combine[order][i] = time([&] { K::combine(device_, Scalar{2}, a, Scalar{0}, c); });
        table.accumulate[order][i] =
            time([&] { K::combine(device_, Scalar{0.5}, a, Scalar{1}, c); });
      }
      table.fill[i] = time([&] { K::fill(device_, Scalar{0}, c); });
    }
    measure_reads(table.reads);
    table.step = time_of_step();
    return table;
  }

  // Entries of the largest operand, rounded up so that the others begin at a cache line.
  static constexpr Index part = (Index{4099} * 4099 + 63) / 64 * 64;
  static constexpr Index size = 3 * part;

  View<Scalar> operand(Index which, Index rows, Index cols) {
    return dense_view(memory_.data() + which * part, rows, cols);
  }

  /// Seconds of one call: the lower median of its rounds so far, since disturbances only add.
  template <class Call>
  double time(const Call& call) {
    if (next_ == rounds_.size()) {
      rounds_.push({});
    }
    Rounds& rounds = rounds_[next_++];
    const bool settled = rounds.count >= 2 && rounds.seconds[1] < 1.1 * rounds.seconds[0];
    if (pass_ < 2 || !settled) {
      make_rounds(rounds, call);
    }
    return rounds.seconds[(rounds.count - 1) / 2];
  }
  template <class Call>
  void make_rounds(Rounds& rounds, const Call& call) {
    constexpr double round_seconds = 1e-4; // long enough for the clock
    const double first = seconds_of(1, call);
    if (first > 10 * round_seconds) {
      rounds.add(first);
      return;
    }
    const double warm = seconds_of(1, call);
    const auto count = static_cast<Index>(std::clamp(round_seconds / warm, 1.0, 1e4));
    rounds.add(seconds_of(count, call));
    rounds.add(seconds_of(count, call));
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

  /// What would take long is derived from a smaller product of the same kind: as much longer as
  /// its longest side is.
  void measure_products(MeasuredModel::ProductTimes& times, std::span<const Index> sides,
                        bool left_row_major, bool right_row_major) {
    constexpr double most_flops = 1e8;
    constexpr std::size_t points = MeasuredModel::product_points;
    const auto& columns = MeasuredModel::product_columns;
    const auto at = [&](std::size_t i, std::size_t j, std::size_t l) -> double& {
      return times[(i * points + j) * points + l];
    };
    for (std::size_t i = 0; i < points; ++i) {
      for (std::size_t j = 0; j < points; ++j) {
        for (std::size_t l = 0; l < points; ++l) {
          const KernelCall call{Kernel::gemm, sides[i], columns[j], sides[l]};
          if (call.flops() <= most_flops) {
            const View<const Scalar> a = matrix(0, call.m, call.k, left_row_major);
            const View<const Scalar> b = matrix(1, call.k, call.n, right_row_major);
            const View<Scalar> c = operand(2, call.m, call.n);
            at(i, j, l) = time([&] { K::gemm(device_, Scalar{1}, a, b, Scalar{0}, c); });
          } else if (call.n >= std::max(call.m, call.k)) {
            at(i, j, l) = at(i, j - 1, l) * ratio(columns[j], columns[j - 1]);
          } else if (call.m >= call.k) {
            at(i, j, l) = at(i - 1, j, l) * ratio(sides[i], sides[i - 1]);
          } else {
            at(i, j, l) = at(i, j, l - 1) * ratio(sides[l], sides[l - 1]);
          }
        }
      }
    }
  }
  static double ratio(Index a, Index b) { return static_cast<double>(a) / static_cast<double>(b); }

  void measure_vectors(MeasuredModel::VectorTimes& times, std::span<const Index> sides,
                       bool row_major) {
    constexpr Index most_entries = 5000000;
    constexpr std::size_t points = MeasuredModel::vector_points;
    for (std::size_t i = 0; i < points; ++i) {
      for (std::size_t j = 0; j < points; ++j) {
        const Index rows = sides[i];
        const Index cols = sides[j];
        double& target = times[i * points + j];
        if (rows * cols > most_entries) {
          target = i >= j ? times[(i - 1) * points + j] * ratio(rows, sides[i - 1])
                          : times[i * points + j - 1] * ratio(cols, sides[j - 1]);
          continue;
        }
        const View<const Scalar> a = matrix(0, rows, cols, row_major);
        const View<const Scalar> x = operand(1, cols, 1);
        const View<Scalar> y = operand(2, rows, 1);
        target = time([&] { K::gemv(device_, Scalar{1}, a, x, Scalar{0}, y); });
      }
    }
  }

  /// A matrix-vector product hardly does anything but read its matrix. Matrices that lie one after
  /// the other are read in turn until all bytes of the working set were.
  void measure_reads(MeasuredModel::Reads& times) {
    for (std::size_t i = 0; i < times.size(); ++i) {
      const auto entries = MeasuredModel::read_bytes[i] / static_cast<Index>(sizeof(Scalar));
      Index cols = 1;
      while (4 * cols * cols <= entries) {
        cols *= 2;
      }
      const Index rows = entries / cols;
      const View<const Scalar> x = operand(1, cols, 1);
      const View<Scalar> y = operand(2, rows, 1);
      const auto read_all = [&](Index count) {
        for (Index l = 0; l < count; ++l) {
          const View<const Scalar> a = dense_view(memory_.data() + l * entries, rows, cols);
          K::gemv(device_, Scalar{1}, a, x, Scalar{0}, y);
        }
      };
      std::size_t j = 0;
      while (MeasuredModel::working_sets[j] < MeasuredModel::read_bytes[i]) {
        ++j;
      }
      const std::size_t alone = j; // a matrix is a working set by itself
      for (; j < times[i].size(); ++j) {
        const Index count = MeasuredModel::working_sets[j] / MeasuredModel::read_bytes[i];
        times[i][j] = time([&] { read_all(count); }) / static_cast<double>(count);
      }
      std::fill_n(times[i].begin(), alone, times[i][alone]);
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
  PlainArray<Rounds> rounds_; ///< of each point that is measured
  Index next_ = 0;
  std::size_t pass_ = 0;
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
