// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/chains.hpp>
#include <accrete/plan/cost_model.hpp>

#include <algorithm>
#include <limits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// How one chain is written into its target. Decisions form a tree of parts, of which equal ones
/// are shared.
struct Decision {
  enum class Kind : unsigned char {
    zero,  ///< the zero matrix
    copy,  ///< one operand
    split, ///< two parts: (pieces before a position) * (pieces from it)
    terms, ///< each part in turn, added up
    apply  ///< the first part, which is the value of a factor of the others; these added up
  };
  Kind kind = Kind::zero;
  Chain chain;
  double seconds = (std::numeric_limits<double>::max)();
  double adding_seconds = 0.0; ///< more that it takes to add to the target
  int first_part = -1;
  int last_part = -1;
};

/// A decision as a part of another one.
struct DecisionPart {
  int decision = -1;
  int coefficients = -1; ///< of the canonical form, the first of those that scale the part
  int next = -1;
};

/// Dynamic programming over the association of product chains; sums inside are materialised,
/// applied term by term or distributed, whichever the cost model predicts to be fastest. What
/// depends on operands that stay alone is made once, and costs each execution its share. Branch and
/// bound: what cannot become cheaper than the best so far is given up.
class ChainSearch {
 public:
  ChainSearch(const CostModel& model, const CanonicalForm& form, const PlanningTask& task,
              Index working_set)
      : model_(model), form_(form), task_(task), working_set_(working_set), chains_(form, task) {}

  /// The decision on how to write the whole expression.
  int run() { return choose_terms(chains_.chain_of_sum(form_.root()), 0, no_limit); }

  [[nodiscard]] const Decision& operator[](int decision) const { return decisions_[decision]; }
  [[nodiscard]] const DecisionPart& part(int i) const { return parts_[i]; }
  [[nodiscard]] ChainTable& chains() noexcept { return chains_; }

 private:
  /// What is known of a chain: the decision made for it, or else a time that it takes at least.
  struct Known {
    int decision = none;
    double least_seconds = 0.0;
  };

  static constexpr int none = -1;
  static constexpr double no_limit = (std::numeric_limits<double>::max)();
  static constexpr double most_seconds = 1e100; ///< of a kernel call

  /// Finite whatever the model says, so that there is always a decision below no limit.
  [[nodiscard]] double seconds(KernelCall call) const {
    call.working_set = working_set_;
    return (std::max)(0.0, (std::min)(most_seconds, model_.seconds(call)));
  }
  [[nodiscard]] double copy_cost(const Piece& piece, bool adding) const {
    return seconds(
        {Kernel::combine, piece.rows, piece.cols, 1, adding, task_.scalar, piece.operand.order});
  }
  /// Cost of the last product of the chain, (pieces before k) * (pieces from k).
  [[nodiscard]] double product_cost(const Chain& chain, int k, bool adding) const {
    const Index m = chains_.front(chain).rows;
    const Index n = chains_.back(chain).cols;
    const auto order = [this](const Chain& part) {
      return chains_.is_operand(part) ? chains_.front(part).operand.order : Order::column_major;
    };
    return seconds({product_kernel(m, n), m, n, chains_.piece(chain, k).rows, adding, task_.scalar,
                    order(slice(chain, 0, k)), order(slice(chain, k, chain.count))});
  }

  // Decisions are named by their index. A part is chosen below the limit that the best decision for
  // the whole so far leaves, and given up (`none`) where it reaches that.

  int new_decision(Decision::Kind kind, const Chain& chain, double seconds) {
    return static_cast<int>(decisions_.push({kind, chain, seconds}));
  }
  void add_part(int whole, int part, int coefficients, double seconds) {
    const int cell = static_cast<int>(parts_.push({part, coefficients, none}));
    Decision& decision = decisions_[whole];
    decision.seconds += seconds;
    if (decision.first_part < 0) {
      decision.first_part = cell;
    } else {
      parts_[decision.last_part].next = cell;
    }
    decision.last_part = cell;
  }

  /// The value of a chain as an operand: free where it is one already, made once where it can be
  /// prepared.
  bool add_operand(int whole, const Chain& chain, double limit) {
    limit -= decisions_[whole].seconds;
    if (chains_.is_operand(chain)) {
      add_part(whole, new_decision(Decision::Kind::copy, chain, 0.0), none, 0.0);
      return true;
    }
    const bool once = !preparing_ && chains_.is_invariant(chain);
    const double executions = once ? static_cast<double>(task_.executions) : 1.0;
    preparing_ = preparing_ || once;
    const int part = choose(chain, limit * executions);
    preparing_ = preparing_ && !once;
    if (part >= 0) {
      add_part(whole, part, none, decisions_[part].seconds / executions);
    }
    return part >= 0;
  }

