// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/canonical.hpp>

#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Factor of a chain: an operand in memory, or a sum still to be treated. Of a temporary the
/// operand's index is the number of the chain whose value it holds.
struct Piece {
  Index rows = 0;
  Index cols = 0;
  int sum = -1; ///< of the canonical form, -1 for an operand
  PlanOperand operand;

  bool operator==(const Piece&) const = default;
};

/// Product of the pieces [first, first + count) of a ChainTable.
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

/// All chains of one search. Equal ones have one number, since the same chain comes up again and
/// again below the terms of sums.
class ChainTable {
 public:
  ChainTable(const CanonicalForm& form, const PlanningTask& task) : form_(form), task_(task) {
    for (int& bucket : buckets_) {
      bucket = -1;
    }
  }

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
  /// The value of the chain depends on no input that varies: it can be prepared.
  [[nodiscard]] bool is_invariant(const Chain& chain) const {
    if (task_.executions == 1) {
      return false;
    }
    for (int i = 0; i < chain.count; ++i) {
      const Piece& p = piece(chain, i);
      if (p.sum < 0 ? p.operand.kind != PlanOperand::Kind::input || varies(p.operand.index)
                    : sum_varies(p.sum)) {
        return false;
      }
    }
    return true;
  }

  /// The chain that is this sum alone.
  Chain chain_of_sum(int sum) {
    const Index first = pieces_.size();
    pieces_.push({form_.sum(sum).rows, form_.sum(sum).cols, sum, {}});
    return settled(first);
  }
  /// That chain with the piece at `position` replaced by the factors of a term.
  Chain substituted(const Chain& chain, int position, int term) {
    const Index first = pieces_.size();
    push(slice(chain, 0, position));
    push_factors(term);
    push(slice(chain, position + 1, chain.count));
    return settled(first);
  }
  /// The sum at one end of that chain and one piece standing for the value of the rest.
  Chain applied(const Chain& chain, int position) {
    const Chain rest = rest_of(chain, position);
    Piece value{front(rest).rows, back(rest).cols, -1, {PlanOperand::Kind::temporary, 0}};
    if (is_operand(rest)) {
      value = front(rest);
    } else {
      value.operand.index = number_of(rest);
    }
    const Piece sum = piece(chain, position);
    const Index first = pieces_.size();
    pieces_.push(position == 0 ? sum : value);
    pieces_.push(position == 0 ? value : sum);
    return settled(first);
  }

  /// The chain's number, from 0; the next one when it is new.
  int number_of(const Chain& chain) {
    int& bucket = buckets_[bucket_of(chain)];
    for (int i = bucket; i >= 0; i = known_[i].next) {
      if (is_same(known_[i].chain, chain)) {
        return i;
      }
    }
    bucket = static_cast<int>(known_.push({chain, bucket}));
    return bucket;
  }

 private:
  struct Known {
    Chain chain;
    int next = -1; ///< in its bucket
  };

  void push(const Chain& chain) {
    for (int i = 0; i < chain.count; ++i) {
      pieces_.push(piece(chain, i));
    }
  }
  void push_factors(int term) {
    for (int f = form_.term(term).first_factor; f >= 0; f = form_.factor(f).next) {
      const CanonicalFactor& factor = form_.factor(f);
      if (factor.input < 0) {
        const CanonicalSum& sum = form_.sum(factor.sum);
        pieces_.push({sum.rows, sum.cols, factor.sum, {}});
      } else {
        const PlanInput& input = form_.input(factor.input);
        pieces_.push({input.rows,
                      input.cols,
                      -1,
                      {PlanOperand::Kind::input, representative(factor.input), input.order}});
      }
    }
  }
  /// The pieces from `first` on as a chain, which may be an equal one from before.
  Chain settled(Index first) {
    const Chain chain{static_cast<int>(first), static_cast<int>(pieces_.size() - first)};
    const Chain known = known_[number_of(chain)].chain;
    if (known.first != chain.first) {
      pieces_.shrink(first);
    }
    return known;
  }

  /// The first of the inputs that are the same memory, so that equal chains are seen to be equal.
  [[nodiscard]] int representative(int input) const {
    const int same = form_.input(input).alias_of;
    return same >= 0 && varies(same) == varies(input) ? same : input;
  }
  [[nodiscard]] bool varies(int input) const { return input >= task_.first_variable; }
  [[nodiscard]] bool sum_varies(int sum) const {
    for (int t = form_.sum(sum).first_term; t >= 0; t = form_.term(t).next) {
      for (int f = form_.term(t).first_factor; f >= 0; f = form_.factor(f).next) {
        const CanonicalFactor& factor = form_.factor(f);
        if (factor.input < 0 ? sum_varies(factor.sum) : varies(factor.input)) {
          return true;
        }
      }
    }
    return false;
  }

  [[nodiscard]] std::size_t bucket_of(const Chain& chain) const noexcept {
    auto value = static_cast<std::size_t>(chain.count);
    for (int i = 0; i < chain.count; ++i) {
      const Piece& p = piece(chain, i);
      // Operands are few: their numbers fit beside each other.
      const int number = p.sum * 8192 + p.operand.index * 8 + static_cast<int>(p.operand.kind);
      value = (value ^ static_cast<std::size_t>(number)) * std::size_t{0x9E3779B97F4A7C15U};
      value ^= value >> 32;
    }
    return value % bucket_count;
  }
  [[nodiscard]] bool is_same(const Chain& a, const Chain& b) const noexcept {
    if (a.count != b.count) {
      return false;
    }
    for (int i = 0; i < a.count; ++i) {
      if (!(piece(a, i) == piece(b, i))) {
        return false;
      }
    }
    return true;
  }

  const CanonicalForm& form_;
  const PlanningTask& task_;
  PlainArray<Piece> pieces_;
  static constexpr std::size_t bucket_count = 256;
  int buckets_[bucket_count];
  PlainArray<Known> known_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
