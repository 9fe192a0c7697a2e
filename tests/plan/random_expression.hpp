// SPDX-License-Identifier: MIT
// Expression types made from a seed at compile time, and their values by another way.
#pragma once

#include "stored.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace random_expression {

namespace ac = accrete;
using ac::Index;

/// A 32-bit hash (the finaliser of MurmurHash3).
constexpr unsigned mix(unsigned x) {
  x += 0x9E3779B9U;
  x = (x ^ (x >> 16)) * 0x85EBCA6BU;
  x = (x ^ (x >> 13)) * 0xC2B2AE35U;
  return x ^ (x >> 16);
}

/// The value of an expression, the same over absolute values, and how many roundings may meet on
/// the way to one entry. Extended precision, plain loops.
struct Expected {
  Index rows = 0;
  Index cols = 0;
  Exact value;
  Exact magnitude;
  Index operations = 0;     ///< inner dimensions and coefficients
  Index terms = 1;          ///< when all products are multiplied out
  std::vector<Index> sizes; ///< of a chain of products: rows of the first, then columns of each
  std::string text;

  [[nodiscard]] Index roundings() const { return operations + terms; }
};

inline Expected sum_of(const Expected& a, const Expected& b, const char* sign = " + ") {
  const long double factor = sign[1] == '-' ? -1 : 1;
  return {a.rows,
          a.cols,
          a.value + factor * b.value,
          a.magnitude + b.magnitude,
          a.operations + b.operations,
          a.terms + b.terms,
          {},
          "(" + a.text + sign + b.text + ")"};
}

inline Exact product_of(const Exact& a, const Exact& b) {
  Exact c = Exact::Zero(a.rows(), b.cols());
  for (Index j = 0; j < b.cols(); ++j) {
    for (Index k = 0; k < a.cols(); ++k) {
      for (Index i = 0; i < a.rows(); ++i) {
        c(i, j) += a(i, k) * b(k, j);
      }
    }
  }
  return c;
}

inline Expected product_of(const Expected& a, const Expected& b) {
  Expected c{a.rows,
             b.cols,
             product_of(a.value, b.value),
             product_of(a.magnitude, b.magnitude),
             a.operations + b.operations + a.cols,
             a.terms * b.terms,
             a.sizes,
             a.text + " * " + b.text};
  c.sizes.insert(c.sizes.end(), b.sizes.begin() + (b.sizes.empty() ? 0 : 1), b.sizes.end());
  return c;
}

inline Expected scaled(long double coefficient, Expected a) {
  a.value *= coefficient;
  a.magnitude *= std::abs(coefficient);
  a.operations += 2;
  a.text = std::to_string(static_cast<double>(coefficient)) + " * " + a.text;
  return a;
}

inline Expected transposed(const Expected& a) {
  return {a.cols,
          a.rows,
          a.value.transpose(),
          a.magnitude.transpose(),
          a.operations,
          a.terms,
          std::vector<Index>(a.sizes.rbegin(), a.sizes.rend()),
          "(" + a.text + ")^T"};
}

/// Operands of one expression: blocks with random strides, one behind the other in one piece of
/// memory, so that a destination may lie across any of them.
template <class Scalar>
class Operands {
 public:
  using View = ac::ViewOn<const Scalar, TestBackend>;
  using Leaf = ac::MatrixView<const Scalar, TestBackend>;
  /// Draws one of `choices` numbers from 0, for what is named.
  using Draw = std::function<int(const char* name, int choices)>;

  Operands(unsigned seed, Draw draw)
      : draw_(std::move(draw)), memory_(on_backend(Dense<Scalar>::NullaryExpr(capacity, 1, [&] {
          seed = mix(seed);
          return static_cast<Scalar>(static_cast<double>(seed) / 2147483648.0 - 1.0);
        }))) {}

  [[nodiscard]] Index size(const char* name) {
    constexpr std::array<Index, 12> sizes = {1, 2, 3, 0, 5, 4, 8, 7, 16, 13, 24, 33};
    return sizes[static_cast<std::size_t>(draw_(name, static_cast<int>(sizes.size())))];
  }
  [[nodiscard]] Scalar coefficient() {
    constexpr std::array<double, 6> values = {1.0, -1.0, 0.3, 0.0, -2.7, 1e3};
    return static_cast<Scalar>(values[static_cast<std::size_t>(draw_("coefficient", 6))]);
  }
  [[nodiscard]] Scalar divisor() {
    constexpr std::array<double, 3> values = {2.0, -0.7, 30.0};
    return static_cast<Scalar>(values[static_cast<std::size_t>(draw_("divisor", 3))]);
  }

  /// A block of its own, or where there is one of that shape, the same as an earlier leaf, or the
  /// rows below one. Blocks with equal rows that follow each other lie side by side.
  [[nodiscard]] std::pair<Leaf, Expected> leaf(Index rows, Index cols) {
    return named(place(rows, cols, draw_("operand: 0 the same, 1 below, else new", 4)));
  }
  [[nodiscard]] std::pair<Leaf, Expected> named(const View& view) {
    const Exact value = exact(view);
    const std::string name(1, static_cast<char>('A' + views_.size()));
    views_.push_back(view);
    return {TestBackend::matrix_view(view),
            Expected{
                view.rows, view.cols, value, value.cwiseAbs(), 0, 1, {view.rows, view.cols}, name}};
  }

