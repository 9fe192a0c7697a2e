// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/canonical.hpp>
#include <accrete/plan/known_chains.hpp>
#include <accrete/plan/plan.hpp>

#include <cstddef>
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
  int first_part = -1;
  int last_part = -1;
  int next = -1;
};

/// Dynamic programming over the association of product chains; sums inside are materialised,
/// applied term by term or distributed, whichever the cost model predicts to be fastest.
class Planner {
 public:
  Planner(const CostModel& model, int scalar_bytes, const CanonicalForm& form)
      : model_(model), form_(form) {
    plan_.scalar_bytes = scalar_bytes;
  }

  [[nodiscard]] Plan plan() {
    const CanonicalNode& root = form_[form_.root()];
    plan_.rows = root.rows;
    plan_.cols = root.cols;
    for (int leaf = 0; leaf < form_.leaf_count(); ++leaf) {
      plan_.leaf_shapes.push({});
    }
    record_shapes(form_.root());
    if (root.rows > 0 && root.cols > 0) {
      target_ = {PlanOperand::Kind::destination, 0};
      write_sum(choose_sum(form_.root()), form_.root(), {target_, root.rows, root.cols, false});
    }
    place_temporaries();
    return static_cast<Plan&&>(plan_);
  }

 private:
  // Chains. They lie in one array that is used as a stack.

  [[nodiscard]] const Piece& piece(const Chain& chain, int i) const {
    return pieces_[chain.first + i];
  }
  [[nodiscard]] const Piece& front(const Chain& chain) const { return piece(chain, 0); }
  [[nodiscard]] const Piece& back(const Chain& chain) const {
    return piece(chain, chain.count - 1);
  }
  [[nodiscard]] bool is_operand(const Chain& chain) const {
    return chain.count == 1 && front(chain).sum < 0;
  }
  static Chain slice(const Chain& chain, int from, int to) {
    return {chain.first + from, to - from};
  }

  /// Restores the array of pieces at the end of a scope.
  class Mark {
   public:
    explicit Mark(PlainArray<Piece>& pieces) : pieces_(pieces), size_(pieces.size()) {}
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    ~Mark() { pieces_.shrink(size_); }

   private:
    PlainArray<Piece>& pieces_;
    Index size_;
  };

  void push(const Piece& piece) { pieces_.push(piece); }
  void push_factors(int term) {
    for (int f = form_[term].first; f >= 0; f = form_[f].next) {
      const CanonicalNode& factor = form_[f];
      push({factor.rows,
            factor.cols,
            factor.leaf < 0 ? factor.first : -1,
            {PlanOperand::Kind::leaf, factor.leaf, factor.order}});
    }
  }
  [[nodiscard]] int top() const { return static_cast<int>(pieces_.size()); }

  /// A new chain: that one with the piece at `position` replaced by the factors of a term.
  Chain substituted(const Chain& chain, int position, int term) {
    const int first = top();
    for (int i = 0; i < position; ++i) {
      push(Piece(piece(chain, i)));
    }
    push_factors(term);
    for (int i = position + 1; i < chain.count; ++i) {
      push(Piece(piece(chain, i)));
    }
    return {first, top() - first};
  }
  /// A new chain of the sum at one end and one piece standing for the value of the rest.
  Chain applied(const Chain& chain, int position, const PlanOperand& value) {
    const Chain rest = rest_of(chain, position);
    Piece whole{front(rest).rows, back(rest).cols, -1, value};
    if (is_operand(rest)) {
      whole = front(rest);
    }
    const Piece sum = piece(chain, position);
    const int first = top();
    push(position == 0 ? sum : whole);
    push(position == 0 ? whole : sum);
    return {first, 2};
  }
  static Chain rest_of(const Chain& chain, int position) {
    return position == 0 ? slice(chain, 1, chain.count) : slice(chain, 0, chain.count - 1);
  }

  /// An inner dimension is zero, so the chain is the zero matrix.
  [[nodiscard]] bool is_zero(const Chain& chain) const {
    for (int i = 0; i + 1 < chain.count; ++i) {
      if (piece(chain, i).cols == 0) {
        return true;
      }
    }
    return false;
  }

  // Choosing. Choices lie in one array and are named by their index.

