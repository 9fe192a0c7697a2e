// SPDX-License-Identifier: MIT
#pragma once

// The planner: what of it is compiled once where accrete is used as a library (accrete::compiled).

#include <accrete/backend/rounding.hpp>
#include <accrete/plan/chain_search.hpp>
#include <accrete/plan/planner.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Writes what was decided down as the steps of a plan. Temporaries have no place yet.
class PlanWriter {
 public:
  PlanWriter(const CostModel& model, const CanonicalForm& form, ChainSearch& decisions,
             Index working_set, Plan& plan)
      : model_(model), form_(form), decisions_(decisions), working_set_(working_set), plan_(plan) {}

  /// The steps of the whole expression.
  void run(int decision) {
    write(decision, {{PlanOperand::Kind::destination, 0}, plan_.rows, plan_.cols, false});
  }

 private:
  struct Target {
    PlanOperand operand;
    Index rows = 0;
    Index cols = 0;
    bool accumulate = false;
  };

  void write(int number, const Target& target) {
    const Decision decision = decisions_[number];
    const Piece& front = decisions_.chains().front(decision.chain);
    switch (decision.kind) {
    case Decision::Kind::zero:
      if (!target.accumulate) {
        add_step(Kernel::fill, {}, {}, target, 1);
      }
      return;
    case Decision::Kind::copy:
      return add_step(Kernel::combine, placed(front.operand), {}, target, 1);
    case Decision::Kind::split: {
      const DecisionPart first = decisions_.part(decision.first_part);
      const DecisionPart second = decisions_.part(first.next);
      const PlanOperand left = write_operand(first.decision);
      const PlanOperand right = write_operand(second.decision);
      const Index k = decisions_.chains().front(decisions_[second.decision].chain).rows;
      return add_step(product_kernel(target.rows, target.cols), left, right, target, k);
    }
    case Decision::Kind::terms:
      return write_terms(decision.first_part, target);
    case Decision::Kind::apply: {
      const DecisionPart value = decisions_.part(decision.first_part);
      write_operand(value.decision);
      return write_terms(value.next, target);
    }
    }
  }

  /// The first term that is not zero is written to the target as it is told, the others add to it.
  void write_terms(int part, Target target) {
    bool written = target.accumulate;
    for (; part >= 0; part = decisions_.part(part).next) {
      const DecisionPart term = decisions_.part(part);
      if (decisions_[term.decision].kind == Decision::Kind::zero) {
        continue;
      }
      const Index outer = coefficients_.size();
      for (int c = term.coefficients; c >= 0; c = form_.coefficient(c).next) {
        coefficients_.push(form_.coefficient(c).number);
      }
      target.accumulate = written;
      write(term.decision, target);
      coefficients_.shrink(outer);
      written = true;
    }
    target.accumulate = false;
    if (!written) {
      add_step(Kernel::fill, {}, {}, target, 1);
    }
  }

  /// An operand with the value of the decision's chain, computed into a temporary where needed.
  PlanOperand write_operand(int decision) {
    ChainTable& chains = decisions_.chains();
    const Chain chain = decisions_[decision].chain;
    if (chains.is_operand(chain)) {
      return placed(chains.front(chain).operand);
    }
    const PlanOperand value{PlanOperand::Kind::temporary, chains.number_of(chain)};
    while (temporaries_.size() <= value.index) {
      temporaries_.push(-1);
    }
    if (temporaries_[value.index] >= 0) {
      return placed(value);
    }
    PlanTemporary temporary;
    temporary.rows = chains.front(chain).rows;
    temporary.cols = chains.back(chain).cols;
    temporaries_[value.index] = static_cast<int>(plan_.temporaries.push(temporary));
    // The coefficients belong to the product that the value goes into.
    const Index outer_coefficient = first_coefficient_;
    const bool outer_preparing = preparing_;
    first_coefficient_ = coefficients_.size();
    preparing_ = preparing_ || chains.is_invariant(chain);
    write(decision, {placed(value), temporary.rows, temporary.cols, false});
    first_coefficient_ = outer_coefficient;
    preparing_ = outer_preparing;
    return placed(value);
  }

  /// Of a temporary, the search knows the number of its chain.
  [[nodiscard]] PlanOperand placed(PlanOperand operand) const {
    if (operand.kind == PlanOperand::Kind::temporary) {
      operand.index = temporaries_[operand.index];
    }
    return operand;
  }

