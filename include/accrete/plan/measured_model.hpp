// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/finite.hpp>
#include <accrete/number_text.hpp>
#include <accrete/plan/cost_model.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <system_error>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Between points `index` and `index + 1`, at `weight` of the way; outside [0, 1] beyond the ends.
struct GridPlace {
  std::size_t index;
  double weight;
};

/// Points along one side of a table, by the logarithms of their sizes.
template <std::size_t count>
class Grid {
 public:
  explicit Grid(const std::array<Index, count>& sizes) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      logs_[i] = std::log2(static_cast<double>(sizes[i]));
      per_log_[i] = i == 0 ? 0.0 : 1 / (logs_[i] - logs_[i - 1]);
    }
  }
  [[nodiscard]] GridPlace place(double size_log) const noexcept {
    std::size_t i = 0;
    while (i + 2 < count && size_log >= logs_[i + 1]) {
      ++i;
    }
    return {i, (size_log - logs_[i]) * per_log_[i + 1]};
  }
  [[nodiscard]] GridPlace place(Index size) const noexcept {
    return place(std::log2(static_cast<double>(size)));
  }
  /// Nothing changes beyond the ends.
  [[nodiscard]] GridPlace place_within(double size_log) const noexcept {
    return place(std::clamp(size_log, logs_.front(), logs_.back()));
  }

 private:
  std::array<double, count> logs_;
  std::array<double, count> per_log_;
};

/// Linear in each of `dimensions` coordinates of a table with `side` points along each.
template <std::size_t side, int dimensions>
double interpolate(const double* values, const GridPlace* at) noexcept {
  if constexpr (dimensions == 0) {
    return *values;
  } else {
    std::size_t stride = 1;
    for (int i = 1; i < dimensions; ++i) {
      stride *= side;
    }
    const double* low = values + at->index * stride;
    return (1 - at->weight) * interpolate<side, dimensions - 1>(low, at + 1) +
           at->weight * interpolate<side, dimensions - 1>(low + stride, at + 1);
  }
}

} // namespace detail

/// Times of kernel calls that were measured on a grid of shapes; calibrate() makes one.
///
/// Between the points of the grid the logarithm of the time is interpolated linearly in the
/// logarithms of the sizes, beyond its ends it goes on as a straight line. Bfloat16, float and
/// double have tables of their own. Kernels are measured with operands that stay in a cache if they
/// fit; where the rest of the expression displaces them, reading its bytes from farther away is
/// added. Costs less than 0.1 us a prediction.
class MeasuredModel final : public CostModel {
 public:
  /// Rows and inner dimensions of the products that are measured: columns of operands begin at a
  /// cache line, and others. The latter cost up to twice as much.
  static constexpr std::array<std::array<Index, 8>, 2> product_sides{
      {{2, 8, 16, 32, 64, 256, 1024, 4096}, {3, 9, 19, 35, 67, 259, 1027, 4099}}};
  /// Columns of their results. Below four, and where some are left over from blocks of four,
  /// kernels take them one by one.
  static constexpr std::array<Index, 8> product_columns{2, 3, 4, 9, 18, 66, 258, 1026};
  /// Rows and columns of the matrix of a matrix-vector product; the time leaps where it no longer
  /// fits a cache.
  static constexpr std::array<std::array<Index, 9>, 2> vector_sides{
      {{16, 64, 128, 256, 512, 1024, 2048, 4096, 16384},
       {19, 67, 131, 259, 515, 1027, 2051, 4099, 16387}}};
  /// Entries of elementwise kernels.
  static constexpr std::array<Index, 6> entry_counts{64, 1024, 16384, 262144, 1048576, 4194304};
  /// Bytes of a matrix that is read, and of all that is read in turn with it.
  static constexpr std::array<Index, 7> read_bytes{
      {1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24}};
  static constexpr std::array<Index, 9> working_sets{
      {1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24, 1 << 25, 1 << 26}};

  static constexpr std::size_t points = entry_counts.size();
  static constexpr std::size_t vector_points = vector_sides[0].size();
  static constexpr std::size_t product_points = product_columns.size();
  static constexpr std::size_t products = product_points * product_points * product_points;
  using ProductTimes = std::array<double, products>; ///< m slowest, then n, then k
  using VectorTimes = std::array<double, vector_points * vector_points>; ///< rows slowest
  using Reads = std::array<std::array<double, working_sets.size()>, read_bytes.size()>;

