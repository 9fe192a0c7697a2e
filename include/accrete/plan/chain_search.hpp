// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/chains.hpp>
#include <accrete/plan/known_chains.hpp>

#include <algorithm>
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
  double seconds = (std::numeric_limits<double>::max)();
  double adding_seconds = 0.0; ///< more that it takes to add to the target
  int first_part = -1;
  int last_part = -1;
  int next = -1;
};

/// Dynamic programming over the association of product chains; sums inside are materialised,
/// applied term by term or distributed, whichever the cost model predicts to be fastest. What
/// depends on operands that stay alone is made once, and costs each execution its share. Branch and
/// bound: what cannot become cheaper than the best so far is given up.
class ChainSearch {
 public:
  ChainSearch(const CostModel& model, const CanonicalForm& form, const PlanningTask& task,
              ChainStack& chains)
      : model_(model), form_(form), task_(task), chains_(chains) {}

  /// The number of the decision on how to write the whole expression.
  int run() { return choose_sum(form_.root(), no_limit); }

  [[nodiscard]] const Choice& operator[](int choice) const { return choices_[choice]; }

 private:
  /// What is known of a chain: the choice made for it, or else a time that it takes at least.
  struct Known {
    int choice = none;
    double least_seconds = 0.0;
  };

  static constexpr int none = -1;
  static constexpr double no_limit = (std::numeric_limits<double>::max)();
  static constexpr double most_seconds = 1e100; ///< of a kernel call

  /// Finite whatever the model says, so that there is always a choice below no limit.
  [[nodiscard]] double seconds(const KernelCall& call) const {
    return (std::max)(0.0, (std::min)(most_seconds, model_.seconds(call)));
  }
  [[nodiscard]] double copy_cost(const Piece& piece, bool adding) const {
    return seconds({Kernel::combine, piece.rows, piece.cols, 1, adding, task_.scalar_bytes,
                    piece.operand.order});
  }
  /// Cost of the last product of the chain, (pieces before k) * (pieces from k).
  [[nodiscard]] double product_cost(const Chain& chain, int k, bool adding) const {
    const Index m = chains_.front(chain).rows;
    const Index n = chains_.back(chain).cols;
    const auto order = [this](const Chain& part) {
      return chains_.is_operand(part) ? chains_.front(part).operand.order : Order::column_major;
    };
    return seconds({product_kernel(m, n), m, n, chains_.piece(chain, k).rows, adding,
                    task_.scalar_bytes, order(slice(chain, 0, k)),
                    order(slice(chain, k, chain.count))});
  }

  // Choices lie in one array and are named by their index. A part is chosen below the limit that
  // the best choice for the whole so far leaves, and given up (`none`) where it reaches that.

  int new_choice(Choice::Kind kind, int position, double seconds, double adding_seconds = 0.0) {
    return static_cast<int>(
        choices_.push({kind, position, seconds, adding_seconds, none, none, none}));
  }
  Choice& choice(int index) { return choices_[index]; }

  void add_part(int whole, int part) {
    choice(whole).seconds += choice(part).seconds;
    if (choice(whole).first_part < 0) {
      choice(whole).first_part = part;
    } else {
      choice(choice(whole).last_part).next = part;
    }
    choice(whole).last_part = part;
  }
  bool add_operand(int whole, const Chain& chain, double limit) {
    const int part = choose_operand(chain, limit - choice(whole).seconds);
    if (part >= 0) {
      add_part(whole, part);
    }
    return part >= 0;
  }
  /// What the terms of one target have written so far.
  struct Written {
    bool any = false;
    bool products = false; ///< nothing else
  };

  /// What a product that adds to others saves: the pass over their result.
  [[nodiscard]] double saved_by_summing(const Chain& chain, const Written& written) const {
    const Index m = chains_.front(chain).rows;
    const Index n = chains_.back(chain).cols;
    const bool saves = task_.sums_products != nullptr && written.products &&
                       product_kernel(m, n) == Kernel::gemm && task_.sums_products(m, n);
    return saves ? seconds({Kernel::gemm, m, n, 1, false, task_.scalar_bytes}) : 0.0;
  }

