// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/chain_search.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Writes what was chosen down as the steps of a plan. Temporaries have no place yet.
class PlanWriter {
 public:
  PlanWriter(const CostModel& model, const CanonicalForm& form, const PlanningTask& task,
             ChainStack& chains, const ChainSearch& choices, Plan& plan)
      : model_(model), form_(form), task_(task), chains_(chains), choices_(choices), plan_(plan) {}

  /// The steps of the whole expression.
  void run(int decision) {
    const PlanOperand target{PlanOperand::Kind::destination, 0};
    write_sum(decision, form_.root(), {target, plan_.rows, plan_.cols, false});
  }

 private:
  struct Target {
    PlanOperand operand;
    Index rows = 0;
    Index cols = 0;
    bool accumulate = false;
  };

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
      step.first_slot = static_cast<int>(plan_.slots.size());
      step.slot_count = static_cast<int>(slots_.size() - first_slot_);
      for (Index i = first_slot_; i < slots_.size(); ++i) {
        plan_.slots.push(slots_[i]);
      }
    }
    step.predicted_seconds = model_.seconds(step.call(plan_.scalar_bytes));
    plan_.steps.push(step);
  }

  /// Writes the terms of the sum at `position` of the chain, the first into the target as it is
  /// told, the others adding to it.
  void write_terms(int part, const Chain& chain, int position, Target target) {
    const int sum = chains_.piece(chain, position).sum;
    bool written = target.accumulate;
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const ChainStack::Mark mark(chains_);
      const Chain product = chains_.push_substituted(chain, position, term);
      const int decision = part;
      part = choices_[part].next;
      if (chains_.is_zero(product)) {
        continue;
      }
      const Index slots = slots_.size();
      for (int s = form_[term].slots; s >= 0; s = form_[s].next) {
        const int slot = form_[s].leaf;
        if (slot >= 32 || (task_.unit_slots >> slot & 1U) == 0) {
          slots_.push(slot);
        }
      }
      target.accumulate = written;
      write(decision, product, target);
      slots_.shrink(slots);
      written = true;
    }
    target.accumulate = false;
    if (!written) {
      add_step(Kernel::fill, {}, {}, target, 1);
    }
  }

  void write_sum(int decision, int sum, const Target& target) {
    const ChainStack::Mark mark(chains_);
    write_terms(choices_[decision].first_part, chains_.push_sum(sum), 0, target);
  }

  /// An operand holding the value of the chain, computed into a temporary where needed.
  PlanOperand write_operand(int decision, const Chain& chain) {
    if (chains_.is_operand(chain)) {
      return chains_.front(chain).operand;
    }
    const int index = written_chains_.number_of(chains_.pieces(), chain);
    const PlanOperand temporary{PlanOperand::Kind::temporary, index};
    if (index < plan_.temporaries.size()) {
      return temporary;
    }
    PlanTemporary place;
    place.rows = chains_.front(chain).rows;
    place.cols = chains_.back(chain).cols;
    plan_.temporaries.push(place);
    // The coefficients belong to the product that the value goes into.
    const Index outer_slot = first_slot_;
    const bool outer_preparing = preparing_;
    first_slot_ = slots_.size();
    preparing_ = preparing_ || chains_.stays(chain);
    write(decision, chain, {temporary, place.rows, place.cols, false});
    first_slot_ = outer_slot;
    preparing_ = outer_preparing;
    return temporary;
  }

  void write(int decision, const Chain& chain, const Target& target) {
    const Choice made = choices_[decision];
    switch (made.kind) {
    case Choice::Kind::copy:
      if (!chains_.is_zero(chain)) {
        add_step(Kernel::combine, chains_.front(chain).operand, {}, target, 1);
      } else if (!target.accumulate) {
        add_step(Kernel::fill, {}, {}, target, 1);
      }
      return;
    case Choice::Kind::sum:
      return write_sum(decision, chains_.front(chain).sum, target);
    case Choice::Kind::split: {
      const int right_part = choices_[made.first_part].next;
      const Index k = chains_.piece(chain, made.position).rows;
      const PlanOperand left = write_operand(made.first_part, slice(chain, 0, made.position));
      const PlanOperand right = write_operand(right_part, slice(chain, made.position, chain.count));
      return add_step(product_kernel(target.rows, target.cols), left, right, target, k);
    }
    case Choice::Kind::apply: {
      const PlanOperand value = write_operand(made.first_part, rest_of(chain, made.position));
      const ChainStack::Mark mark(chains_);
      const Chain pair = chains_.push_applied(chain, made.position, value);
      return write_terms(choices_[made.first_part].next, pair, made.position == 0 ? 0 : 1, target);
    }
    case Choice::Kind::distribute:
      return write_terms(made.first_part, chain, made.position, target);
    }
  }

  const CostModel& model_;
  const CanonicalForm& form_;
  const PlanningTask& task_;
  ChainStack& chains_;
  const ChainSearch& choices_;
  Plan& plan_;
  KnownChains written_chains_; // numbered as the temporaries that hold their values
  bool preparing_ = false;     // the value being treated is made once for all executions
  // Coefficients of the products around the one being written; those of a temporary start anew.
  PlainArray<int> slots_;
  Index first_slot_ = 0;
};

} // namespace detail

ACCRETE_END_NAMESPACE
