// SPDX-License-Identifier: MIT
// Four low-rank updates of one base, whose factors lie side by side in U and V: ranks r / 2, r / 4,
// r / 8 and r / 8, each for a quarter of the columns of X.
#pragma once

#include "operands.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace benchmarks {

/// Of the columns of one adapter: beside each other, or anywhere among those of the others.
enum class Order { neighbours, mixed };

struct Adapter {
  long first, rank;          ///< its columns of U and V
  std::vector<long> columns; ///< of X and Y, ascending
};

/// The adapter of each column. A fixed shuffle mixes them.
inline std::vector<long> adapter_of_column(const Shape& shape, Order order) {
  std::vector<long> result;
  for (long j = 0; j < shape.p; ++j) {
    result.push_back(4 * j / shape.p);
  }
  std::uint32_t state = 1;
  for (std::size_t j = result.size(); order == Order::mixed && j > 1; --j) {
    state = 1664525 * state + 1013904223;
    std::swap(result[j - 1], result[(state >> 8) % j]);
  }
  return result;
}

inline std::vector<Adapter> adapters_of(const Shape& shape, Order order) {
  const long r = shape.r;
  std::vector<Adapter> result = {
      {0, r / 2, {}}, {r / 2, r / 4, {}}, {3 * r / 4, r / 8, {}}, {7 * r / 8, r / 8, {}}};
  const std::vector<long> owner = adapter_of_column(shape, order);
  for (long j = 0; j < shape.p; ++j) {
    result[static_cast<std::size_t>(owner[static_cast<std::size_t>(j)])].columns.push_back(j);
  }
  return result;
}

template <class Scalar>
Array<Scalar> columns(const Array<Scalar>& a, long first, long count) {
  return {a.data + first * a.rows, a.rows, count};
}

} // namespace benchmarks
