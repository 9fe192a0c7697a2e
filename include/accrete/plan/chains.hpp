// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/canonical.hpp>
#include <accrete/plan/neighbours.hpp>
#include <accrete/plan/plan.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What a plan is made for, beside the expression's form.
struct PlanningTask {
  int scalar_bytes = 4;
  const Neighbours* neighbours = nullptr; ///< of the operands
  unsigned unit_slots = 0;                ///< coefficients that are 1, and are left out
  Index executions = 1;
  int first_varying = 0; ///< operands before this one stay as they are from execution to execution
  /// Whether the backend adds up products before it stores their sum, of this shape; null: never.
  bool (*sums_products)(Index rows, Index cols) = nullptr;
  bool right_to_left = false; ///< the order is known, and not searched for
};

/// Factor of a chain: an operand in memory, or a sum still to be treated.
struct Piece {
  Index rows = 0;
  Index cols = 0;
  int sum = -1; ///< node of the canonical form, -1 for an operand
  PlanOperand operand;

  bool operator==(const Piece&) const = default;
};

/// Product of the pieces [first, first + count) of a ChainStack.
struct Chain {
  int first = 0;
  int count = 0;
};

[[nodiscard]] inline Chain slice(const Chain& chain, int from, int to) {
  return {chain.first + from, to - from};
}
/// What the sum at one end of a chain is multiplied by.
[[nodiscard]] inline Chain rest_of(const Chain& chain, int position) {
  return position == 0 ? slice(chain, 1, chain.count) : slice(chain, 0, chain.count - 1);
}
[[nodiscard]] inline Kernel product_kernel(Index m, Index n) {
  return m == 1 || n == 1 ? Kernel::gemv : Kernel::gemm;
}

/// The chains that are being treated, the innermost on top, as pieces in one array.
class ChainStack {
 public:
  ChainStack(const CanonicalForm& form, const PlanningTask& task) : form_(form), task_(task) {}

  /// Takes the chains pushed in a scope off at its end.
  class Mark {
   public:
    explicit Mark(ChainStack& stack) : pieces_(stack.pieces_), size_(pieces_.size()) {}
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    ~Mark() { pieces_.shrink(size_); }

   private:
    PlainArray<Piece>& pieces_;
    Index size_;
  };

  [[nodiscard]] const PlainArray<Piece>& pieces() const { return pieces_; }
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
  /// An inner dimension is zero, so the chain is the zero matrix.
  [[nodiscard]] bool is_zero(const Chain& chain) const {
    for (int i = 0; i + 1 < chain.count; ++i) {
      if (piece(chain, i).cols == 0) {
        return true;
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
      const Piece& p = piece(chain, i);
      if (p.sum < 0 ? p.operand.kind != PlanOperand::Kind::leaf || varies(p.operand.index)
                    : sum_varies(p.sum)) {
        return false;
      }
    }
    return true;
  }

  /// Pushes the chain that is this sum alone.
  Chain push_sum(int sum) {
    const int first = top();
    pieces_.push({form_[sum].rows, form_[sum].cols, sum, {}});
    return {first, 1};
  }
  /// Pushes that chain with the piece at `position` replaced by the factors of a term.
  Chain push_substituted(const Chain& chain, int position, int term) {
    const int first = top();
    for (int i = 0; i < position; ++i) {
      pieces_.push(piece(chain, i));
    }
    push_factors(term);
    for (int i = position + 1; i < chain.count; ++i) {
      pieces_.push(piece(chain, i));
    }
    return {first, top() - first};
  }
  /// Pushes the sum at one end of that chain and one piece standing for the value of the rest.
  Chain push_applied(const Chain& chain, int position, const PlanOperand& value) {
    const Chain rest = rest_of(chain, position);
    Piece whole{front(rest).rows, back(rest).cols, -1, value};
    if (is_operand(rest)) {
      whole = front(rest);
    }
    const Piece sum = piece(chain, position);
    const int first = top();
    pieces_.push(position == 0 ? sum : whole);
    pieces_.push(position == 0 ? whole : sum);
    return {first, 2};
  }

 private:
  [[nodiscard]] int top() const { return static_cast<int>(pieces_.size()); }
  void push_factors(int term) {
    for (int f = form_[term].first; f >= 0; f = form_[f].next) {
      const CanonicalNode& factor = form_[f];
      pieces_.push({factor.rows,
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
    const int same = (*task_.neighbours)[leaf].same_as - 1;
    return same >= 0 && varies(same) == varies(leaf) ? same : leaf;
  }
  [[nodiscard]] bool varies(int leaf) const { return leaf >= task_.first_varying; }
  [[nodiscard]] bool sum_varies(int sum) const {
    for (int term = form_[sum].first; term >= 0; term = form_[term].next) {
      for (int f = form_[term].first; f >= 0; f = form_[f].next) {
        if (form_[f].leaf < 0 ? sum_varies(form_[f].first) : varies(form_[f].leaf)) {
          return true;
        }
      }
    }
    return false;
  }

  const CanonicalForm& form_;
  const PlanningTask& task_;
  PlainArray<Piece> pieces_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
