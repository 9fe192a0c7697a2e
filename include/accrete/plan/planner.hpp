// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/canonical.hpp>
#include <accrete/plan/joined_products.hpp>
#include <accrete/plan/known_chains.hpp>
#include <accrete/plan/placement.hpp>

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

/// What the planner knows of an expression beside its form.
struct PlanningTask {
  int scalar_bytes = 4;
  const PlanNeighbours* neighbours = nullptr; ///< of the operands
  unsigned unit_slots = 0;                    ///< coefficients that are 1, and are left out
  Index executions = 1;
  int first_varying = 0; ///< operands before this one stay as they are from execution to execution
};

/// Dynamic programming over the association of product chains; sums inside are materialised,
/// applied term by term or distributed, whichever the cost model predicts to be fastest. What
/// depends on operands that stay alone is made once, and costs each execution its share.
class Planner {
 public:
  Planner(const CostModel& model, const CanonicalForm& form, const PlanningTask& task)
      : model_(model), form_(form), task_(task) {
    plan_.scalar_bytes = task.scalar_bytes;
    plan_.unit_slots = task.unit_slots;
  }

  [[nodiscard]] Plan plan() {
    const CanonicalNode& root = form_[form_.root()];
    plan_.rows = root.rows;
    plan_.cols = root.cols;
    for (int leaf = 0; leaf < form_.leaf_count(); ++leaf) {
      plan_.leaf_shapes.push({});
      plan_.leaf_neighbours.push(task_.neighbours[leaf]);
    }
    record_shapes(form_.root());
    if (root.rows > 0 && root.cols > 0) {
      const PlanOperand target{PlanOperand::Kind::destination, 0};
      write_sum(choose_sum(form_.root()), form_.root(), {target, root.rows, root.cols, false});
    }
    JoinedProducts(model_, plan_).run();
    Placement(plan_).run();
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
            {PlanOperand::Kind::leaf, representative(factor.leaf), factor.order}});
    }
  }
  /// The first of the leaves that are the same memory, so that equal chains are seen to be equal.
  [[nodiscard]] int representative(int leaf) const {
    if (leaf < 0) {
      return leaf;
    }
    const int same = task_.neighbours[leaf].same_as - 1;
    return same >= 0 && varies(same) == varies(leaf) ? same : leaf;
  }
  [[nodiscard]] bool varies(int leaf) const { return leaf >= task_.first_varying; }
  [[nodiscard]] bool varies(const Piece& piece) const {
    if (piece.sum < 0) {
      return piece.operand.kind != PlanOperand::Kind::leaf || varies(piece.operand.index);
    }
    for (int term = form_[piece.sum].first; term >= 0; term = form_[term].next) {
      for (int f = form_[term].first; f >= 0; f = form_[f].next) {
        const CanonicalNode& factor = form_[f];
        if (varies(Piece{0,
                         0,
                         factor.leaf < 0 ? factor.first : -1,
                         {PlanOperand::Kind::leaf, factor.leaf}})) {
          return true;
        }
      }
    }
    return false;
  }
  /// The value of the chain depends on no operand that varies: it can be prepared.
  [[nodiscard]] bool stays(const Chain& chain) const {
    if (task_.executions == 1) {
      return false;
    }
    for (int i = 0; i < chain.count; ++i) {
      if (varies(piece(chain, i))) {
        return false;
      }
    }
    return true;
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

  [[nodiscard]] double copy_cost(const Piece& piece, bool adding) const {
    return model_.seconds({Kernel::combine, piece.rows, piece.cols, 1, adding, plan_.scalar_bytes,
                           piece.operand.order});
  }
  /// Cost of the last product of the chain, (pieces before k) * (pieces from k).
  [[nodiscard]] double product_cost(const Chain& chain, int k, bool adding) const {
    const Index m = front(chain).rows;
    const Index n = back(chain).cols;
    const auto order = [this](const Chain& part) {
      return is_operand(part) ? front(part).operand.order : Order::column_major;
    };
    return model_.seconds({product_kernel(m, n), m, n, piece(chain, k).rows, adding,
                           plan_.scalar_bytes, order(slice(chain, 0, k)),
                           order(slice(chain, k, chain.count))});
  }
  static Kernel product_kernel(Index m, Index n) {
    return m == 1 || n == 1 ? Kernel::gemv : Kernel::gemm;
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

  int choose_sum(int sum) {
    const int whole = new_choice(Choice::Kind::sum, 0, 0.0);
    bool written = false;
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const Mark mark(pieces_);
      const int first = top();
      push_factors(term);
      const Chain chain{first, top() - first};
      add_term(whole, choose(chain), is_zero(chain), written);
    }
    return whole;
  }

  /// Value needed as an operand: free when it is one already, made once where it can be prepared.
  int choose_operand(const Chain& chain) {
    if (is_operand(chain)) {
      return new_choice(Choice::Kind::copy, 0, 0.0);
    }
    if (preparing_ || !stays(chain)) {
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
    if (is_zero(chain)) {
      return new_choice(Choice::Kind::copy, 0, 0.0);
    }
    if (chain.count == 1) {
      const Piece only = front(chain);
      if (only.sum >= 0) {
        return choose_sum(only.sum);
      }
      const double seconds = copy_cost(only, false);
      const int copy = new_choice(Choice::Kind::copy, 0, seconds);
      choice(copy).adding_seconds = copy_cost(only, true) - seconds;
      return copy;
    }
    if (const int known = known_chains_.find(pieces_, chain); known >= 0) {
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
      const double product = product_cost(chain, k, false);
      // The parts cost more still.
      if (best < 0 || product < choice(best).seconds) {
        consider(choose_split(chain, k, product));
      }
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

  int choose_split(const Chain& chain, int k, double seconds) {
    const int whole = new_choice(Choice::Kind::split, k, seconds);
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
    bool written = false;
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      const Mark mark(pieces_);
      const Chain product = substituted(chain, position, term);
      add_term(whole, choose(product), is_zero(product), written);
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
    if (const int known = written_chains_.find(pieces_, chain); known >= 0) {
      return {PlanOperand::Kind::temporary, known};
    }
    PlanTemporary place;
    place.rows = front(chain).rows;
    place.cols = back(chain).cols;
    const int index = static_cast<int>(plan_.temporaries.push(place));
    const PlanOperand temporary{PlanOperand::Kind::temporary, index};
    // The coefficients belong to the product that the value goes into.
    const Index outer_slot = first_slot_;
    const bool outer_preparing = preparing_;
    first_slot_ = slots_.size();
    preparing_ = preparing_ || stays(chain);
    write(decision, chain, {temporary, place.rows, place.cols, false});
    first_slot_ = outer_slot;
    preparing_ = outer_preparing;
    written_chains_.remember(pieces_, chain, index);
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

  const CostModel& model_;
  const CanonicalForm& form_;
  const PlanningTask task_;
  Plan plan_;
  PlainArray<Piece> pieces_;
  PlainArray<Choice> choices_;
  KnownChains known_chains_;   // with the choices made for them
  KnownChains written_chains_; // with the temporaries that hold their values
  bool preparing_ = false;     // the value being treated is made once for all executions
  // Coefficients of the products around the one being written; those of a temporary start anew.
  PlainArray<int> slots_;
  Index first_slot_ = 0;
};

} // namespace detail

ACCRETE_END_NAMESPACE
