// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/plain_array.hpp>
#include <accrete/expr/kept.hpp>
#include <accrete/expr/nodes.hpp>

#include <array>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Product of matrices alone: no sums, no coefficients.
template <class Node>
inline constexpr bool is_chain = false;
template <class Holder, class Backend>
inline constexpr bool is_chain<Dense<Holder, Backend>> = true;
template <class Operand>
inline constexpr bool is_chain<Transposed<Operand>> = is_chain<Operand>;
template <class U, class V>
inline constexpr bool is_chain<Outer<U, V>> = (is_chain<U> && is_chain<V>);
template <class Left, class Right>
inline constexpr bool is_chain<Product<Left, Right>> = (is_chain<Left> && is_chain<Right>);

/// U Vᵀ x, its transpose with x, and the like, for whatever number of columns of x.
template <class Node>
inline constexpr bool is_low_rank_product =
    (is_chain<Node> && is_low_rank<Node> && Node::leaf_count == 3);

/// Node of a canonical form: a sum has terms, a term has factors, a factor is an operand or again
/// a sum. Children form a list through `next`; -1 is no node.
struct CanonicalNode {
  Index rows = 0;
  Index cols = 0;
  int leaf = -1;  ///< of a factor: number of the operand, or -1 for a sum
  int slots = -1; ///< of a term: list of coefficients; their number stands in `leaf`
  int first = -1; ///< of a sum: first term; of a term: first factor; of a factor: its sum
  int next = -1;
  Order order = Order::column_major; ///< of an operand, as the chain reads it
};

/// Sum of product chains: what every expression is reduced to before planning. Nested sums and
/// products are flattened, transposes stand at the operands, coefficients at the terms. All nodes
/// lie in one array.
class CanonicalForm {
 public:
  template <class Node>
  explicit CanonicalForm(const Node& expression) {
    root_ = read<false>(expression);
  }

  [[nodiscard]] int root() const noexcept { return root_; }
  [[nodiscard]] int leaf_count() const noexcept { return leaves_; }
  [[nodiscard]] const CanonicalNode& operator[](int node) const noexcept { return nodes_[node]; }

 private:
  // Leaves and coefficients are numbered in the order in which Gathered collects them.

  template <bool transposed, class Holder, class Backend>
  int read(const Dense<Holder, Backend>& leaf) {
    const Index rows = transposed ? leaf.cols() : leaf.rows();
    const Index cols = transposed ? leaf.rows() : leaf.cols();
    const int factor = add(rows, cols);
    const View<const typename Holder::Scalar> view = leaf.view();
    at(factor).leaf = leaves_++;
    at(factor).order = transposed ? view.transposed().order : view.order;
    return sum_of_term(rows, cols, factor);
  }

  template <bool transposed, class Operand>
  int read(const Transposed<Operand>& node) {
    return read<!transposed>(node.operand());
  }

  template <bool transposed, class Operand>
  int read(const Scaled<Operand>& node) {
    const int slot = coefficients_++;
    const int sum = read<transposed>(node.operand());
    for (int term = at(sum).first; term >= 0; term = at(term).next) {
      const int entry = add(0, 0);
      at(entry).leaf = slot;
      at(entry).next = at(term).slots;
      at(term).slots = entry;
    }
    return sum;
  }

  template <bool transposed, class Left, class Right>
  int read(const Sum<Left, Right>& node) {
    const int left = read<transposed>(node.left());
    const int right = read<transposed>(node.right());
    at(last(at(left).first)).next = at(right).first;
    return left;
  }

  template <bool transposed, class Left, class Right>
  int read(const Product<Left, Right>& node) {
    if constexpr (transposed) {
      const int first = read<true>(node.right());
      return multiply(first, read<true>(node.left()));
    } else {
      const int first = read<false>(node.left());
      return multiply(first, read<false>(node.right()));
    }
  }

  template <bool transposed, class U, class V>
  int read(const Outer<U, V>& node) {
    if constexpr (transposed) {
      const int first = read<false>(node.v());
      return multiply(first, read<true>(node.u()));
    } else {
      const int first = read<false>(node.u());
      return multiply(first, read<true>(node.v()));
    }
  }

  template <bool transposed, class Whole, class WithKept>
  int read(const Kept<Whole, WithKept>& node) {
    return read<transposed>(node.with_kept());
  }

  CanonicalNode& at(int node) noexcept { return nodes_[node]; }

  int add(Index rows, Index cols) {
    CanonicalNode node;
    node.rows = rows;
    node.cols = cols;
    return static_cast<int>(nodes_.push(node));
  }

