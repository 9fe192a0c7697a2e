// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/plan.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Gives each temporary of a plan its place in one block of workspace. First fit: temporaries that
/// are never alive together share memory.
class Placement {
 public:
  explicit Placement(Plan& plan) : plan_(plan) {}

  void run() {
    find_lifetimes();
    for (Index t = 0; t < plan_.temporaries.size(); ++t) {
      if (plan_.temporaries[t].whole < 0) {
        place(t);
      }
    }
    for (PlanTemporary& part : plan_.temporaries) {
      if (part.whole >= 0) {
        const PlanTemporary& whole = plan_.temporaries[part.whole];
        part.stride = whole.stride;
        part.offset = whole.offset + part.row + part.col * whole.stride;
      }
    }
  }

 private:
  void place(Index t) {
    PlanTemporary& mine = plan_.temporaries[t];
    mine.stride = mine.rows;
    for (Index other = 0; other < t;) {
      const PlanTemporary& theirs = plan_.temporaries[other];
      const bool meets = mine.first_step <= theirs.last_step && theirs.first_step <= mine.last_step;
      const bool collides = mine.offset < theirs.offset + padded_size(theirs) &&
                            theirs.offset < mine.offset + padded_size(mine);
      if (theirs.whole < 0 && meets && collides) {
        mine.offset = theirs.offset + padded_size(theirs);
        other = 0;
      } else {
        ++other;
      }
    }
    const Index end = mine.offset + padded_size(mine);
    if (end > plan_.workspace_scalars) {
      plan_.workspace_scalars = end;
    }
  }

  /// Steps [first, last] during which a temporary is in use; all of them where it is prepared,
  /// since that happens before the first and serves executions to come.
  void find_lifetimes() {
    const int last = static_cast<int>(plan_.steps.size()) - 1;
    for (int s = 0; s <= last; ++s) {
      const PlanStep& step = plan_.steps[s];
      for (const PlanOperand* operand : {&step.left, &step.right, &step.result}) {
        if (operand->kind == PlanOperand::Kind::temporary) {
          use(whole_of(operand->index), step.prepared ? 0 : s, step.prepared ? last : s);
        }
      }
    }
  }
  void use(PlanTemporary& temporary, int first, int last) {
    if (temporary.last_step < 0 || first < temporary.first_step) {
      temporary.first_step = first;
    }
    if (last > temporary.last_step) {
      temporary.last_step = last;
    }
  }
  PlanTemporary& whole_of(int index) {
    const int whole = plan_.temporaries[index].whole;
    return plan_.temporaries[whole < 0 ? index : whole];
  }
  [[nodiscard]] Index padded_size(const PlanTemporary& temporary) const {
    const Index line = 64 / plan_.scalar_bytes; // scalars in a cache line
    return (temporary.rows * temporary.cols + line - 1) / line * line;
  }

  Plan& plan_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
