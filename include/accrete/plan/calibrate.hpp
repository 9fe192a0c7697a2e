// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/plain_array.hpp>
#include <accrete/bfloat16.hpp>
#include <accrete/expr/operators.hpp>
#include <accrete/plan/assign.hpp>
#include <accrete/plan/measured_model.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Times the same calls in each of several passes. Whatever else the machine does disturbs some
/// milliseconds at a time: rounds of one call lie seconds apart.
template <class Backend>
class RoundTimer {
 public:
  static constexpr std::size_t passes = 3;

  /// Whether a round begins with a call that does not count.
  RoundTimer(Device<Backend>& device, bool warm_up) : device_(device), warm_up_(warm_up) {}

  /// Of the passes, counted from zero; each makes the same calls in the same order.
  void begin_pass(std::size_t pass) noexcept {
    pass_ = pass;
    next_ = 0;
  }

  /// Seconds of one call: the lower median of its rounds so far, since disturbances only add.
  template <class Call>
  double seconds(const Call& call) {
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

 private:
  struct Rounds {
    std::array<double, 2 * passes> seconds{}; ///< in ascending order
    std::size_t count = 0;

    void add(double value) {
      seconds[count++] = value;
      std::sort(seconds.begin(), seconds.begin() + count);
    }
  };

  template <class Call>
  void make_rounds(Rounds& rounds, const Call& call) const {
    constexpr double round_seconds = 1e-4; // long enough for the clock
    if (warm_up_) {
      call();
    }
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
  double seconds_of(Index count, const Call& call) const {
    const auto calls = [&] {
      for (Index i = 0; i < count; ++i) {
        call();
      }
    };
    return (std::max)(elapsed(calls), 1e-9) / static_cast<double>(count);
  }
  /// By the device's own clock where its calls return before they are done.
  template <class Calls>
  double elapsed(const Calls& calls) const {
    if constexpr (requires { device_.seconds_of(calls); }) {
      return device_.seconds_of(calls);
    } else {
      const auto start = std::chrono::steady_clock::now();
      calls();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
  }

  Device<Backend>& device_;
  PlainArray<Rounds> rounds_; ///< of each call that is timed
  Index next_ = 0;
  std::size_t pass_ = 0;
  bool warm_up_;
};

} // namespace detail

namespace detail {

/// Measures the kernels of one backend and scalar at the points of a MeasuredModel.
template <class Backend, class Scalar>
class Calibration {
 public:
  explicit Calibration(Context<Backend>& context)
      : context_(context), device_(context.device()), timer_(device_, is_bfloat16) {
    // Entries are small and not equal, so that no product overflows or is a special case.
    memory_ = Matrix<Scalar, Backend>(size, 1);
    Kernels<Backend>::fill_uniform(device_, std::uint64_t{1}, -1e-3, 1e-3, view_of(memory_));
    if constexpr (is_bfloat16) {
      sums_ = Matrix<Value, Backend>(part, 1);
    }
  }

  MeasuredModel::Table run() {
    MeasuredModel::Table table;
    for (std::size_t pass = 0; pass < RoundTimer<Backend>::passes; ++pass) {
      timer_.begin_pass(pass);
      table = measure();
    }
    return table;
  }

 private:
  using Value = accumulator<Scalar>;
  static constexpr bool is_bfloat16 = !std::is_same_v<Scalar, Value>;
  using K = std::conditional_t<is_bfloat16, Bfloat16Kernels<Backend>, Kernels<Backend>>;

  // Of products along each side. Where oneDNN multiplies bfloat16 operands it generates code for
  // each shape, which takes a millisecond or so when a product is first asked for.
  static constexpr auto measured_points = [] {
    if constexpr (is_bfloat16) {
      return std::array<std::size_t, 5>{0, 2, 4, 5, 7};
    } else {
      return std::array<std::size_t, 8>{0, 1, 2, 3, 4, 5, 6, 7};
    }
  }();
  static_assert(measured_points.back() + 1 == MeasuredModel::product_points);

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
      const ViewOn<Scalar, Backend> c = operand(1, n, n);
      for (std::size_t order = 0; order < 2; ++order) {
        const ViewOn<const Scalar, Backend> a = matrix(0, n, n, order == 1);
        table.combine[order][i] =
            timer_.seconds([&] { K::combine(device_, Value{2}, a, Value{0}, c); });
        table.accumulate[order][i] =
            timer_.seconds([&] { K::combine(device_, Value{0.5}, a, Value{1}, c); });
      }
      table.fill[i] = timer_.seconds([&] { K::fill(device_, Scalar{0}, c); });
    }
    measure_reads(table.reads);
    table.step = time_of_step();
    return table;
  }

  using Sides = std::array<Index, MeasuredModel::product_points>;

  // Entries of the largest operand, rounded up so that the others begin at a cache line.
  static constexpr Index part = (Index{4099} * 4099 + 63) / 64 * 64;
  static constexpr Index size = 3 * part;

  ViewOn<Scalar, Backend> operand(Index which, Index rows, Index cols) {
    return dense_view<typename Backend::Space>(memory_.data() + which * part, rows, cols);
  }

  /// Of a product. The last of an expression of bfloat16 operands is float, and most are the last.
  ViewOn<Value, Backend> result(Index rows, Index cols) {
    if constexpr (is_bfloat16) {
      return dense_view<typename Backend::Space>(sums_.data(), rows, cols);
    } else {
      return operand(2, rows, cols);
    }
  }

  /// An operand of the given order.
  ViewOn<const Scalar, Backend> matrix(Index which, Index rows, Index cols, bool row_major) {
    return row_major ? ViewOn<const Scalar, Backend>(operand(which, cols, rows).transposed())
                     : operand(which, rows, cols).as_const();
  }

  /// What would take long is derived from a smaller product of the same kind: as much longer as
  /// its longest side is.
  void measure_products(MeasuredModel::ProductTimes& times, const Sides& sides, bool left_row_major,
                        bool right_row_major) {
    // Where points lie farther apart, the largest that is measured has to be larger.
    constexpr double most_flops = is_bfloat16 ? 1e9 : 1e8;
    const auto& columns = MeasuredModel::product_columns;
    for (std::size_t i = 0; i < measured_points.size(); ++i) {
      for (std::size_t j = 0; j < measured_points.size(); ++j) {
        for (std::size_t l = 0; l < measured_points.size(); ++l) {
          const KernelCall call{Kernel::gemm, measured(sides, i), measured(columns, j),
                                measured(sides, l)};
          double& target = at(times, i, j, l);
          if (call.flops() <= most_flops) {
            const ViewOn<const Scalar, Backend> a = matrix(0, call.m, call.k, left_row_major);
            const ViewOn<const Scalar, Backend> b = matrix(1, call.k, call.n, right_row_major);
            const ViewOn<Value, Backend> c = result(call.m, call.n);
            target = timer_.seconds([&] { K::gemm(device_, Value{1}, a, b, Value{0}, c); });
          } else if (call.n >= (std::max)(call.m, call.k)) {
            target = at(times, i, j - 1, l) * ratio(call.n, measured(columns, j - 1));
          } else if (call.m >= call.k) {
            target = at(times, i - 1, j, l) * ratio(call.m, measured(sides, i - 1));
          } else {
            target = at(times, i, j, l - 1) * ratio(call.k, measured(sides, l - 1));
          }
        }
      }
    }
    if constexpr (measured_points.size() < MeasuredModel::product_points) {
      interpolate_products(times, sides);
    }
  }

  /// At the other points of the grid, as the model does between all of them.
  static void interpolate_products(MeasuredModel::ProductTimes& times, const Sides& sides) {
    constexpr std::size_t count = measured_points.size();
    constexpr std::size_t points = MeasuredModel::product_points;
    std::array<Index, count> side_sizes;
    std::array<Index, count> column_sizes;
    for (std::size_t i = 0; i < count; ++i) {
      side_sizes[i] = measured(sides, i);
      column_sizes[i] = measured(MeasuredModel::product_columns, i);
    }
    std::array<double, count * count * count> logs;
    for (std::size_t i = 0; i < logs.size(); ++i) {
      logs[i] = std::log2(at(times, i / count / count, i / count % count, i % count));
    }
    const Grid<count> side_grid(side_sizes);
    const Grid<count> column_grid(column_sizes);
    for (std::size_t i = 0; i < times.size(); ++i) {
      const std::array<GridPlace, 3> place{
          side_grid.place(sides[i / points / points]),
          column_grid.place(MeasuredModel::product_columns[i / points % points]),
          side_grid.place(sides[i % points])};
      times[i] = std::exp2(interpolate<count, 3>(logs.data(), place.data()));
    }
  }

  /// Where rows, columns and inner dimension are those points of the ones that are measured.
  static double& at(MeasuredModel::ProductTimes& times, std::size_t rows, std::size_t columns,
                    std::size_t inner) {
    constexpr std::size_t points = MeasuredModel::product_points;
    return times[(measured_points[rows] * points + measured_points[columns]) * points +
                 measured_points[inner]];
  }
  static Index measured(const Sides& sizes, std::size_t i) { return sizes[measured_points[i]]; }
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
        const ViewOn<const Scalar, Backend> a = matrix(0, rows, cols, row_major);
        const ViewOn<const Scalar, Backend> x = operand(1, cols, 1);
        const ViewOn<Scalar, Backend> y = operand(2, rows, 1);
        target = timer_.seconds([&] { K::gemv(device_, Value{1}, a, x, Value{0}, y); });
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
      const ViewOn<const Scalar, Backend> x = operand(1, cols, 1);
      const ViewOn<Scalar, Backend> y = operand(2, rows, 1);
      const auto read_all = [&](Index count) {
        for (Index l = 0; l < count; ++l) {
          const ViewOn<const Scalar, Backend> a =
              dense_view<typename Backend::Space>(memory_.data() + l * entries, rows, cols);
          K::gemv(device_, Value{1}, a, x, Value{0}, y);
        }
      };
      std::size_t j = 0;
      while (MeasuredModel::working_sets[j] < MeasuredModel::read_bytes[i]) {
        ++j;
      }
      const std::size_t alone = j; // a matrix is a working set by itself
      for (; j < times[i].size(); ++j) {
        const Index count = MeasuredModel::working_sets[j] / MeasuredModel::read_bytes[i];
        times[i][j] = timer_.seconds([&] { read_all(count); }) / static_cast<double>(count);
      }
      std::fill_n(times[i].begin(), alone, times[i][alone]);
    }
  }

  /// What an expression of one step takes longer than its kernel.
  double time_of_step() {
    constexpr Index side = 16;
    const ViewOn<const Scalar, Backend> a = operand(0, side, side);
    const ViewOn<const Scalar, Backend> x = operand(1, side, 1);
    Matrix<Value, Backend> result(side, 1);
    const ViewOn<Value, Backend> y = view_of(result);
    const auto leaf = [](const ViewOn<const Scalar, Backend>& view) {
      using Memory = ViewedMemory<Scalar, typename Backend::Space, Eigen::Dynamic, Eigen::Dynamic>;
      return Dense<Memory, Backend>(Memory(view));
    };
    const double whole = timer_.seconds(
        [&] { evaluate_into(context_, leaf(a) * leaf(x), Value{1}, Value{0}, y, false); });
    const double kernel = timer_.seconds([&] { K::gemv(device_, Value{1}, a, x, Value{0}, y); });
    return (std::max)(whole - kernel, 1e-9);
  }

  Context<Backend>& context_;
  Device<Backend>& device_;
  Matrix<Scalar, Backend> memory_;
  Matrix<Value, Backend> sums_; ///< of bfloat16 products
  RoundTimer<Backend> timer_;
};

} // namespace detail

/// Measures the kernels of this machine with the context's threads: float, double and bfloat16.
/// Takes some seconds, needs 400 MB, wants an idle machine. Nothing changes until the model is set:
///
///     auto model = std::make_shared<MeasuredModel>(calibrate());
///     Context<>::current().set_cost_model(model);
///
/// model->text() keeps it for the next start, MeasuredModel::parse() takes it up again.
template <class Backend = Cpu>
[[nodiscard]] MeasuredModel calibrate(Context<Backend>& context = Context<Backend>::current()) {
  const MeasuredModel::Table of_float = detail::Calibration<Backend, float>(context).run();
  const MeasuredModel::Table of_double = detail::Calibration<Backend, double>(context).run();
  return {detail::Calibration<Backend, bfloat16>(context).run(), of_float, of_double};
}

ACCRETE_END_NAMESPACE
