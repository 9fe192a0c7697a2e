// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>
#include <accrete/plan/plan.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Expressions of more operands are planned without a look at where their operands lie: each pair
/// costs every evaluation some nanoseconds.
inline constexpr std::size_t most_related_leaves = 8;

/// How `b` lies beside `a` in memory.
template <class Scalar>
void relate(const View<const Scalar>& a, int a_index, const View<const Scalar>& b,
            PlanNeighbours& of_b) noexcept {
  if (a.order != b.order || a.stride != b.stride) {
    return;
  }
  const auto name = static_cast<unsigned char>(a_index + 1);
  if (a.rows == b.rows && b.data == a.data + a.cols * a.col_step()) {
    of_b.right_of = name;
  }
  if (a.cols == b.cols && b.data == a.data + a.rows * a.row_step()) {
    of_b.below = name;
  }
}

template <class Scalar, std::size_t count>
std::array<PlanNeighbours, count>
neighbours_of(const std::array<View<const Scalar>, count>& leaves) noexcept {
  std::array<PlanNeighbours, count> result{};
  if constexpr (count <= most_related_leaves) {
    for (std::size_t j = 1; j < count; ++j) {
      for (std::size_t i = 0; i < j; ++i) {
        const auto& a = leaves[i];
        const auto& b = leaves[j];
        if (a.empty() || b.empty()) {
          continue;
        }
        relate(a, static_cast<int>(i), b, result[j]);
        relate(b, static_cast<int>(j), a, result[i]);
        if (a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.stride == b.stride &&
            a.order == b.order && result[j].same_as == 0) {
          result[j].same_as = static_cast<unsigned char>(i + 1);
        }
      }
    }
  }
  return result;
}

/// The coefficients that are 1, a bit each, where operands lie side by side: only a product without
/// a coefficient of its own can then be joined with its neighbour. 0 elsewhere, so that one plan
/// serves all coefficients.
template <class Operands, std::size_t count>
unsigned unit_slots_of(const Operands& operands,
                       const std::array<PlanNeighbours, count>& neighbours) noexcept {
  unsigned beside = 0;
  for (const PlanNeighbours& of : neighbours) {
    beside |= static_cast<unsigned>(of.right_of) | static_cast<unsigned>(of.below);
  }
  unsigned units = 0;
  const std::size_t most = std::min<std::size_t>(operands.coefficients.size(), 32);
  for (std::size_t i = 0; beside != 0 && i < most; ++i) {
    units |= operands.coefficients[i] == 1 ? 1U << i : 0U;
  }
  return units;
}

} // namespace detail

ACCRETE_END_NAMESPACE