  void add_step(Kernel kernel, const PlanOperand& left, const PlanOperand& right,
                const Target& target, Index k) {
    PlanStep step;
    step.kernel = kernel;
    step.left = left;
    step.right = right;
    step.result = target.operand;
    step.m = target.rows;
    step.n = target.cols;
    step.k = k;
    step.accumulate = target.accumulate;
    step.prepared = preparing_;
    if (kernel != Kernel::fill) {
      step.first_coefficient = static_cast<int>(plan_.coefficients.size());
      step.coefficient_count = static_cast<int>(coefficients_.size() - first_coefficient_);
      for (Index i = first_coefficient_; i < coefficients_.size(); ++i) {
        plan_.coefficients.push(coefficients_[i]);
      }
    }
    step.predicted_seconds = model_.seconds(step.call(plan_.scalar, working_set_));
    plan_.steps.push(step);
  }

  const CostModel& model_;
  const CanonicalForm& form_;
  ChainSearch& decisions_;
  Index working_set_;
  Plan& plan_;
  PlainArray<int> temporaries_; // with the value of each chain, -1 where there is none yet
  bool preparing_ = false;      // the value being written is made once for all executions
  // Coefficients of the products around the one being written; those of a temporary start anew.
  PlainArray<int> coefficients_;
  Index first_coefficient_ = 0;
};

/// Gives each temporary of a plan its place in one block of workspace. First fit: temporaries that
/// are never alive together share memory.
class TemporaryLayout {
 public:
  explicit TemporaryLayout(Plan& plan) : plan_(plan) {}

  void run() {
    find_lifetimes();
    for (Index t = 0; t < plan_.temporaries.size(); ++t) {
      place(t);
    }
  }

 private:
  /// Steps [first, last] during which a temporary is in use; all of them where it is prepared,
  /// since that happens before the first and serves executions to come.
  void find_lifetimes() {
    const int last = static_cast<int>(plan_.steps.size()) - 1;
    for (int s = 0; s <= last; ++s) {
      const PlanStep& step = plan_.steps[s];
      for (const PlanOperand* operand : {&step.left, &step.right, &step.result}) {
        if (operand->kind == PlanOperand::Kind::temporary) {
          use(plan_.temporaries[operand->index], step.prepared ? 0 : s, step.prepared ? last : s);
        }
      }
    }
  }
  static void use(PlanTemporary& temporary, int first, int last) {
    if (temporary.last_step < 0 || first < temporary.first_step) {
      temporary.first_step = first;
    }
    if (last > temporary.last_step) {
      temporary.last_step = last;
    }
  }

  void place(Index t) {
    PlanTemporary& mine = plan_.temporaries[t];
    for (Index other = 0; other < t;) {
      const PlanTemporary& theirs = plan_.temporaries[other];
      const bool meets = mine.first_step <= theirs.last_step && theirs.first_step <= mine.last_step;
      const bool collides = mine.offset < theirs.offset + padded_size(theirs) &&
                            theirs.offset < mine.offset + padded_size(mine);
      if (meets && collides) {
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
  [[nodiscard]] Index padded_size(const PlanTemporary& temporary) const {
    const Index line = 64 / scalar_bytes(plan_.scalar); // scalars in a cache line
    return round_up(temporary.rows * temporary.cols, line);
  }

  Plan& plan_;
};

ACCRETE_COMPILED_INLINE Plan make_plan(const CostModel& model, const PlanningTask& task) {
  const CanonicalForm form(task);
  Plan plan;
  plan.rows = form.sum(form.root()).rows;
  plan.cols = form.sum(form.root()).cols;
  plan.scalar = task.scalar;
  plan.inputs = *task.inputs;
  if (plan.rows > 0 && plan.cols > 0) {
    // Bytes of the operands, each counted once, and of the result.
    Index working_set = plan.rows * plan.cols;
    for (const PlanInput& input : plan.inputs) {
      working_set += input.alias_of < 0 ? input.rows * input.cols : 0;
    }
    working_set *= scalar_bytes(task.scalar);
    ChainSearch search(model, form, task, working_set);
    const int decision = search.run();
    PlanWriter(model, form, search, working_set, plan).run(decision);
    TemporaryLayout(plan).run();
  }
  return plan;
}

} // namespace detail

ACCRETE_END_NAMESPACE