  [[nodiscard]] double copy_cost(Index m, Index n) const {
    return model_.seconds({Kernel::combine, m, n, 1, false, plan_.scalar_bytes});
  }
  /// Cost of the last product of the chain, (pieces before k) * (pieces from k).
  [[nodiscard]] double product_cost(const Chain& chain, int k) const {
    const Index m = front(chain).rows;
    const Index n = back(chain).cols;
    const auto order = [this](const Chain& part) {
      return is_operand(part) ? front(part).operand.order : Order::column_major;
    };
    return model_.seconds({product_kernel(m, n), m, n, piece(chain, k).rows, false,
                           plan_.scalar_bytes, order(slice(chain, 0, k)),
                           order(slice(chain, k, chain.count))});
  }
  static Kernel product_kernel(Index m, Index n) {
    return m == 1 || n == 1 ? Kernel::gemv : Kernel::gemm;
  }

  int new_choice(Choice::Kind kind, int position, double seconds) {
    return static_cast<int>(choices_.push({kind, position, seconds, -1, -1, -1}));
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

  int choose_sum(int sum) {
    const int whole = new_choice(Choice::Kind::sum, 0, 0.0);
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const Mark mark(pieces_);
      const int first = top();
      push_factors(term);
      add_part(whole, choose({first, top() - first}));
    }
    return whole;
  }

  /// Value needed as an operand: free when it is one already.
  int choose_operand(const Chain& chain) {
    return is_operand(chain) ? new_choice(Choice::Kind::copy, 0, 0.0) : choose(chain);
  }

  /// The cheapest way to write the chain, looked up where the same chain was treated before.
  int choose(const Chain& chain) {
    if (is_zero(chain)) {
      return new_choice(Choice::Kind::copy, 0, 0.0);
    }
    if (chain.count == 1) {
      const Piece only = front(chain);
      if (only.sum >= 0) {
        return choose_sum(only.sum);
      }
      return new_choice(Choice::Kind::copy, 0, copy_cost(only.rows, only.cols));
    }
    if (const int known = known_chains_.find(pieces_, chain); known >= 0) {
      // A copy, since each part of a choice stands in one list only.
      Choice again = choice(known);
      again.next = -1;
      return static_cast<int>(choices_.push(again));
    }
    const int best = search(chain);
    known_chains_.remember(pieces_, chain, best);
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
    if (front(chain).sum >= 0) {
      consider(choose_apply(chain, 0));
    }
    if (back(chain).sum >= 0) {
      consider(choose_apply(chain, last));
    }
    for (int k = 1; k <= last; ++k) {
      consider(choose_split(chain, k));
    }
    // With one operand besides, multiplying out is applying term by term.
    const bool apart = chain.count > 2 || (front(chain).sum >= 0 && back(chain).sum >= 0);
    for (int i = 0; apart && i <= last; ++i) {
      if (piece(chain, i).sum >= 0) {
        consider(choose_distribute(chain, i));
      }
    }
    return best;
  }

  int choose_split(const Chain& chain, int k) {
    const int whole = new_choice(Choice::Kind::split, k, product_cost(chain, k));
    add_part(whole, choose_operand(slice(chain, 0, k)));
    add_part(whole, choose_operand(slice(chain, k, chain.count)));
    return whole;
  }

  int choose_apply(const Chain& chain, int position) {
    const int whole = new_choice(Choice::Kind::apply, position, 0.0);
    add_part(whole, choose_operand(rest_of(chain, position)));
    const Mark mark(pieces_);
    const Chain pair = applied(chain, position, {});
    add_terms(whole, pair, position == 0 ? 0 : 1);
    return whole;
  }

  int choose_distribute(const Chain& chain, int position) {
    const int whole = new_choice(Choice::Kind::distribute, position, 0.0);
    add_terms(whole, chain, position);
    return whole;
  }