  int last(int node) noexcept {
    while (at(node).next >= 0) {
      node = at(node).next;
    }
    return node;
  }

  int sum_of_term(Index rows, Index cols, int factor) {
    const int term = add(rows, cols);
    at(term).first = factor;
    const int sum = add(rows, cols);
    at(sum).first = term;
    return sum;
  }

  /// A sum as the only term of a product: its factors where it has one term, itself otherwise.
  int as_term(int sum) {
    const int term = at(sum).first;
    if (at(term).next < 0) {
      return term;
    }
    const int factor = add(at(sum).rows, at(sum).cols);
    at(factor).first = sum;
    const int product = add(at(sum).rows, at(sum).cols);
    at(product).first = factor;
    return product;
  }

  int multiply(int left, int right) {
    const Index rows = at(left).rows;
    const Index cols = at(right).cols;
    const int term = as_term(left);
    const int other = as_term(right);
    at(last(at(term).first)).next = at(other).first;
    if (at(term).slots < 0) {
      at(term).slots = at(other).slots;
    } else {
      at(last(at(term).slots)).next = at(other).slots;
    }
    at(term).rows = rows;
    at(term).cols = cols;
    const int sum = add(rows, cols);
    at(sum).first = term;
    return sum;
  }

  PlainArray<CanonicalNode> nodes_;
  int root_ = -1;
  int leaves_ = 0;
  int coefficients_ = 0;
};

/// Operands and coefficients of one evaluation, in canonical order, whatever the expression: what
/// planner and executor know of it, so that they are compiled once a scalar.
template <class StoredScalar>
struct Operands {
  using Stored = StoredScalar;
  const View<const Stored>* leaves;
  const accumulator<Stored>* coefficients;
  int leaf_count;
  int coefficient_count;
};

/// Where they lie: on the stack.
template <class StoredScalar, int leaf_count, int coefficient_count>
class Gathered {
 public:
  using Stored = StoredScalar;
  std::array<View<const Stored>, std::size_t{leaf_count}> leaves;
  std::array<accumulator<Stored>, std::size_t{coefficient_count == 0 ? 1 : coefficient_count}>
      coefficients{};

  [[nodiscard]] Operands<Stored> operands() const noexcept {
    return {leaves.data(), coefficients.data(), leaf_count, coefficient_count};
  }

  template <bool transposed, class Holder, class Backend>
  void gather(const Dense<Holder, Backend>& leaf) {
    const View<const Stored> view = leaf.view();
    leaves[next_leaf_++] = transposed ? view.transposed() : view;
  }
  template <bool transposed, class Operand>
  void gather(const Transposed<Operand>& node) {
    gather<!transposed>(node.operand());
  }
  template <bool transposed, class Operand>
  void gather(const Scaled<Operand>& node) {
    coefficients[next_coefficient_++] = node.coefficient();
    gather<transposed>(node.operand());
  }
  template <bool transposed, class Left, class Right>
  void gather(const Sum<Left, Right>& node) {
    gather<transposed>(node.left());
    gather<transposed>(node.right());
  }
  template <bool transposed, class Left, class Right>
  void gather(const Product<Left, Right>& node) {
    if constexpr (transposed) {
      gather<true>(node.right());
      gather<true>(node.left());
    } else {
      gather<false>(node.left());
      gather<false>(node.right());
    }
  }
  template <bool transposed, class U, class V>
  void gather(const Outer<U, V>& node) {
    if constexpr (transposed) {
      gather<false>(node.v());
      gather<true>(node.u());
    } else {
      gather<false>(node.u());
      gather<true>(node.v());
    }
  }

  template <bool transposed, class Whole, class WithKept>
  void gather(const Kept<Whole, WithKept>& node) {
    gather<transposed>(node.with_kept());
  }

 private:
  std::size_t next_leaf_ = 0;
  std::size_t next_coefficient_ = 0;
};

template <class Node>
auto gather_operands(const Node& node) {
  Gathered<typename Node::Stored, Node::leaf_count, Node::coefficient_count> gathered;
  gathered.template gather<false>(node);
  return gathered;
}

/// A type of expressions, named by its address.
struct ExpressionType {
  CanonicalForm (*form)(const void* node);
  bool is_low_rank_product; ///< U Vᵀ x, its transpose with x, and the like
};
template <class Node>
inline constexpr ExpressionType expression_type{
    [](const void* node) { return CanonicalForm(*static_cast<const Node*>(node)); },
    is_low_rank_product<Node>};

} // namespace detail

ACCRETE_END_NAMESPACE
