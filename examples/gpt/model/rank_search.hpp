// SPDX-License-Identifier: MIT
#pragma once

#include "model/inrank_config.hpp"
#include "model/model_optimizer.hpp"

#include <accrete/factor/svd.hpp>
#include <accrete/factor/truncation.hpp>
#include <accrete/grow/growth.hpp>
#include <accrete/grow/inrank.hpp>
#include <accrete/optim/state_policy.hpp>

#include <string>
#include <vector>

namespace gpt {

/// A factored layer whose rank or number of columns changed.
struct RankChange {
  std::string name;
  Index rank_before = 0, rank_after = 0;
  Index columns = 0; ///< of the factors now
};

/// InRank over the factored layers of a model (Zhao et al., arXiv 2306.11250): the rank of each
/// follows the singular values of its update, which come from the factors in O((m + n) r^2).
///
/// Differences to the authors' code: new columns leave the function as it is (there they come with
/// random values and it jumps), optimizer states follow every change of the columns, and the
/// singular values are those of the factors, not of a dense m x n product.
template <class Scalar, class Backend = accrete::Cpu>
class RankSearch {
 public:
  RankSearch(Gpt<Scalar, Backend>& model, ModelOptimizer<Scalar, Backend>& optimizer)
      : model_(model), optimizer_(optimizer) {
    if (!is_growing(model.config().weights)) {
      return;
    }
    model.for_each_factored([&](const std::string&, auto& weight) {
      policies_.emplace_back(inrank_options(model.config(), weight.rows(), weight.cols()),
                             std::min(weight.rows(), weight.cols()));
    });
  }

  /// Checks what is due after `step` steps; gradients of layers that changed become zero.
  std::vector<RankChange> after_step(long step) {
    std::vector<RankChange> changes;
    const long last = search_steps(model_.config());
    if (policies_.empty() || step > last) {
      return changes;
    }
    auto policy = policies_.begin();
    model_.for_each_factored([&](const std::string& name, auto& weight) {
      RankChange change{name, weight.rank(), weight.rank(), weight.factors().rank()};
      if (policy->due(step)) {
        grow(name, weight, *policy);
      }
      if (step == last) {
        drop_buffer(name, weight);
      }
      change.rank_after = weight.rank();
      const Index columns = std::exchange(change.columns, weight.factors().rank());
      if (change.rank_after != change.rank_before || change.columns != columns) {
        changes.push_back(change);
      }
      ++policy;
    });
    return changes;
  }

 private:
  template <class Weight>
  void grow(const std::string& name, Weight& weight, accrete::InRankPolicy& policy) {
    auto& factors = weight.factors();
    policy.set_rank(weight.rank()); // the model's rank is the one that checkpoints keep
    policy.update(accrete::singular_values(factors));
    const Index added = policy.active_columns() - factors.rank();
    if (added > 0) {
      const std::uint64_t seed = tensor_seed(model_.seed(), name + ".growth");
      accrete::grow(factors, added, accrete::init::orthogonal(weight.column_length(), seed));
      optimizer_.of(name + ".weight_u").append_columns(added);
      optimizer_.of(name + ".weight_v").append_columns(added);
      weight.fit_gradients();
    }
    weight.set_rank(policy.rank());
  }

  /// The end of the search: the best approximation of the found rank replaces rank and buffer.
  template <class Weight>
  void drop_buffer(const std::string& name, Weight& weight) {
    const Index rank = weight.rank();
    const auto report = weight.factors().truncate({.max_rank = rank, .min_rank = rank});
    accrete::transport(optimizer_.of(name + ".weight_u"), optimizer_.of(name + ".weight_v"),
                       report.basis);
    weight.fit_gradients();
  }

  Gpt<Scalar, Backend>& model_;
  ModelOptimizer<Scalar, Backend>& optimizer_;
  std::vector<accrete::InRankPolicy> policies_; // in the order of the factored layers
};

} // namespace gpt
