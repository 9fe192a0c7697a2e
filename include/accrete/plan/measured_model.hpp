// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>
#include <accrete/plan/cost_model.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Times of kernel calls that were measured on a grid of shapes; calibrate() makes one.
///
/// Between the points of the grid the logarithm of the time is interpolated linearly in the
/// logarithms of the sizes, beyond its ends it goes on as a straight line. Float and double have
/// tables of their own. Prediction: 0.1 to 0.3 us.
class MeasuredModel final : public CostModel {
 public:
  /// Sides of the products that are measured: columns that begin at a cache line, and others. The
  /// latter cost up to twice as much.
  static constexpr std::array<std::array<Index, 7>, 2> product_sides{
      {{2, 8, 16, 64, 256, 1024, 4096}, {3, 9, 19, 67, 259, 1027, 4099}}};
  /// Rows and columns of the matrix of a matrix-vector product.
  static constexpr std::array<std::array<Index, 6>, 2> vector_sides{
      {{16, 64, 256, 1024, 4096, 16384}, {19, 67, 259, 1027, 4099, 16387}}};
  /// Entries of elementwise kernels.
  static constexpr std::array<Index, 6> entry_counts{64, 1024, 16384, 262144, 1048576, 4194304};

  static constexpr std::size_t points = 6;
  static constexpr std::size_t product_points = product_sides[0].size();
  static constexpr std::size_t products = product_points * product_points * product_points;
  using ProductTimes = std::array<double, products>;       ///< m slowest, then n, then k
  using VectorTimes = std::array<double, points * points>; ///< rows slowest

  /// Seconds at the points of the grid, for one scalar.
  struct Table {
    /// Aligned and not, each: both operands column-major; the left row-major; the right row-major.
    std::array<std::array<ProductTimes, 3>, 2> gemm{};
    /// Aligned and not, each: matrix column-major; row-major.
    std::array<std::array<VectorTimes, 2>, 2> gemv{};
    std::array<double, points> combine{};
    std::array<double, points> accumulate{};
    std::array<double, points> fill{};
    double step = 0; ///< what a step of a plan costs besides its kernel
  };

  /// @throws ArgumentError for a time that is not positive.
  MeasuredModel(const Table& of_float, const Table& of_double) : tables_{of_float, of_double} {
    check();
    take_logarithms();
  }

  [[nodiscard]] double seconds(const KernelCall& call) const override {
    if (call.m <= 0 || call.n <= 0 || call.k <= 0) {
      return 0;
    }
    const std::size_t scalar = call.scalar_bytes <= 4 ? 0 : 1;
    return tables_[scalar].step + kernel_seconds(logs_[scalar], call);
  }

  /// The tables as text, to be kept in a file of the caller's.
  [[nodiscard]] std::string text() const {
    std::string result = header;
    char number[32];
    for (const Table& table : tables_) {
      for_each_entry(table, [&](double value) {
        std::snprintf(number, sizeof number, "%.4e\n", value);
        result += number;
      });
    }
    return result;
  }

  /// What text() gave. @throws ArgumentError for anything else.
  [[nodiscard]] static MeasuredModel parse(const std::string& text) {
    if (text.rfind(header, 0) != 0) {
      throw ArgumentError("MeasuredModel::parse: the text does not begin with \"" +
                          std::string(header, sizeof header - 2) +
                          "\"; it comes from another version or is no cost model, calibrate anew");
    }
    const char* at = text.c_str() + sizeof header - 1;
    std::array<Table, 2> tables;
    for (Table& table : tables) {
      for_each_entry(table, [&at](double& value) {
        char* end = nullptr;
        value = std::strtod(at, &end);
        if (end == at) {
          throw ArgumentError("MeasuredModel::parse: the text ends too early or holds no number "
                              "where one is due; calibrate anew");
        }
        at = end;
      });
    }
    return {tables[0], tables[1]};
  }

