// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/nodes.hpp>

#include <array>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

struct CanonicalSum;

/// Factor of a product: a leaf, or a sum that the planner distributes or materialises.
struct CanonicalFactor {
  Index rows = 0;
  Index cols = 0;
  int leaf = -1;                 // index of the operand, or -1 for a sum
  std::vector<CanonicalSum> sum; // one element for a sum
};

/// coefficients * factors[0] * factors[1] * ...
struct CanonicalTerm {
  std::vector<int> coefficients; // slots, multiplied at execution
  std::vector<CanonicalFactor> factors;

  /// An inner dimension is zero, so the term is the zero matrix.
  [[nodiscard]] bool is_zero() const noexcept {
    for (std::size_t i = 0; i + 1 < factors.size(); ++i) {
      if (factors[i].cols == 0) {
        return true;
      }
    }
    return false;
  }
};

/// Sum of product chains: what every expression is reduced to before planning. Nested sums and
/// products are flattened, transposes stand at the leaves, scales at the terms.
struct CanonicalSum {
  Index rows = 0;
  Index cols = 0;
  std::vector<CanonicalTerm> terms;
};

/// Writes down the canonical form, numbering leaves and coefficients in the order of `gather`.
class Canonicalizer {
 public:
  template <bool transposed, class Holder, class Backend>
  CanonicalSum read(const Dense<Holder, Backend>& leaf) {
    CanonicalFactor factor;
    factor.rows = transposed ? leaf.cols() : leaf.rows();
    factor.cols = transposed ? leaf.rows() : leaf.cols();
    factor.leaf = leaves_++;
    CanonicalSum sum{factor.rows, factor.cols, {}};
    sum.terms.push_back({{}, {std::move(factor)}});
    return sum;
  }

  template <bool transposed, class Operand>
  CanonicalSum read(const Transposed<Operand>& node) {
    return read<!transposed>(node.operand());
  }

  template <bool transposed, class Operand>
  CanonicalSum read(const Scaled<Operand>& node) {
    const int slot = coefficients_++;
    CanonicalSum sum = read<transposed>(node.operand());
    for (CanonicalTerm& term : sum.terms) {
      term.coefficients.push_back(slot);
    }
    return sum;
  }

  template <bool transposed, class Left, class Right>
  CanonicalSum read(const Sum<Left, Right>& node) {
    CanonicalSum sum = read<transposed>(node.left());
    CanonicalSum right = read<transposed>(node.right());
    for (CanonicalTerm& term : right.terms) {
      sum.terms.push_back(std::move(term));
    }
    return sum;
  }

  template <bool transposed, class Left, class Right>
  CanonicalSum read(const Product<Left, Right>& node) {
    if constexpr (transposed) {
      CanonicalSum first = read<true>(node.right());
      return multiply(std::move(first), read<true>(node.left()));
    } else {
      CanonicalSum first = read<false>(node.left());
      return multiply(std::move(first), read<false>(node.right()));
    }
  }

  template <bool transposed, class U, class V>
  CanonicalSum read(const Outer<U, V>& node) {
    if constexpr (transposed) {
      CanonicalSum first = read<false>(node.v());
      return multiply(std::move(first), read<true>(node.u()));
    } else {
      CanonicalSum first = read<false>(node.u());
      return multiply(std::move(first), read<true>(node.v()));
    }
  }

 private:
  static CanonicalSum multiply(CanonicalSum left, CanonicalSum right) {
    CanonicalSum product{left.rows, right.cols, {}};
    CanonicalTerm term;
    append(term, std::move(left));
    append(term, std::move(right));
    product.terms.push_back(std::move(term));
    return product;
  }

  static void append(CanonicalTerm& term, CanonicalSum operand) {
    if (operand.terms.size() == 1) {
      CanonicalTerm& only = operand.terms.front();
      term.coefficients.insert(term.coefficients.end(), only.coefficients.begin(),
                               only.coefficients.end());
      for (CanonicalFactor& factor : only.factors) {
        term.factors.push_back(std::move(factor));
      }
      return;
    }
    CanonicalFactor factor;
    factor.rows = operand.rows;
    factor.cols = operand.cols;
    factor.sum.push_back(std::move(operand));
    term.factors.push_back(std::move(factor));
  }

  int leaves_ = 0;
  int coefficients_ = 0;
};

/// Operands and coefficients of one evaluation, in canonical order, on the stack.
template <class Scalar, int leaf_count, int coefficient_count>
class Gathered {
 public:
  std::array<View<const Scalar>, leaf_count> leaves;
  std::array<Scalar, coefficient_count == 0 ? 1 : coefficient_count> coefficients{};

  template <bool transposed, class Holder, class Backend>
  void gather(const Dense<Holder, Backend>& leaf) {
    const View<const Scalar> view = leaf.view();
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

 private:
  std::size_t next_leaf_ = 0;
  std::size_t next_coefficient_ = 0;
};

template <class Node>
CanonicalSum canonical_form(const Node& node) {
  return Canonicalizer().read<false>(node);
}

template <class Node>
auto gather_operands(const Node& node) {
  Gathered<typename Node::Scalar, Node::leaf_count, Node::coefficient_count> gathered;
  gathered.template gather<false>(node);
  return gathered;
}

} // namespace detail

ACCRETE_END_NAMESPACE