  /// Seconds at the points of the grid, for one scalar.
  struct Table {
    /// Aligned and not, each: both operands column-major; the left row-major; the right row-major.
    std::array<std::array<ProductTimes, 3>, 2> gemm{};
    /// Aligned and not, each: matrix column-major; row-major.
    std::array<std::array<VectorTimes, 2>, 2> gemv{};
    /// Each: operand column-major; row-major.
    std::array<std::array<double, points>, 2> combine{};
    std::array<std::array<double, points>, 2> accumulate{};
    std::array<double, points> fill{};
    /// Of one matrix-vector product, by the bytes of the matrix and of the working set.
    Reads reads{};
    double step = 0; ///< what a step of a plan costs besides its kernel
  };

  /// @throws ArgumentError for a time that is not positive.
  MeasuredModel(const Table& of_bfloat16, const Table& of_float, const Table& of_double)
      : tables_{of_bfloat16, of_float, of_double} {
    check();
    take_logarithms();
    take_rates();
  }

  [[nodiscard]] double seconds(const KernelCall& call) const override {
    if (call.m <= 0 || call.n <= 0 || call.k <= 0) {
      return 0;
    }
    const auto scalar = static_cast<std::size_t>(call.scalar);
    // Products of bfloat16 operands are added up in float.
    const Table& of_result = logs_[(std::max<std::size_t>)(scalar, 1)];
    return tables_[scalar].step + kernel_seconds(logs_[scalar], of_result, call) +
           displaced_seconds(rates_[scalar], call);
  }

  /// The tables as text, to be kept in a file of the caller's.
  [[nodiscard]] std::string text() const {
    std::string result = header;
    for (const Table& table : tables_) {
      for_each_entry(table, [&](double value) {
        result += detail::number_text(value, std::chars_format::scientific, 4);
        result += '\n';
      });
    }
    return result;
  }

  /// What text() gave. @throws ArgumentError for anything else.
  [[nodiscard]] static MeasuredModel parse(const std::string& text) {
    if (text.rfind(header, 0) != 0) {
      ACCRETE_THROW ArgumentError(
          "MeasuredModel::parse: the text does not begin with \"" +
          std::string(header, sizeof header - 2) +
          "\"; it comes from another version or is no cost model, calibrate anew");
    }
    const char* at = text.data() + sizeof header - 1;
    const char* const last = text.data() + text.size();
    const auto skip_space = [&at, last] {
      at = std::find_if(at, last, [](char c) { return c != '\n' && c != '\r' && c != ' '; });
    };
    Tables tables;
    for (Table& table : tables) {
      for_each_entry(table, [&](double& value) {
        skip_space();
        const auto [end, status] = std::from_chars(at, last, value);
        if (status != std::errc()) {
          ACCRETE_THROW ArgumentError(
              "MeasuredModel::parse: the text ends too early or holds no number "
              "where one is due; calibrate anew");
        }
        at = end;
      });
    }
    skip_space();
    if (at != last) {
      ACCRETE_THROW ArgumentError(
          "MeasuredModel::parse: the text goes on after the last number; it was "
          "damaged, calibrate anew");
    }
    return {tables[0], tables[1], tables[2]};
  }

 private:
  static constexpr char header[] = "accrete cost model 6\n";

  using Tables = std::array<Table, 3>; ///< of bfloat16, float and double

  using Place = detail::GridPlace;
  static inline const std::array<detail::Grid<product_columns.size()>, 2> side_grids{
      detail::Grid(product_sides[0]), detail::Grid(product_sides[1])};
  static inline const detail::Grid<product_columns.size()> column_grid{product_columns};
  static inline const std::array<detail::Grid<vector_sides[0].size()>, 2> vector_grids{
      detail::Grid(vector_sides[0]), detail::Grid(vector_sides[1])};
  static inline const detail::Grid<entry_counts.size()> entry_grid{entry_counts};
  static inline const detail::Grid<read_bytes.size()> read_grid{read_bytes};
  static inline const detail::Grid<working_sets.size()> working_set_grid{working_sets};

  static double kernel_seconds(const Table& logs, const Table& logs_of_result,
                               const KernelCall& call) {
    const double entries = static_cast<double>(call.m) * static_cast<double>(call.n);
    switch (call.kernel) {
    case Kernel::gemm:
      // Adding to a result reads and writes all of it, however few operations there are.
      return call.accumulate ? (std::max)(product(logs, call),
                                          elementwise(logs_of_result.accumulate[0], entries))
                             : product(logs, call);
    case Kernel::gemv:
      return matrix_times_vector(logs, call);
    case Kernel::combine:
      return elementwise(
          (call.accumulate ? logs.accumulate : logs.combine)[call.left == Order::row_major ? 1 : 0],
          entries);
    case Kernel::fill:
      return elementwise(logs.fill, entries);
    }
    return 0;
  }

