// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/error.hpp>

#include <Eigen/Core>

#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

struct ExpressionTag {};

/// Backend of leaves that any host backend can read; settled by the operands around them.
struct AnyHost : HostStorage {};

template <class Left, class Right>
struct CommonBackend {
  static_assert(std::is_same_v<Left, Right>,
                "accrete: the operands live on different backends; copy one of them to the other's "
                "backend first");
  using type = Left;
};
template <class Backend>
struct CommonBackend<Backend, Backend> {
  using type = Backend;
};
template <class Backend>
  requires is_host_backend<Backend> && (!std::is_same_v<Backend, AnyHost>)
struct CommonBackend<AnyHost, Backend> {
  using type = Backend;
};
template <class Backend>
  requires is_host_backend<Backend> && (!std::is_same_v<Backend, AnyHost>)
struct CommonBackend<Backend, AnyHost> {
  using type = Backend;
};
template <class Left, class Right>
using common_backend = typename CommonBackend<Left, Right>::type;

/// Expressions of plain Eigen operands run on the cpu backend.
template <class Backend>
using settled_backend = std::conditional_t<std::is_same_v<Backend, AnyHost>, Cpu, Backend>;

/// What Eigen wants to know of a node.
template <class NodeScalar, int Rows, int Cols>
struct NodeTraits {
  using Scalar = NodeScalar;
  using StorageKind = Eigen::Dense;
  using StorageIndex = Index;
  using XprKind = Eigen::MatrixXpr;
  enum {
    RowsAtCompileTime = Rows,
    ColsAtCompileTime = Cols,
    MaxRowsAtCompileTime = Rows,
    MaxColsAtCompileTime = Cols,
    Flags = Eigen::EvalBeforeNestingBit |
            (Rows == 1 && Cols != 1 ? Eigen::RowMajorBit : Eigen::NoPreferredStorageOrderBit)
  };
};

constexpr bool sizes_differ(int a, int b) {
  return a != Eigen::Dynamic && b != Eigen::Dynamic && a != b;
}
constexpr int known_size(int a, int b) { return a == Eigen::Dynamic ? b : a; }

} // namespace detail

namespace detail {

template <class Entry, class Value>
constexpr bool fits_destination() {
  static_assert(std::is_same_v<Entry, Value>,
                "accrete: the destination has another scalar type than the expression; write "
                "expression.cast<Scalar>(), or convert the operands so. The value of bfloat16 "
                "operands is float");
  return true;
}

/// Gives an Eigen object the shape of its new value, where it can take another. Not inlined: each
/// expression would compile Eigen's allocation anew.
template <class Target>
[[gnu::noinline]] void resize(Target& target, Index rows, Index cols) {
  if (target.rows() != rows || target.cols() != cols) {
    target.resize(rows, cols);
  }
}

/// A matrix that is computed where it is assigned, and an operand of Eigen's own expressions, which
/// evaluate it once. Derived has assign_expression(value, target, alpha, beta), found by its
/// arguments: target = alpha * value + beta * target.
template <class Derived>
class LazyValue : public Eigen::MatrixBase<Derived> {
 public:
  using Traits = Eigen::internal::traits<Derived>;
  using Scalar = typename Traits::Scalar;
  using Nested = const Derived; ///< held by value in Eigen's expressions
  using IsLazyValue = void;
  static constexpr int rows_at_compile_time = Traits::RowsAtCompileTime;
  static constexpr int cols_at_compile_time = Traits::ColsAtCompileTime;

  LazyValue() = default;
  LazyValue(const LazyValue&) = default;
  LazyValue& operator=(const LazyValue&) noexcept { return *this; } // Eigen's would evaluate
  ~LazyValue() = default;

  /// The value as a new dense matrix.
  [[nodiscard]] auto eval() const {
    using Backend = settled_backend<typename Derived::Backend>;
    if constexpr (is_host_backend<Backend>) {
      return typename LazyValue::PlainObject(this->derived());
    } else {
      return Matrix<Scalar, Backend>(this->derived());
    }
  }

