// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

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

ACCRETE_END_NAMESPACE