  /// Of terms that write one target, those after the first add to it.
  bool add_term(int whole, const Chain& chain, double limit, Written& written) {
    const double saved = saved_by_summing(chain, written);
    const int part = choose(chain, limit - choice(whole).seconds + saved);
    if (part < 0) {
      return false;
    }
    const bool is_product = choice(part).kind == Choice::Kind::split;
    const bool zero = chains_.is_zero(chain);
    if (!zero && written.any) {
      choice(whole).seconds +=
          is_product && saved > 0.0
              ? -(std::min)(saved, product_cost(chain, choice(part).position, false))
              : choice(part).adding_seconds;
    } else if (!zero) {
      choice(whole).adding_seconds = choice(part).adding_seconds;
    }
    if (!zero) {
      written = {true, is_product && (written.products || !written.any)};
    }
    add_part(whole, part);
    return choice(whole).seconds < limit;
  }
  /// Each term in the place of the sum at `position`.
  bool add_terms(int whole, const Chain& chain, int position, double limit) {
    Written written;
    const int sum = chains_.piece(chain, position).sum;
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const ChainStack::Mark mark(chains_);
      if (!add_term(whole, chains_.push_substituted(chain, position, term), limit, written)) {
        return false;
      }
    }
    return true;
  }

  int choose_sum(int sum, double limit) {
    const ChainStack::Mark mark(chains_);
    const int whole = new_choice(Choice::Kind::sum, 0, 0.0);
    return add_terms(whole, chains_.push_sum(sum), 0, limit) ? whole : none;
  }

  /// Value needed as an operand: free when it is one already, made once where it can be prepared.
  int choose_operand(const Chain& chain, double limit) {
    if (chains_.is_operand(chain)) {
      return new_choice(Choice::Kind::copy, 0, 0.0);
    }
    if (preparing_ || !chains_.stays(chain)) {
      return choose(chain, limit);
    }
    const auto executions = static_cast<double>(task_.executions);
    preparing_ = true;
    const int once = choose(chain, limit * executions);
    preparing_ = false;
    if (once >= 0) {
      choice(once).seconds /= executions;
    }
    return once;
  }

  /// The cheapest way to write the chain.
  int choose(const Chain& chain, double limit) {
    if (chains_.is_zero(chain)) {
      return new_choice(Choice::Kind::copy, 0, 0.0);
    }
    if (chain.count > 1) {
      return choose_product(chain, limit);
    }
    const Piece& only = chains_.front(chain);
    if (only.sum >= 0) {
      return choose_sum(only.sum, limit);
    }
    const double seconds = copy_cost(only, false);
    return new_choice(Choice::Kind::copy, 0, seconds, copy_cost(only, true) - seconds);
  }

  /// Looked up where the same chain was treated before.
  int choose_product(const Chain& chain, double limit) {
    const int number = known_chains_.number_of(chains_.pieces(), chain);
    if (number == known_.size()) {
      known_.push({});
    }
    const Known known = known_[number];
    if (known.choice < 0 && limit > known.least_seconds) {
      // At least twice the limit of the search before: few are made, whatever the chain costs.
      const double most = (std::max)(limit, 2.0 * known.least_seconds);
      const int best = search(chain, most);
      known_[number] = {best, most};
    }
    const int best = known_[number].choice;
    if (best < 0 || choice(best).seconds >= limit) {
      return none;
    }
    // A copy, since each part of a choice stands in one list only.
    return static_cast<int>(choices_.push(choice(best)));
  }

  int search(const Chain& chain, double limit) {
    int best = none;
    const auto consider = [&](int candidate) {
      if (candidate >= 0 && choice(candidate).seconds < limit) {
        best = candidate;
        limit = choice(best).seconds;
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
    const int last_split = task_.right_to_left ? 1 : last;
    for (int k = 1; k <= last_split; ++k) {
      consider(choose_split(chain, k, limit));
    }
    // With one operand besides, multiplying out is applying term by term.
    const bool apart = chain.count > 2 || (sum_in_front && sum_in_back);
    for (int i = 0; apart && i <= last; ++i) {
      if (chains_.piece(chain, i).sum >= 0) {
        consider(choose_distribute(chain, i, limit));
      }
    }
    if (best >= 0 && choice(best).kind == Choice::Kind::split) {
      const int position = choice(best).position;
      choice(best).adding_seconds =
          product_cost(chain, position, true) - product_cost(chain, position, false);
    }
    return best;
  }

  int choose_split(const Chain& chain, int k, double limit) {
    const double product = product_cost(chain, k, false);
    if (product >= limit) {
      return none;
    }
    const int whole = new_choice(Choice::Kind::split, k, product);
    return add_operand(whole, slice(chain, 0, k), limit) &&
                   add_operand(whole, slice(chain, k, chain.count), limit)
               ? whole
               : none;
  }

  int choose_apply(const Chain& chain, int position, double limit) {
    const int whole = new_choice(Choice::Kind::apply, position, 0.0);
    if (!add_operand(whole, rest_of(chain, position), limit)) {
      return none;
    }
    const ChainStack::Mark mark(chains_);
    const Chain pair = chains_.push_applied(chain, position, {});
    return add_terms(whole, pair, position == 0 ? 0 : 1, limit) ? whole : none;
  }

  int choose_distribute(const Chain& chain, int position, double limit) {
    const int whole = new_choice(Choice::Kind::distribute, position, 0.0);
    return add_terms(whole, chain, position, limit) ? whole : none;
  }

  const CostModel& model_;
  const CanonicalForm& form_;
  const PlanningTask& task_;
  ChainStack& chains_;
  PlainArray<Choice> choices_;
  KnownChains known_chains_;
  PlainArray<Known> known_; // of each of them
  bool preparing_ = false;  // the value being treated is made once for all executions
};

} // namespace detail

ACCRETE_END_NAMESPACE