  /// What the call takes longer where the rest of the expression displaces its operands from a
  /// cache that alone they would stay in.
  static double displaced_seconds(const Reads& seconds_a_byte, const KernelCall& call) noexcept {
    KernelCall once = call;
    once.accumulate = false; // what is read and written comes to the cache once
    const double bytes = once.bytes();
    const auto all = static_cast<double>(call.working_set);
    if (all <= bytes) {
      return 0;
    }
    const double bytes_log = std::log2(bytes);
    const Place size = read_grid.place_within(bytes_log);
    const double longer =
        rate(seconds_a_byte, size, std::log2(all)) - rate(seconds_a_byte, size, bytes_log);
    return bytes * (std::max)(longer, 0.0);
  }
  static double rate(const Reads& seconds_a_byte, const Place& size, double set_log) noexcept {
    const std::array<Place, 2> at{size, working_set_grid.place_within(set_log)};
    return detail::interpolate<working_sets.size(), 2>(seconds_a_byte[0].data(), at.data());
  }

  static bool is_odd(Index stride, ScalarType scalar) noexcept {
    return stride * scalar_bytes(scalar) % 64 != 0;
  }

  static double product(const Table& logs, const KernelCall& call) noexcept {
    const Index left_stride = call.left == Order::column_major ? call.m : call.k;
    const std::size_t odd = is_odd(left_stride, call.scalar) || is_odd(call.m, call.scalar) ? 1 : 0;
    const std::size_t order = call.left == Order::row_major    ? 1
                              : call.right == Order::row_major ? 2
                                                               : 0;
    const auto& sides = side_grids[odd];
    const std::array<Place, 3> at{sides.place(call.m), column_grid.place(call.n),
                                  sides.place(call.k)};
    return std::exp2(
        detail::interpolate<product_points, 3>(logs.gemm[odd][order].data(), at.data()));
  }

  static double matrix_times_vector(const Table& logs, const KernelCall& call) noexcept {
    // A row times a matrix is the transposed matrix times a column.
    const bool row = call.m == 1 && call.n != 1;
    const bool row_major = row ? call.right == Order::column_major : call.left == Order::row_major;
    const Index rows = row ? call.n : call.m;
    const std::size_t odd = is_odd(row_major ? call.k : rows, call.scalar) ? 1 : 0;
    const std::array<Place, 2> at{vector_grids[odd].place(rows), vector_grids[odd].place(call.k)};
    const VectorTimes& times = logs.gemv[odd][row_major ? 1 : 0];
    return std::exp2(detail::interpolate<vector_points, 2>(times.data(), at.data()));
  }

  static double elementwise(const std::array<double, points>& logs, double entries) noexcept {
    const Place at = entry_grid.place(std::log2(entries));
    return std::exp2(detail::interpolate<points, 1>(logs.data(), &at));
  }

  template <class AnyTable, class Action>
  static void for_each_entry(AnyTable& table, const Action& action) {
    const auto all = [&](auto& values) {
      for (auto& value : values) {
        action(value);
      }
    };
    for (std::size_t odd = 0; odd < 2; ++odd) {
      for (auto& times : table.gemm[odd]) {
        all(times);
      }
      for (auto& times : table.gemv[odd]) {
        all(times);
      }
    }
    for (std::size_t order = 0; order < 2; ++order) {
      all(table.combine[order]);
      all(table.accumulate[order]);
    }
    all(table.fill);
    for (auto& times : table.reads) {
      all(times);
    }
    action(table.step);
  }

  void check() const {
    for (const Table& table : tables_) {
      for_each_entry(table, [](double value) {
        if (!detail::is_finite(value) || value <= 0) {
          ACCRETE_THROW ArgumentError("MeasuredModel: a time of " + detail::number_text(value) +
                                      " s is not positive; calibrate anew");
        }
      });
    }
  }
  void take_logarithms() {
    logs_ = tables_;
    for (Table& table : logs_) {
      for_each_entry(table, [](double& value) { value = std::log2(value); });
    }
  }

  void take_rates() {
    for (std::size_t scalar = 0; scalar < tables_.size(); ++scalar) {
      for (std::size_t i = 0; i < read_bytes.size(); ++i) {
        for (std::size_t j = 0; j < working_sets.size(); ++j) {
          rates_[scalar][i][j] = tables_[scalar].reads[i][j] / static_cast<double>(read_bytes[i]);
        }
      }
    }
  }

  Tables tables_;
  Tables logs_;
  std::array<Reads, 3> rates_; ///< seconds a byte that is read
};

ACCRETE_END_NAMESPACE
