// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/plan/canonical.hpp>
#include <accrete/plan/plan.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Factor of the chain under search: an operand in memory, or a sum still to be treated.
struct Piece {
  Index rows = 0;
  Index cols = 0;
  const CanonicalSum* sum = nullptr;
  PlanOperand operand;
};
using Chain = std::vector<Piece>;

/// Decision on how to write one chain into its target, with the decisions on its parts.
struct Choice {
  enum class Kind : unsigned char {
    copy,        // one operand
    sum,         // one sum: each term into the target
    split,       // (pieces before position) * (pieces from position)
    apply_left,  // the first piece is a sum: evaluate the rest once, then each term times it
    apply_right, // the last piece is a sum: likewise from the right
    distribute   // replace the sum at position by each of its terms
  };
  Kind kind = Kind::copy;
  std::size_t position = 0;
  double seconds = std::numeric_limits<double>::infinity();
  std::vector<Choice> parts;
};

/// Dynamic programming over the association of product chains; sums inside are materialised,
/// applied term by term or distributed, whichever the cost model predicts to be fastest.
class Planner {
 public:
  Planner(const CostModel& model, int scalar_bytes) : model_(model) {
    plan_.scalar_bytes = scalar_bytes;
  }

  [[nodiscard]] Plan plan(const CanonicalSum& expression) {
    plan_.rows = expression.rows;
    plan_.cols = expression.cols;
    plan_.leaf_shapes.resize(count_leaves(expression));
    record_shapes(expression);
    if (expression.rows > 0 && expression.cols > 0) {
      const PlanOperand destination{PlanOperand::Kind::destination, 0};
      write_sum(choose_sum(expression), expression, destination, {}, false);
    }
    place_temporaries();
    return std::move(plan_);
  }

 private:
  // Choosing.

  [[nodiscard]] double cost(Kernel kernel, Index m, Index n, Index k) const {
    return model_.seconds({kernel, m, n, k, false, plan_.scalar_bytes});
  }
  [[nodiscard]] static Kernel product_kernel(Index m, Index n) {
    return m == 1 || n == 1 ? Kernel::gemv : Kernel::gemm;
  }
  [[nodiscard]] double product_cost(Index m, Index n, Index k) const {
    return cost(product_kernel(m, n), m, n, k);
  }

