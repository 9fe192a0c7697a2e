// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>
#include <accrete/plan/canonical.hpp>
#include <accrete/plan/plan.hpp>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Expressions of more operands are planned without a look at where their operands lie: each pair
/// costs every evaluation some nanoseconds.
inline constexpr int most_related_leaves = 8;

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

/// Of the operands of one expression; nothing is known of those of a larger one.
class Neighbours {
 public:
  template <class Scalar>
  explicit Neighbours(const Operands<Scalar>& operands) noexcept {
    const int count = operands.leaf_count <= most_related_leaves ? operands.leaf_count : 0;
    for (int j = 1; j < count; ++j) {
      for (int i = 0; i < j; ++i) {
        const auto& a = operands.leaves[i];
        const auto& b = operands.leaves[j];
        if (a.empty() || b.empty()) {
          continue;
        }
        relate(a, i, b, of_[j]);
        relate(b, j, a, of_[i]);
        if (a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.stride == b.stride &&
            a.order == b.order && of_[j].same_as == 0) {
          of_[j].same_as = static_cast<unsigned char>(i + 1);
        }
      }
    }
  }

  [[nodiscard]] PlanNeighbours operator[](int leaf) const noexcept {
    return leaf < most_related_leaves ? of_[leaf] : PlanNeighbours{};
  }

 private:
  PlanNeighbours of_[most_related_leaves] = {};
};

/// The coefficients that are 1, a bit each, where operands lie side by side: only a product without
/// a coefficient of its own can then be joined with its neighbour. 0 elsewhere, so that one plan
/// serves all coefficients.
template <class Scalar>
unsigned unit_slots_of(const Operands<Scalar>& operands, const Neighbours& neighbours) noexcept {
  unsigned beside = 0;
  for (int i = 0; i < (std::min)(operands.leaf_count, most_related_leaves); ++i) {
    beside |=
        static_cast<unsigned>(neighbours[i].right_of) | static_cast<unsigned>(neighbours[i].below);
  }
  unsigned units = 0;
  const int most = (std::min)(operands.coefficient_count, 32);
  for (int i = 0; beside != 0 && i < most; ++i) {
    units |= operands.coefficients[i] == 1 ? 1U << i : 0U;
  }
  return units;
}

} // namespace detail

ACCRETE_END_NAMESPACE