  [[nodiscard]] Scalar* data() { return memory_.data(); }
  [[nodiscard]] Index used() const { return used_; }
  /// A copy of all of it.
  [[nodiscard]] Dense<Scalar> memory() const { return ac::to_host(memory_); }

  [[nodiscard]] bool unchanged_outside(Dense<Scalar> before,
                                       const ac::ViewOn<Scalar, TestBackend>& target) const {
    const Dense<Scalar> after = memory();
    for (Index j = 0; j < target.cols; ++j) {
      const Index first = target.data + j * target.stride - memory_.data();
      before.middleRows(first, target.rows) = after.middleRows(first, target.rows);
    }
    return before == after;
  }

 private:
  static constexpr Index capacity = 16 * 50 * 33;

  View place(Index rows, Index cols, int where) {
    for (std::size_t i = views_.size(); where < 2 && i-- > 0;) {
      const View& other = views_[i];
      if (where == 0 && other.rows == rows && other.cols == cols) {
        return other;
      }
      if (where == 1 && other.cols == cols && other.rows + rows <= other.stride) {
        return {other.data + other.rows, rows, cols, other.stride};
      }
    }
    constexpr Index around[] = {0, 0, 1, 5, 16};
    const Index stride = rows + around[draw_("rows around the operand", 5)];
    const View view{memory_.data() + used_, rows, cols, stride};
    used_ += stride * cols;
    return view;
  }

  Draw draw_;
  Stored<Scalar> memory_;
  Index used_ = 0;
  std::vector<View> views_;
};

template <class Node>
struct Built {
  Node node;
  Expected expected;
};
template <class Node>
Built(Node, Expected) -> Built<Node>;

/// What a seed makes of an expression with more than one leaf, or with room for another wrapper.
enum class Form { sum, difference, product, outer, transposed, scaled, divided, negated, leaf };

constexpr Form form_of(unsigned seed, int leaves, int wrappers, bool chain) {
  const unsigned roll = mix(seed) % 16;
  if (wrappers > 0 && roll < 2) {
    return Form::transposed;
  }
  if (wrappers > 0 && roll < 5 && !chain) {
    constexpr Form forms[] = {Form::scaled, Form::scaled, Form::divided, Form::negated};
    return forms[mix(seed + 1) % 4];
  }
  if (leaves == 1) {
    return Form::leaf;
  }
  if (roll >= 10 || chain) {
    return roll >= 14 ? Form::outer : Form::product;
  }
  return roll < 6 ? Form::difference : roll < 9 ? Form::sum : Form::product;
}

/// An expression of `rows` x `cols` with that many leaves, written with the library's operators.
template <unsigned seed, int leaves, int wrappers, bool chain, class Scalar>
auto build(Operands<Scalar>& operands, Index rows, Index cols) {
  constexpr Form form = form_of(seed, leaves, wrappers, chain);
  constexpr unsigned next = mix(seed + 2);
  if constexpr (form == Form::leaf) {
    auto [view, expected] = operands.leaf(rows, cols);
    return Built{ac::lazy<TestBackend>(view), std::move(expected)};
  } else if constexpr (form == Form::transposed) {
    auto a = build<next, leaves, wrappers - 1, chain>(operands, cols, rows);
    return Built{a.node.transpose(), transposed(a.expected)};
  } else if constexpr (form == Form::scaled) {
    const Scalar c = operands.coefficient();
    auto a = build<next, leaves, wrappers - 1, chain>(operands, rows, cols);
    return Built{c * a.node, scaled(c, a.expected)};
  } else if constexpr (form == Form::divided) {
    const Scalar c = operands.divisor();
    auto a = build<next, leaves, wrappers - 1, chain>(operands, rows, cols);
    return Built{a.node / c, scaled(1 / static_cast<long double>(c), a.expected)};
  } else if constexpr (form == Form::negated) {
    auto a = build<next, leaves, wrappers - 1, chain>(operands, rows, cols);
    return Built{-a.node, scaled(-1, a.expected)};
  } else {
    constexpr int left = 1 + static_cast<int>(mix(seed + 3) % static_cast<unsigned>(leaves - 1));
    constexpr unsigned other = mix(seed + 4);
    if constexpr (form == Form::sum || form == Form::difference) {
      auto a = build<next, left, wrappers, chain>(operands, rows, cols);
      auto b = build<other, leaves - left, wrappers, chain>(operands, rows, cols);
      if constexpr (form == Form::sum) {
        return Built{a.node + b.node, sum_of(a.expected, b.expected)};
      } else {
        return Built{a.node - b.node, sum_of(a.expected, b.expected, " - ")};
      }
    } else {
      const Index inner = operands.size(form == Form::outer ? "rank" : "inner size");
      auto a = build<next, left, wrappers, chain>(operands, rows, inner);
      if constexpr (form == Form::product) {
        auto b = build<other, leaves - left, wrappers, chain>(operands, inner, cols);
        return Built{a.node * b.node, product_of(a.expected, b.expected)};
      } else {
        auto b = build<other, leaves - left, wrappers, chain>(operands, cols, inner);
        return Built{ac::outer<TestBackend>(a.node, b.node),
                     product_of(a.expected, transposed(b.expected))};
      }
    }
  }
}

} // namespace random_expression
