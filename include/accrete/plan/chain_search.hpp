// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/chains.hpp>
#include <accrete/plan/known_chains.hpp>

#include <limits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Decision on how to write one chain into its target. The decisions on its parts form a list
/// through `next`.
struct Choice {
  enum class Kind : unsigned char {
    copy,      ///< one operand, or the zero matrix
    sum,       ///< one sum: each term into the target
    split,     ///< (pieces before position) * (pieces from position)
    apply,     ///< the sum at one end: evaluate the rest once, then each term times it
    distribute ///< replace the sum at position by each of its terms
  };
  Kind kind = Kind::copy;
  int position = 0;
  double seconds = std::numeric_limits<double>::infinity();
  double adding_seconds = 0.0; ///< more that it takes to add to the target
  int first_part = -1;
  int last_part = -1;
  int next = -1;
};

/// Dynamic programming over the association of product chains; sums inside are materialised,
/// applied term by term or distributed, whichever the cost model predicts to be fastest. What
/// depends on operands that stay alone is made once, and costs each execution its share.
class ChainSearch {
 public:
  ChainSearch(const CostModel& model, const CanonicalForm& form, const PlanningTask& task,
              ChainStack& chains)
      : model_(model), form_(form), task_(task), chains_(chains) {}

  /// The number of the decision on how to write the sum.
  int choose_sum(int sum) {
    const int whole = new_choice(Choice::Kind::sum, 0, 0.0);
    bool written = false;
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const ChainStack::Mark mark(chains_);
      const Chain chain = chains_.push_term(term);
      add_term(whole, choose(chain), chains_.is_zero(chain), written);
    }
    return whole;
  }

  [[nodiscard]] const Choice& operator[](int choice) const { return choices_[choice]; }

 private:
  // Choosing. Choices lie in one array and are named by their index.

  [[nodiscard]] double copy_cost(const Piece& piece, bool adding) const {
    return model_.seconds({Kernel::combine, piece.rows, piece.cols, 1, adding, task_.scalar_bytes,
                           piece.operand.order});
  }
  /// Cost of the last product of the chain, (pieces before k) * (pieces from k).
  [[nodiscard]] double product_cost(const Chain& chain, int k, bool adding) const {
    const Index m = chains_.front(chain).rows;
    const Index n = chains_.back(chain).cols;
    const auto order = [this](const Chain& part) {
      return chains_.is_operand(part) ? chains_.front(part).operand.order : Order::column_major;
    };
    return model_.seconds({product_kernel(m, n), m, n, chains_.piece(chain, k).rows, adding,
                           task_.scalar_bytes, order(slice(chain, 0, k)),
                           order(slice(chain, k, chain.count))});
  }
  int new_choice(Choice::Kind kind, int position, double seconds) {
    return static_cast<int>(choices_.push({kind, position, seconds, 0.0, -1, -1, -1}));
  }
  Choice& choice(int index) { return choices_[index]; }

  /// Of terms that write one target, those after the first add to it.
  void add_term(int whole, int part, bool zero, bool& written) {
    if (!zero && written) {
      choice(whole).seconds += choice(part).adding_seconds;
    } else if (!zero) {
      choice(whole).adding_seconds = choice(part).adding_seconds;
    }
    written = written || !zero;
    add_part(whole, part);
  }
  void add_part(int whole, int part) {
    choice(whole).seconds += choice(part).seconds;
    if (choice(whole).first_part < 0) {
      choice(whole).first_part = part;
    } else {
      choice(choice(whole).last_part).next = part;
    }
    choice(whole).last_part = part;
  }

  /// Value needed as an operand: free when it is one already, made once where it can be prepared.
  int choose_operand(const Chain& chain) {
    if (chains_.is_operand(chain)) {
      return new_choice(Choice::Kind::copy, 0, 0.0);
    }
    if (preparing_ || !chains_.stays(chain)) {
      return choose(chain);
    }
    preparing_ = true;
    Choice once = choice(choose(chain));
    preparing_ = false;
    once.seconds /= static_cast<double>(task_.executions);
    once.next = -1;
    return static_cast<int>(choices_.push(once));
  }

  /// The cheapest way to write the chain, looked up where the same chain was treated before.
  int choose(const Chain& chain) {
    if (chains_.is_zero(chain)) {
      return new_choice(Choice::Kind::copy, 0, 0.0);
    }
    if (chain.count == 1) {
      const Piece only = chains_.front(chain);
      if (only.sum >= 0) {
        return choose_sum(only.sum);
      }
      const double seconds = copy_cost(only, false);
      const int copy = new_choice(Choice::Kind::copy, 0, seconds);
      choice(copy).adding_seconds = copy_cost(only, true) - seconds;
      return copy;
    }
    if (const int known = known_chains_.find(chains_.pieces(), chain); known >= 0) {
      // A copy, since each part of a choice stands in one list only.
      Choice again = choice(known);
      again.next = -1;
      return static_cast<int>(choices_.push(again));
    }
    const int best = search(chain);
    if (choice(best).kind == Choice::Kind::split) {
      const int position = choice(best).position;
      choice(best).adding_seconds =
          product_cost(chain, position, true) - product_cost(chain, position, false);
    }
    known_chains_.remember(chains_.pieces(), chain, best);
    return best;
  }

  int search(const Chain& chain) {
    int best = -1;
    const auto consider = [&](int candidate) {
      if (best < 0 || choice(candidate).seconds < choice(best).seconds) {
        best = candidate;
      }
    };
    const int last = chain.count - 1;
    if (chains_.front(chain).sum >= 0) {
      consider(choose_apply(chain, 0));
    }
    if (chains_.back(chain).sum >= 0) {
      consider(choose_apply(chain, last));
    }
    for (int k = 1; k <= last; ++k) {
      const double product = product_cost(chain, k, false);
      // The parts cost more still.
      if (best < 0 || product < choice(best).seconds) {
        consider(choose_split(chain, k, product));
      }
    }
    // With one operand besides, multiplying out is applying term by term.
    const bool apart =
        chain.count > 2 || (chains_.front(chain).sum >= 0 && chains_.back(chain).sum >= 0);
    for (int i = 0; apart && i <= last; ++i) {
      if (chains_.piece(chain, i).sum >= 0) {
        consider(choose_distribute(chain, i));
      }
    }
    return best;
  }

  int choose_split(const Chain& chain, int k, double seconds) {
    const int whole = new_choice(Choice::Kind::split, k, seconds);
    add_part(whole, choose_operand(slice(chain, 0, k)));
    add_part(whole, choose_operand(slice(chain, k, chain.count)));
    return whole;
  }

  int choose_apply(const Chain& chain, int position) {
    const int whole = new_choice(Choice::Kind::apply, position, 0.0);
    add_part(whole, choose_operand(rest_of(chain, position)));
    const ChainStack::Mark mark(chains_);
    const Chain pair = chains_.push_applied(chain, position, {});
    add_terms(whole, pair, position == 0 ? 0 : 1);
    return whole;
  }

  int choose_distribute(const Chain& chain, int position) {
    const int whole = new_choice(Choice::Kind::distribute, position, 0.0);
    add_terms(whole, chain, position);
    return whole;
  }

  void add_terms(int whole, const Chain& chain, int position) {
    const int sum = chains_.piece(chain, position).sum;
    bool written = false;
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const ChainStack::Mark mark(chains_);
      const Chain product = chains_.push_substituted(chain, position, term);
      add_term(whole, choose(product), chains_.is_zero(product), written);
    }
  }

  const CostModel& model_;
  const CanonicalForm& form_;
  const PlanningTask& task_;
  ChainStack& chains_;
  PlainArray<Choice> choices_;
  KnownChains known_chains_; // with the choices made for them
  bool preparing_ = false;   // the value being treated is made once for all executions
};

} // namespace detail

ACCRETE_END_NAMESPACE
