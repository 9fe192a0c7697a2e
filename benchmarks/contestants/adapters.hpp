// SPDX-License-Identifier: MIT
// Four low-rank updates of one base, some columns of U and V each: ranks r / 2, r / 4, r / 8 and
// r / 8, each for a quarter of the columns of X.
#pragma once

#include "operands.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
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

/// An adapter with factors in memory of its own, as one that was loaded.
template <class Scalar>
struct LoadedAdapter {
  Array<Scalar> u, v;
  std::vector<long> columns;
  std::shared_ptr<Scalar> u_memory, v_memory;
};

template <class Scalar>
std::pair<Array<Scalar>, std::shared_ptr<Scalar>> copy_of(const Array<Scalar>& a) {
  constexpr std::align_val_t alignment{64};
  const std::shared_ptr<Scalar> memory(
      static_cast<Scalar*>(::operator new(a.size() * sizeof(Scalar), alignment)),
      [](Scalar* data) { ::operator delete(data, alignment); });
  std::copy_n(a.data, a.size(), memory.get());
  return {{memory.get(), a.rows, a.cols}, memory};
}

template <class Scalar>
std::vector<LoadedAdapter<Scalar>> loaded_adapters(const Operands<Scalar>& o, Order order) {
  std::vector<LoadedAdapter<Scalar>> result;
  for (const Adapter& adapter : adapters_of(o.shape, order)) {
    const auto [u, u_memory] = copy_of(columns(o.U, adapter.first, adapter.rank));
    const auto [v, v_memory] = copy_of(columns(o.V, adapter.first, adapter.rank));
    result.push_back({u, v, adapter.columns, u_memory, v_memory});
  }
  return result;
}

} // namespace benchmarks