  static Piece piece_of(const CanonicalFactor& factor) {
    const CanonicalSum* sum = factor.leaf < 0 ? factor.sum.data() : nullptr;
    return {factor.rows, factor.cols, sum, {PlanOperand::Kind::leaf, factor.leaf}};
  }
  static Chain chain_of(const CanonicalTerm& term) {
    Chain chain;
    for (const CanonicalFactor& factor : term.factors) {
      chain.push_back(piece_of(factor));
    }
    return chain;
  }
  static Chain slice(const Chain& chain, std::size_t first, std::size_t last) {
    return {chain.begin() + static_cast<std::ptrdiff_t>(first),
            chain.begin() + static_cast<std::ptrdiff_t>(last)};
  }
  /// The chain with the piece at `position` replaced by the factors of a term.
  static Chain substituted(const Chain& chain, std::size_t position, const CanonicalTerm& term) {
    Chain result = slice(chain, 0, position);
    for (const CanonicalFactor& factor : term.factors) {
      result.push_back(piece_of(factor));
    }
    result.insert(result.end(), chain.begin() + static_cast<std::ptrdiff_t>(position) + 1,
                  chain.end());
    return result;
  }
  static bool is_zero(const Chain& chain) {
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
      if (chain[i].cols == 0) {
        return true;
      }
    }
    return false;
  }
  /// One piece standing for the value of the whole chain.
  static Piece value_of(const Chain& chain, PlanOperand operand = {}) {
    if (chain.size() == 1 && chain.front().sum == nullptr) {
      return chain.front();
    }
    return {chain.front().rows, chain.back().cols, nullptr, operand};
  }

  [[nodiscard]] Choice choose_sum(const CanonicalSum& sum) {
    Choice choice{Choice::Kind::sum, 0, 0.0, {}};
    for (const CanonicalTerm& term : sum.terms) {
      add_part(choice, choose(chain_of(term)));
    }
    return choice;
  }

  static void add_part(Choice& choice, Choice part) {
    choice.seconds += part.seconds;
    choice.parts.push_back(std::move(part));
  }

  /// Value needed as an operand: free when it is one already.
  [[nodiscard]] Choice choose_operand(const Chain& chain) {
    if (chain.size() == 1 && chain.front().sum == nullptr) {
      return {Choice::Kind::copy, 0, 0.0, {}};
    }
    return choose(chain);
  }

  [[nodiscard]] Choice choose(const Chain& chain) {
    if (is_zero(chain)) {
      return {Choice::Kind::copy, 0, 0.0, {}};
    }
    if (chain.size() == 1) {
      const Piece& only = chain.front();
      if (only.sum != nullptr) {
        return choose_sum(*only.sum);
      }
      return {Choice::Kind::copy, 0, cost(Kernel::combine, only.rows, only.cols, 1), {}};
    }
    Choice best;
    const auto consider = [&best](Choice candidate) {
      if (candidate.seconds < best.seconds) {
        best = std::move(candidate);
      }
    };
    if (chain.front().sum != nullptr) {
      consider(apply(chain, 0));
    }
    if (chain.back().sum != nullptr) {
      consider(apply(chain, chain.size() - 1));
    }
    for (std::size_t k = 1; k < chain.size(); ++k) {
      consider(split(chain, k));
    }
    if (chain.size() > 2) {
      for (std::size_t i = 0; i < chain.size(); ++i) {
        if (chain[i].sum != nullptr) {
          consider(distribute(chain, i));
        }
      }
    }
    return best;
  }

  [[nodiscard]] Choice split(const Chain& chain, std::size_t k) {
    Choice choice{Choice::Kind::split,
                  k,
                  product_cost(chain.front().rows, chain.back().cols, chain[k].rows),
                  {}};
    add_part(choice, choose_operand(slice(chain, 0, k)));
    add_part(choice, choose_operand(slice(chain, k, chain.size())));
    return choice;
  }

  /// The sum at one end of the chain, term by term, times the value of the rest.
  [[nodiscard]] Choice apply(const Chain& chain, std::size_t position) {
    const bool left = position == 0;
    const Chain rest = left ? slice(chain, 1, chain.size()) : slice(chain, 0, position);
    Choice choice{left ? Choice::Kind::apply_left : Choice::Kind::apply_right, position, 0.0, {}};
    add_part(choice, choose_operand(rest));
    const Chain pair = applied_chain(chain[position], value_of(rest), left);
    for (const CanonicalTerm& term : chain[position].sum->terms) {
      add_part(choice, choose(substituted(pair, left ? 0 : 1, term)));
    }
    return choice;
  }
  static Chain applied_chain(const Piece& sum, const Piece& rest, bool left) {
    return left ? Chain{sum, rest} : Chain{rest, sum};
  }

  [[nodiscard]] Choice distribute(const Chain& chain, std::size_t position) {
    Choice choice{Choice::Kind::distribute, position, 0.0, {}};
    for (const CanonicalTerm& term : chain[position].sum->terms) {
      add_part(choice, choose(substituted(chain, position, term)));
    }
    return choice;
  }

  // Writing down.

  using Slots = std::vector<int>;

  static Slots joined(const Slots& a, const Slots& b) {
    Slots all = a;
    all.insert(all.end(), b.begin(), b.end());
    return all;
  }

  PlanOperand new_temporary(Index rows, Index cols) {
    plan_.temporaries.push_back({rows, cols, 0});
    return {PlanOperand::Kind::temporary, static_cast<int>(plan_.temporaries.size()) - 1};
  }

  void add_step(PlanStep step) {
    step.predicted_seconds = model_.seconds(step.call(plan_.scalar_bytes));
    plan_.steps.push_back(std::move(step));
  }

  /// Writes each chain that is not zero, the first with `accumulate`, the others adding to it.
  template <class Terms, class MakeChain>
  void write_terms(const Terms& terms, const Choice* parts, const MakeChain& make_chain,
                   PlanOperand target, std::pair<Index, Index> shape, const Slots& slots,
                   bool accumulate) {
    bool written = accumulate;
    for (std::size_t i = 0; i < terms.size(); ++i) {
      const Chain chain = make_chain(terms[i]);
      if (is_zero(chain)) {
        continue;
      }
      write(parts[i], chain, target, joined(slots, terms[i].coefficients), written);
      written = true;
    }
    if (!written) {
      add_step({Kernel::fill, {}, {}, target, shape.first, shape.second, 1, false, {}, 0.0});
    }
  }

  void write_sum(const Choice& choice, const CanonicalSum& sum, PlanOperand target,
                 const Slots& slots, bool accumulate) {
    write_terms(
        sum.terms, choice.parts.data(), [](const CanonicalTerm& term) { return chain_of(term); },
        target, {sum.rows, sum.cols}, slots, accumulate);
  }

  /// An operand holding the value of the chain, computed into a temporary where needed.
  Piece write_operand(const Choice& choice, const Chain& chain) {
    if (chain.size() == 1 && chain.front().sum == nullptr) {
      return chain.front();
    }
    const PlanOperand temporary = new_temporary(chain.front().rows, chain.back().cols);
    write(choice, chain, temporary, {}, false);
    return value_of(chain, temporary);
  }

  void write(const Choice& choice, const Chain& chain, PlanOperand target, const Slots& slots,
             bool accumulate) {
    const std::pair<Index, Index> shape{chain.front().rows, chain.back().cols};
    const auto write_parts = [&](const Chain& around, std::size_t position, const Choice* parts) {
      write_terms(
          around[position].sum->terms, parts,
          [&](const CanonicalTerm& term) { return substituted(around, position, term); }, target,
          shape, slots, accumulate);
    };
    switch (choice.kind) {
    case Choice::Kind::copy:
      if (is_zero(chain)) {
        if (!accumulate) {
          add_step({Kernel::fill, {}, {}, target, shape.first, shape.second, 1, false, {}, 0.0});
        }
      } else {
        add_step({Kernel::combine,
                  chain.front().operand,
                  {},
                  target,
                  shape.first,
                  shape.second,
                  1,
                  accumulate,
                  slots,
                  0.0});
      }
      return;
    case Choice::Kind::sum:
      return write_sum(choice, *chain.front().sum, target, slots, accumulate);
    case Choice::Kind::split: {
      const Piece left = write_operand(choice.parts[0], slice(chain, 0, choice.position));
      const Piece right =
          write_operand(choice.parts[1], slice(chain, choice.position, chain.size()));
      add_step({product_kernel(left.rows, right.cols), left.operand, right.operand, target,
                left.rows, right.cols, left.cols, accumulate, slots, 0.0});
      return;
    }
    case Choice::Kind::apply_left:
    case Choice::Kind::apply_right: {
      const bool left = choice.kind == Choice::Kind::apply_left;
      const Chain rest = left ? slice(chain, 1, chain.size()) : slice(chain, 0, choice.position);
      const Piece value = write_operand(choice.parts[0], rest);
      return write_parts(applied_chain(chain[choice.position], value, left), left ? 0 : 1,
                         choice.parts.data() + 1);
    }
    case Choice::Kind::distribute:
      return write_parts(chain, choice.position, choice.parts.data());
    }
  }

  // Bookkeeping.

  static std::size_t count_leaves(const CanonicalSum& sum) {
    std::size_t count = 0;
    for (const CanonicalTerm& term : sum.terms) {
      for (const CanonicalFactor& factor : term.factors) {
        count += factor.leaf >= 0 ? 1 : count_leaves(factor.sum.front());
      }
    }
    return count;
  }
  void record_shapes(const CanonicalSum& sum) {
    for (const CanonicalTerm& term : sum.terms) {
      for (const CanonicalFactor& factor : term.factors) {
        if (factor.leaf >= 0) {
          plan_.leaf_shapes[static_cast<std::size_t>(factor.leaf)] = {factor.rows, factor.cols};
        } else {
          record_shapes(factor.sum.front());
        }
      }
    }
  }

  struct Lifetime {
    std::size_t first = std::numeric_limits<std::size_t>::max();
    std::size_t last = 0;
    void extend(std::size_t step) {
      first = std::min(first, step);
      last = std::max(last, step);
    }
    [[nodiscard]] bool meets(const Lifetime& other) const {
      return first <= other.last && other.first <= last;
    }
  };

  /// First fit: temporaries that are never alive together share memory.
  void place_temporaries() {
    std::vector<Lifetime> lifetimes(plan_.temporaries.size());
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      for (const PlanOperand& operand :
           {plan_.steps[s].left, plan_.steps[s].right, plan_.steps[s].result}) {
        if (operand.kind == PlanOperand::Kind::temporary) {
          lifetimes[static_cast<std::size_t>(operand.index)].extend(s);
        }
      }
    }
    for (std::size_t t = 0; t < plan_.temporaries.size(); ++t) {
      PlanTemporary& mine = plan_.temporaries[t];
      bool moved = true;
      while (moved) {
        moved = false;
        for (std::size_t other = 0; other < t; ++other) {
          const PlanTemporary& theirs = plan_.temporaries[other];
          if (lifetimes[t].meets(lifetimes[other]) &&
              mine.offset < theirs.offset + padded_size(theirs) &&
              theirs.offset < mine.offset + padded_size(mine)) {
            mine.offset = theirs.offset + padded_size(theirs);
            moved = true;
          }
        }
      }
      plan_.workspace_scalars = std::max(plan_.workspace_scalars, mine.offset + padded_size(mine));
    }
  }
  [[nodiscard]] Index padded_size(const PlanTemporary& temporary) const {
    const Index line = 64 / plan_.scalar_bytes; // scalars in a cache line
    return (temporary.rows * temporary.cols + line - 1) / line * line;
  }

  const CostModel& model_;
  Plan plan_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
