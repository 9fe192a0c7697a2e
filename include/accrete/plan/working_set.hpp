// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/cost_model.hpp>
#include <accrete/plan/neighbours.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Bytes of the operands of an expression, each counted once, and of its rows x cols result.
template <class Scalar>
Index working_set_of(const Operands<Scalar>& operands, const Neighbours& neighbours, Index rows,
                     Index cols) noexcept {
  Index entries = rows * cols;
  for (int i = 0; i < operands.leaf_count; ++i) {
    entries += neighbours[i].same_as == 0 ? operands.leaves[i].size() : 0;
  }
  return entries * static_cast<Index>(sizeof(Scalar));
}

/// A cost model that is told with each call how much memory the whole expression touches.
class ModelWithWorkingSet final : public CostModel {
 public:
  ModelWithWorkingSet(const CostModel& model, Index bytes) : model_(model), bytes_(bytes) {}

  [[nodiscard]] double seconds(const KernelCall& call) const override {
    KernelCall told = call;
    told.working_set = bytes_;
    return model_.seconds(told);
  }

 private:
  const CostModel& model_;
  Index bytes_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
