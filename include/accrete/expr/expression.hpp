// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/error.hpp>

#include <Eigen/Core>

#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

// A storage kind and a shape of our own: Eigen then assigns by calling evalTo, addTo and subTo
// instead of looking for a coefficient-wise evaluator.
struct ExpressionStorage {};
struct ExpressionShape {};
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
requires is_host_backend<Backend> &&
    (!std::is_same_v<Backend, AnyHost>)struct CommonBackend<AnyHost, Backend> {
  using type = Backend;
};
template <class Backend>
requires is_host_backend<Backend> &&
    (!std::is_same_v<Backend, AnyHost>)struct CommonBackend<Backend, AnyHost> {
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
  using StorageKind = ExpressionStorage;
  using StorageIndex = Index;
  using XprKind = Eigen::MatrixXpr;
  enum {
    RowsAtCompileTime = Rows,
    ColsAtCompileTime = Cols,
    MaxRowsAtCompileTime = Rows,
    MaxColsAtCompileTime = Cols,
    Flags = 0
  };
};

constexpr bool sizes_differ(int a, int b) {
  return a != Eigen::Dynamic && b != Eigen::Dynamic && a != b;
}
constexpr int known_size(int a, int b) { return a == Eigen::Dynamic ? b : a; }

} // namespace detail

template <class Operand>
class Transposed;

/// Base of the lazy nodes: `W0 + outer(U, V)` and what is built from it.
///
/// A node computes nothing until it is assigned. It assigns natively to Eigen objects (`=`, `+=`,
/// `-=`, blocks, constructors); a destination that overlaps an operand goes through a temporary.
/// Named operands are viewed and must outlive the node; temporaries are moved into it.
template <class Derived>
class Expression : public Eigen::EigenBase<Derived>, public detail::ExpressionTag {
 public:
  using Scalar = typename Eigen::internal::traits<Derived>::Scalar;
  using Traits = Eigen::internal::traits<Derived>;
  static constexpr int rows_at_compile_time = Traits::RowsAtCompileTime;
  static constexpr int cols_at_compile_time = Traits::ColsAtCompileTime;
  enum {
    RowsAtCompileTime = rows_at_compile_time,
    ColsAtCompileTime = cols_at_compile_time,
    MaxRowsAtCompileTime = rows_at_compile_time,
    MaxColsAtCompileTime = cols_at_compile_time,
    SizeAtCompileTime =
        rows_at_compile_time == Eigen::Dynamic || cols_at_compile_time == Eigen::Dynamic
            ? Eigen::Dynamic
            : rows_at_compile_time * cols_at_compile_time,
    IsVectorAtCompileTime = rows_at_compile_time == 1 || cols_at_compile_time == 1,
    Flags = 0
  };

  /// The value as a new dense matrix.
  [[nodiscard]] auto eval() const {
    Eigen::Matrix<Scalar, rows_at_compile_time, cols_at_compile_time> result(this->derived());
    return result;
  }

  /// The lazy transpose.
  [[nodiscard]] auto transpose() const { return Transposed<Derived>(this->derived()); }

  // Eigen's assignment protocol.
  template <class Target>
  void evalTo(Target& target) const {
    assign_expression(this->derived(), target, Scalar{1}, Scalar{0});
  }
  template <class Target>
  void addTo(Target& target) const {
    assign_expression(this->derived(), target, Scalar{1}, Scalar{1});
  }
  template <class Target>
  void subTo(Target& target) const {
    assign_expression(this->derived(), target, Scalar{-1}, Scalar{1});
  }
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

template <>
struct storage_kind_to_shape<accrete::detail::ExpressionStorage> {
  using Shape = accrete::detail::ExpressionShape;
};
template <>
struct storage_kind_to_evaluator_kind<accrete::detail::ExpressionStorage> {
  using Kind = accrete::detail::ExpressionStorage;
};

} // namespace Eigen::internal
