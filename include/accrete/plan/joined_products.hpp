// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/coefficients.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Replaces result = W A, result += U B by the one product result = [W U] [A; B], where U stands
/// right of W in memory and the cost model finds that faster; likewise A W + B U with U below W.
/// B then goes into the rows below A: it lies there already, or A is a temporary, which moves, or
/// A is copied. The coefficient that U B has beyond that of W A moves to B.
class JoinedProducts {
 public:
  JoinedProducts(const CostModel& model, Plan& plan) : model_(model), plan_(plan) {}

  void run() {
    for (int step = 1; step < static_cast<int>(plan_.steps.size()); ++step) {
      if (join(step, true) || join(step, false)) {
        step = 0;
      }
    }
  }

 private:
  using Kind = PlanOperand::Kind;

  /// Share of the time that a copied operand must leave: the gain is small, and so far predictions
  /// of it err.
  static constexpr double clear_gain = 0.97;

  /// The operand that stands beside another one, and the one it is multiplied by.
  static const PlanOperand& weight(const PlanStep& step, bool left) {
    return left ? step.left : step.right;
  }
  static const PlanOperand& other(const PlanStep& step, bool left) {
    return left ? step.right : step.left;
  }
  static bool is_product(const PlanStep& step) {
    return step.kernel == Kernel::gemm || step.kernel == Kernel::gemv;
  }
  /// The leaf that `operand` stands right of (as a left operand) or below, -1 for none.
  [[nodiscard]] int neighbour(const PlanOperand& operand, bool right_of) const {
    if (operand.kind != Kind::leaf || operand.beside >= 0) {
      return -1;
    }
    const PlanNeighbours& of = plan_.leaf_neighbours[operand.index];
    return (right_of ? of.right_of : of.below) - 1;
  }

  bool join(int second, bool left) {
    const PlanStep b = plan_.steps[second];
    const int base = b.accumulate && is_product(b) ? neighbour(weight(b, left), left) : -1;
    const int first = base < 0 ? -1 : partner(second, base, left);
    if (first < 0) {
      return false;
    }
    const PlanStep a = plan_.steps[first];
    const PlanOperand above = other(a, left);
    const PlanOperand below = other(b, left);
    const bool in_place = above.kind == Kind::leaf && above.beside < 0 &&
                          neighbour(below, !left) == above.index && a.slot_count == b.slot_count;
    if (!in_place && !is_private(plan_, below, second)) {
      return false;
    }
    PlanStep joined = b;
    PlanOperand& weights = left ? joined.left : joined.right;
    weights.beside = weights.index;
    weights.index = base;
    joined.k = a.k + b.k;
    joined.accumulate = a.accumulate;
    joined.first_slot = a.first_slot;
    joined.slot_count = a.slot_count;
    (left ? joined.right : joined.left).order = in_place ? above.order : Order::column_major;
    joined.predicted_seconds = model_.seconds(joined.call(plan_.scalar_bytes));

    PlanStep copy = copy_of(above, a, left);
    const bool copies = !in_place && !is_whole_temporary(plan_, above);
    const double seconds = joined.predicted_seconds + (copies ? copy.predicted_seconds : 0.0);
    if (seconds >= (copies ? clear_gain : 1.0) * (a.predicted_seconds + b.predicted_seconds)) {
      return false;
    }
    PlanOperand& inner = left ? joined.right : joined.left;
    if (in_place) {
      inner = above;
      inner.beside = below.index;
    } else {
      scale_writers(plan_, below, b, a.slot_count);
      inner = one_block(copies ? add_part(copy) : above.index, below.index, joined, left);
    }
    replace(first, second, joined, copies ? &copy : nullptr);
    return true;
  }

  /// The step before `second` that multiplies the leaf `base` into the same result, where nothing
  /// writes that result in between and its coefficients are the first of the second's; else -1.
  [[nodiscard]] int partner(int second, int base, bool left) const {
    const PlanStep& b = plan_.steps[second];
    int first = second - 1;
    while (first >= 0 && !(plan_.steps[first].result == b.result)) {
      --first;
    }
    if (first < 0) {
      return -1;
    }
    const PlanStep& a = plan_.steps[first];
    const PlanOperand& found = weight(a, left);
    if (!is_product(a) || found.kind != Kind::leaf || found.index != base || found.beside >= 0 ||
        a.prepared != b.prepared || !begins_with(plan_, b, a)) {
      return -1;
    }
    return first;
  }

  /// The step that copies `from` to a temporary still to be made.
  [[nodiscard]] PlanStep copy_of(const PlanOperand& from, const PlanStep& product, bool left) {
    PlanStep copy;
    copy.kernel = Kernel::combine;
    copy.left = from;
    copy.m = left ? product.k : product.m;
    copy.n = left ? product.n : product.k;
    copy.prepared = product.prepared;
    copy.predicted_seconds = model_.seconds(copy.call(plan_.scalar_bytes));
    return copy;
  }
  int add_part(PlanStep& copy) {
    PlanTemporary part;
    part.rows = copy.m;
    part.cols = copy.n;
    const int index = static_cast<int>(plan_.temporaries.push(part));
    copy.result = {Kind::temporary, index};
    return index;
  }

  /// Makes the temporaries blocks of a new one: the second below the first, or right of it.
  PlanOperand one_block(int first, int second, const PlanStep& joined, bool left) {
    PlanTemporary whole;
    whole.rows = left ? joined.k : joined.m;
    whole.cols = left ? joined.n : joined.k;
    const int index = static_cast<int>(plan_.temporaries.push(whole));
    PlanTemporary& a = plan_.temporaries[first];
    PlanTemporary& b = plan_.temporaries[second];
    a.whole = b.whole = index;
    b.row = left ? a.rows : 0;
    b.col = left ? 0 : a.cols;
    return {Kind::temporary, index};
  }

  /// `joined` stands for both steps, `copy` in the place of the first.
  void replace(int first, int second, const PlanStep& joined, const PlanStep* copy) {
    PlainArray<PlanStep> steps;
    for (int s = 0; s < static_cast<int>(plan_.steps.size()); ++s) {
      if (s == second) {
        steps.push(joined);
      } else if (s != first) {
        steps.push(plan_.steps[s]);
      } else if (copy != nullptr) {
        steps.push(*copy);
      }
    }
    plan_.steps = static_cast<PlainArray<PlanStep>&&>(steps);
  }

  const CostModel& model_;
  Plan& plan_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
