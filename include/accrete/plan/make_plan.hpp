// SPDX-License-Identifier: MIT
#pragma once

// The planner: what of it is compiled once where accrete is used as a library (accrete::compiled).

#include <accrete/plan/chain_search.hpp>
#include <accrete/plan/joined_products.hpp>
#include <accrete/plan/placement.hpp>
#include <accrete/plan/plan_writer.hpp>
#include <accrete/plan/planner.hpp>
#include <accrete/plan/summed_products.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

inline void record_shapes(const CanonicalForm& form, int sum, Plan& plan) {
  for (int term = form[sum].first; term >= 0; term = form[term].next) {
    for (int f = form[term].first; f >= 0; f = form[f].next) {
      const CanonicalNode& factor = form[f];
      if (factor.leaf >= 0) {
        plan.leaf_shapes[factor.leaf] = {factor.rows, factor.cols};
      } else {
        record_shapes(form, factor.first, plan);
      }
    }
  }
}

/// A plan without steps: what it is for.
[[nodiscard]] inline Plan empty_plan(const CanonicalForm& form, const PlanningTask& task) {
  Plan plan;
  plan.rows = form[form.root()].rows;
  plan.cols = form[form.root()].cols;
  plan.scalar_bytes = task.scalar_bytes;
  plan.unit_slots = task.unit_slots;
  for (int leaf = 0; leaf < form.leaf_count(); ++leaf) {
    plan.leaf_shapes.push({});
    plan.leaf_neighbours.push((*task.neighbours)[leaf]);
  }
  record_shapes(form, form.root(), plan);
  return plan;
}

ACCRETE_COMPILED_INLINE Plan make_plan(const CostModel& model, const CanonicalForm& form,
                                       const PlanningTask& task) {
  Plan plan = empty_plan(form, task);
  if (plan.rows > 0 && plan.cols > 0) {
    ChainStack chains(form, task);
    ChainSearch search(model, form, task, chains);
    const int decision = search.run();
    PlanWriter(model, form, task, chains, search, plan).run(decision);
    JoinedProducts(model, plan).run();
    if (task.sums_products != nullptr) {
      SummedProducts(model, plan, task.sums_products).run();
    }
    Placement(plan).run();
  }
  return plan;
}

} // namespace detail

ACCRETE_END_NAMESPACE