  /// The value of a product of a row and a column.
  [[nodiscard]] operator Scalar() const // NOLINT(google-explicit-constructor): as Eigen's products
    requires(rows_at_compile_time == 1 && cols_at_compile_time == 1)
  {
    return eval().value();
  }

  template <class... Indices>
  Scalar operator()(Indices... /*unused*/) const {
    static_assert(static_cast<int>(sizeof...(Indices)) < 0,
                  "accrete: an expression has no entries, each would evaluate the whole of it; "
                  "write expression.eval() and read those");
    return {};
  }
  template <class Position>
  Scalar operator[](Position position) const {
    return (*this)(position);
  }
};

/// A matrix that owns its parts, and whose value Eigen's objects are assigned as that of
/// expressions.
template <class Derived>
class AssignableMatrix : public Eigen::EigenBase<Derived> {
 public:
  using IsLazyValue = void;
  enum {
    RowsAtCompileTime = Eigen::Dynamic,
    ColsAtCompileTime = Eigen::Dynamic,
    SizeAtCompileTime = Eigen::Dynamic
  };
};

template <class T>
concept LazyValueNode = requires { typename T::IsLazyValue; };

} // namespace detail

template <class Operand>
class Transposed;

/// Base of the lazy nodes: `W0 + outer(U, V)` and what is built from it.
///
/// A node computes nothing until it is assigned. It is an Eigen::MatrixBase: it assigns natively to
/// Eigen objects (`=`, `+=`, `-=`, blocks, constructors, noalias()), and Eigen's members (`norm()`,
/// `sum()`, `array()`, `colwise()`, `leftCols()`, `cast<double>()`) evaluate it once. A destination
/// that overlaps an operand goes through a temporary. Named operands are viewed and must outlive
/// the node; temporaries are moved into it.
template <class Derived>
class Expression : public detail::LazyValue<Derived>, public detail::ExpressionTag {
 public:
  /// The lazy transpose.
  [[nodiscard]] auto transpose() const { return Transposed<Derived>(this->derived()); }
  [[nodiscard]] auto adjoint() const { return transpose(); }
};

template <class T>
concept ExpressionNode = std::is_base_of_v<detail::ExpressionTag, std::remove_cvref_t<T>>;

/// The expression stays factored: its rank is known and it can be assigned to a LowRankMatrix.
template <class T>
inline constexpr bool is_low_rank = false;
template <class T>
  requires requires { std::remove_cvref_t<T>::low_rank; }
inline constexpr bool is_low_rank<T> = std::remove_cvref_t<T>::low_rank;

ACCRETE_END_NAMESPACE

namespace Eigen::internal {

/// Eigen would ask for the coefficients of the source.
template <class Target, accrete::detail::LazyValueNode Source, class Functor>
struct Assignment<Target, Source, Functor, Dense2Dense, void> {
  using Scalar = typename Source::Scalar;
  static_assert(accrete::detail::fits_destination<typename Target::Scalar, Scalar>());

  static void run(Target& target, const Source& source,
                  const assign_op<typename Target::Scalar, Scalar>& /*unused*/) {
    accrete::detail::resize(target, source.rows(), source.cols());
    assign_expression(source, target, Scalar{1}, Scalar{0});
  }
  static void run(Target& target, const Source& source,
                  const add_assign_op<typename Target::Scalar, Scalar>& /*unused*/) {
    assign_expression(source, target, Scalar{1}, Scalar{1});
  }
  static void run(Target& target, const Source& source,
                  const sub_assign_op<typename Target::Scalar, Scalar>& /*unused*/) {
    assign_expression(source, target, Scalar{-1}, Scalar{1});
  }
};

/// Within Eigen's own expressions.
template <accrete::detail::LazyValueNode Node>
struct evaluator<Node> : evaluator<typename Node::PlainObject> {
  using PlainObject = typename Node::PlainObject;
  using Base = evaluator<PlainObject>;
  static constexpr int Flags = static_cast<int>(Base::Flags) | EvalBeforeNestingBit;

  explicit evaluator(const Node& node) : value_(node) {
    ::new (static_cast<Base*>(this)) Base(value_);
  }

 private:
  PlainObject value_;
};

} // namespace Eigen::internal