  /// Each term in the place of the sum at `position`. Those after the first that is not zero add to
  /// what it has written.
  bool add_terms(int whole, const Chain& chain, int position, double limit) {
    bool written = false;
    const int sum = chains_.piece(chain, position).sum;
    for (int term = form_.sum(sum).first_term; term >= 0; term = form_.term(term).next) {
      const int part =
          choose(chains_.substituted(chain, position, term), limit - decisions_[whole].seconds);
      if (part < 0) {
        return false;
      }
      const Decision& made = decisions_[part];
      const double adding = made.adding_seconds;
      const bool writes = made.kind != Decision::Kind::zero;
      add_part(whole, part, form_.term(term).first_coefficient,
               made.seconds + (written && writes ? adding : 0.0));
      if (writes && !written) {
        decisions_[whole].adding_seconds = adding;
      }
      written = written || writes;
      if (decisions_[whole].seconds >= limit) {
        return false;
      }
    }
    return true;
  }
  int choose_terms(const Chain& chain, int position, double limit) {
    const int whole = new_decision(Decision::Kind::terms, chain, 0.0);
    return add_terms(whole, chain, position, limit) ? whole : none;
  }

  /// The cheapest way to write the chain.
  int choose(const Chain& chain, double limit) {
    if (chains_.is_zero(chain)) {
      return new_decision(Decision::Kind::zero, chain, 0.0);
    }
    if (chain.count > 1) {
      return choose_product(chain, limit);
    }
    const Piece& only = chains_.front(chain);
    if (only.sum >= 0) {
      return choose_terms(chain, 0, limit);
    }
    const int copy = new_decision(Decision::Kind::copy, chain, copy_cost(only, false));
    decisions_[copy].adding_seconds = copy_cost(only, true) - decisions_[copy].seconds;
    return copy;
  }

  /// Looked up where the same chain was treated before.
  int choose_product(const Chain& chain, double limit) {
    const int number = chains_.number_of(chain);
    while (known_.size() <= number) {
      known_.push({});
    }
    const Known known = known_[number];
    if (known.decision < 0 && limit > known.least_seconds) {
      // At least twice the limit of the search before: few are made, whatever the chain costs.
      const double most = (std::max)(limit, 2.0 * known.least_seconds);
      const int best = search(chain, most);
      known_[number] = {best, most};
    }
    const int best = known_[number].decision;
    return best < 0 || decisions_[best].seconds >= limit ? none : best;
  }

  int search(const Chain& chain, double limit) {
    int best = none;
    const auto consider = [&](int candidate) {
      if (candidate >= 0 && decisions_[candidate].seconds < limit) {
        best = candidate;
        limit = decisions_[best].seconds;
      }
    };
    const int last = chain.count - 1;
    const bool sum_in_front = chains_.front(chain).sum >= 0;
    const bool sum_in_back = chains_.back(chain).sum >= 0;
    if (sum_in_front) {
      consider(choose_apply(chain, 0, limit));
    }
    if (sum_in_back) {
      consider(choose_apply(chain, last, limit));
    }
    for (int k = 1; k <= last; ++k) {
      consider(choose_split(chain, k, limit));
    }
    // With one operand besides, multiplying out is applying term by term.
    const bool apart = chain.count > 2 || (sum_in_front && sum_in_back);
    for (int i = 0; apart && i <= last; ++i) {
      if (chains_.piece(chain, i).sum >= 0) {
        consider(choose_terms(chain, i, limit));
      }
    }
    if (best >= 0 && decisions_[best].kind == Decision::Kind::split) {
      const int k = decisions_[parts_[decisions_[best].first_part].decision].chain.count;
      decisions_[best].adding_seconds =
          product_cost(chain, k, true) - product_cost(chain, k, false);
    }
    return best;
  }

  int choose_split(const Chain& chain, int k, double limit) {
    const double product = product_cost(chain, k, false);
    if (product >= limit) {
      return none;
    }
    const int whole = new_decision(Decision::Kind::split, chain, product);
    return add_operand(whole, slice(chain, 0, k), limit) &&
                   add_operand(whole, slice(chain, k, chain.count), limit)
               ? whole
               : none;
  }

  int choose_apply(const Chain& chain, int position, double limit) {
    const int whole = new_decision(Decision::Kind::apply, chain, 0.0);
    if (!add_operand(whole, rest_of(chain, position), limit)) {
      return none;
    }
    const Chain pair = chains_.applied(chain, position);
    return add_terms(whole, pair, position == 0 ? 0 : 1, limit) ? whole : none;
  }

  const CostModel& model_;
  const CanonicalForm& form_;
  const PlanningTask& task_;
  Index working_set_;
  ChainTable chains_;
  PlainArray<Decision> decisions_;
  PlainArray<DecisionPart> parts_;
  PlainArray<Known> known_; // of each chain
  bool preparing_ = false;  // the value being treated is made once for all executions
};

} // namespace detail

ACCRETE_END_NAMESPACE