  void add_terms(int whole, const Chain& chain, int position) {
    const int sum = piece(chain, position).sum;
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const Mark mark(pieces_);
      add_part(whole, choose(substituted(chain, position, term)));
    }
  }

  // Writing down.

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
    const int sum = piece(chain, position).sum;
    bool written = target.accumulate;
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const Mark mark(pieces_);
      const Chain product = substituted(chain, position, term);
      const int decision = part;
      part = choice(part).next;
      if (is_zero(product)) {
        continue;
      }
      const Index slots = slots_.size();
      for (int s = form_[term].slots; s >= 0; s = form_[s].next) {
        slots_.push(form_[s].leaf);
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
    const Mark mark(pieces_);
    const int first = top();
    push({form_[sum].rows, form_[sum].cols, sum, {}});
    write_terms(choice(decision).first_part, {first, 1}, 0, target);
  }

  /// An operand holding the value of the chain, computed into a temporary where needed.
  PlanOperand write_operand(int decision, const Chain& chain) {
    if (is_operand(chain)) {
      return front(chain).operand;
    }
    const Index rows = front(chain).rows;
    const Index cols = back(chain).cols;
    const PlanOperand temporary{PlanOperand::Kind::temporary,
                                static_cast<int>(plan_.temporaries.push({rows, cols, 0}))};
    // The coefficients belong to the product that the value goes into.
    const Index outer = first_slot_;
    first_slot_ = slots_.size();
    write(decision, chain, {temporary, rows, cols, false});
    first_slot_ = outer;
    return temporary;
  }

  void write(int decision, const Chain& chain, const Target& target) {
    const Choice made = choice(decision);
    switch (made.kind) {
    case Choice::Kind::copy:
      if (!is_zero(chain)) {
        add_step(Kernel::combine, front(chain).operand, {}, target, 1);
      } else if (!target.accumulate) {
        add_step(Kernel::fill, {}, {}, target, 1);
      }
      return;
    case Choice::Kind::sum:
      return write_sum(decision, front(chain).sum, target);
    case Choice::Kind::split: {
      const int right_part = choice(made.first_part).next;
      const Index k = piece(chain, made.position).rows;
      const PlanOperand left = write_operand(made.first_part, slice(chain, 0, made.position));
      const PlanOperand right = write_operand(right_part, slice(chain, made.position, chain.count));
      return add_step(product_kernel(target.rows, target.cols), left, right, target, k);
    }
    case Choice::Kind::apply: {
      const PlanOperand value = write_operand(made.first_part, rest_of(chain, made.position));
      const Mark mark(pieces_);
      const Chain pair = applied(chain, made.position, value);
      return write_terms(choice(made.first_part).next, pair, made.position == 0 ? 0 : 1, target);
    }
    case Choice::Kind::distribute:
      return write_terms(made.first_part, chain, made.position, target);
    }
  }

  // Bookkeeping.

  void record_shapes(int sum) {
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      for (int f = form_[term].first; f >= 0; f = form_[f].next) {
        const CanonicalNode& factor = form_[f];
        if (factor.leaf >= 0) {
          plan_.leaf_shapes[factor.leaf] = {factor.rows, factor.cols};
        } else {
          record_shapes(factor.first);
        }
      }
    }
  }

  /// Steps [first, last] during which a temporary is in use.
  void find_lifetimes() {
    for (Index s = 0; s < plan_.steps.size(); ++s) {
      const PlanStep& step = plan_.steps[s];
      for (const PlanOperand* operand : {&step.left, &step.right, &step.result}) {
        if (operand->kind != PlanOperand::Kind::temporary) {
          continue;
        }
        PlanTemporary& temporary = plan_.temporaries[operand->index];
        if (temporary.last_step < 0) {
          temporary.first_step = static_cast<int>(s);
        }
        temporary.last_step = static_cast<int>(s);
      }
    }
  }

  /// First fit: temporaries that are never alive together share memory.
  void place_temporaries() {
    find_lifetimes();
    for (Index t = 0; t < plan_.temporaries.size(); ++t) {
      PlanTemporary& mine = plan_.temporaries[t];
      for (Index other = 0; other < t;) {
        const PlanTemporary& theirs = plan_.temporaries[other];
        const bool meets =
            mine.first_step <= theirs.last_step && theirs.first_step <= mine.last_step;
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
  }
  [[nodiscard]] Index padded_size(const PlanTemporary& temporary) const {
    const Index line = 64 / plan_.scalar_bytes; // scalars in a cache line
    return (temporary.rows * temporary.cols + line - 1) / line * line;
  }

  const CostModel& model_;
  const CanonicalForm& form_;
  Plan plan_;
  PlanOperand target_;
  PlainArray<Piece> pieces_;
  PlainArray<Choice> choices_;
  KnownChains known_chains_;
  // Coefficients of the products around the one being written; those of a temporary start anew.
  PlainArray<int> slots_;
  Index first_slot_ = 0;
};

} // namespace detail

ACCRETE_END_NAMESPACE
