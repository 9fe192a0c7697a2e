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
  /// Sides of the products that are measured.
  static constexpr std::array<Index, 6> product_sides{4, 16, 64, 256, 1024, 4096};
  /// Rows and columns of the matrix of a matrix-vector product.
  static constexpr std::array<Index, 6> vector_sides{16, 64, 256, 1024, 4096, 16384};
  /// Entries of elementwise kernels.
  static constexpr std::array<Index, 6> entry_counts{64, 1024, 16384, 262144, 1048576, 4194304};

  static constexpr std::size_t points = 6;

  /// Seconds at the points of the grid, for one scalar.
  struct Table {
    std::array<double, points * points * points> gemm{}; ///< m slowest, then n, then k
    std::array<double, points * points> gemv{};          ///< rows slowest
    std::array<double, points> combine{};
    std::array<double, points> accumulate{};
    std::array<double, points> fill{};
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
    const Table& logs = logs_[call.scalar_bytes <= 4 ? 0 : 1];
    const double entries = static_cast<double>(call.m) * static_cast<double>(call.n);
    switch (call.kernel) {
    case Kernel::gemm: {
      const std::array<Place, 3> places{place(product_sides, static_cast<double>(call.m)),
                                        place(product_sides, static_cast<double>(call.n)),
                                        place(product_sides, static_cast<double>(call.k))};
      return std::exp2(interpolate<3>(logs.gemm.data(), places.data()));
    }
    case Kernel::gemv: {
      const std::array<Place, 2> places{
          place(vector_sides, static_cast<double>(std::max(call.m, call.n))),
          place(vector_sides, static_cast<double>(call.k))};
      return std::exp2(interpolate<2>(logs.gemv.data(), places.data()));
    }
    case Kernel::combine: {
      const Place at = place(entry_counts, entries);
      const auto& times = call.accumulate ? logs.accumulate : logs.combine;
      return std::exp2(interpolate<1>(times.data(), &at));
    }
    case Kernel::fill: {
      const Place at = place(entry_counts, entries);
      return std::exp2(interpolate<1>(logs.fill.data(), &at));
    }
    }
    return 0;
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
  static constexpr char header[] = "accrete cost model 1\n";

  /// Between points `index` and `index + 1`, at `weight` of the way.
  struct Place {
    std::size_t index;
    double weight;
  };

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

  template <int dimensions>
  static double interpolate(const double* values, const Place* at) noexcept {
    if constexpr (dimensions == 0) {
      return *values;
    } else {
      std::size_t stride = 1;
      for (int i = 1; i < dimensions; ++i) {
        stride *= points;
      }
      const double* low = values + at->index * stride;
      return (1 - at->weight) * interpolate<dimensions - 1>(low, at + 1) +
             at->weight * interpolate<dimensions - 1>(low + stride, at + 1);
    }
  }

  template <class AnyTable, class Action>
  static void for_each_entry(AnyTable& table, const Action& action) {
    const auto all = [&](auto& values) {
      for (auto& value : values) {
        action(value);
      }
    };
    all(table.gemm);
    all(table.gemv);
    all(table.combine);
    all(table.accumulate);
    all(table.fill);
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