 private:
  static constexpr char header[] = "accrete cost model 4\n";

  /// Between points `index` and `index + 1`, at `weight` of the way.
  struct Place {
    std::size_t index;
    double weight;
  };

  static double kernel_seconds(const Table& logs, const KernelCall& call) {
    const double entries = static_cast<double>(call.m) * static_cast<double>(call.n);
    switch (call.kernel) {
    case Kernel::gemm:
      // Adding to a result reads and writes all of it, however few operations there are.
      return call.accumulate ? std::max(product(logs, call), elementwise(logs.accumulate, entries))
                             : product(logs, call);
    case Kernel::gemv:
      return matrix_times_vector(logs, call);
    case Kernel::combine:
      return elementwise(call.accumulate ? logs.accumulate : logs.combine, entries);
    case Kernel::fill:
      return elementwise(logs.fill, entries);
    }
    return 0;
  }

  template <std::size_t count>
  static Place place(const std::array<Index, count>& grid, double size) noexcept {
    std::size_t i = 0;
    while (i + 2 < count && size >= static_cast<double>(grid[i + 1])) {
      ++i;
    }
    const auto low = static_cast<double>(grid[i]);
    const auto high = static_cast<double>(grid[i + 1]);
    return {i, std::log2(size / low) / std::log2(high / low)};
  }

  static bool is_odd(Index stride, int scalar_bytes) noexcept {
    return stride * scalar_bytes % 64 != 0;
  }

  static double product(const Table& logs, const KernelCall& call) noexcept {
    const Index left_stride = call.left == Order::column_major ? call.m : call.k;
    const std::size_t odd =
        is_odd(left_stride, call.scalar_bytes) || is_odd(call.m, call.scalar_bytes) ? 1 : 0;
    const std::size_t order = call.left == Order::row_major    ? 1
                              : call.right == Order::row_major ? 2
                                                               : 0;
    const auto& sides = product_sides[odd];
    const std::array<Place, 3> at{place(sides, static_cast<double>(call.m)),
                                  place(sides, static_cast<double>(call.n)),
                                  place(sides, static_cast<double>(call.k))};
    return std::exp2(interpolate<product_points, 3>(logs.gemm[odd][order].data(), at.data()));
  }

  static double matrix_times_vector(const Table& logs, const KernelCall& call) noexcept {
    // A row times a matrix is the transposed matrix times a column.
    const bool row = call.m == 1 && call.n != 1;
    const bool row_major = row ? call.right == Order::column_major : call.left == Order::row_major;
    const Index rows = row ? call.n : call.m;
    const std::size_t odd = is_odd(row_major ? call.k : rows, call.scalar_bytes) ? 1 : 0;
    const std::array<Place, 2> at{place(vector_sides[odd], static_cast<double>(rows)),
                                  place(vector_sides[odd], static_cast<double>(call.k))};
    const VectorTimes& times = logs.gemv[odd][row_major ? 1 : 0];
    return std::exp2(interpolate<points, 2>(times.data(), at.data()));
  }

  static double elementwise(const std::array<double, points>& logs, double entries) noexcept {
    const Place at = place(entry_counts, entries);
    return std::exp2(interpolate<points, 1>(logs.data(), &at));
  }

  /// Linear in each of `dimensions` coordinates of a table with `side` points along each.
  template <std::size_t side, int dimensions>
  static double interpolate(const double* values, const Place* at) noexcept {
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
    all(table.combine);
    all(table.accumulate);
    all(table.fill);
    action(table.step);
  }

  void check() const {
    for (const Table& table : tables_) {
      for_each_entry(table, [](double value) {
        if (!(value > 0) || !std::isfinite(value)) {
          throw ArgumentError("MeasuredModel: a time of " + std::to_string(value) +
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

  std::array<Table, 2> tables_;
  std::array<Table, 2> logs_;
};

ACCRETE_END_NAMESPACE
