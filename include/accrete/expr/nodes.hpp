// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/leaves.hpp>

#include <cstdio>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class Left, class Right>
constexpr void check_scalars() {
  static_assert(std::is_same_v<typename Left::Stored, typename Right::Stored>,
                "accrete: the operands have different scalar types; convert one of them with "
                ".cast<Scalar>()");
}

[[noreturn]] inline void throw_shape_error(const char* operation, Index left_rows, Index left_cols,
                                           Index right_rows, Index right_cols, const char* remedy) {
  char text[320]; // every expression compiles this: printf costs less of that time than strings
  std::snprintf(text, sizeof text, "%s of %td x %td and %td x %td: %s", operation, left_rows,
                left_cols, right_rows, right_cols, remedy);
  ACCRETE_THROW ShapeError(text);
}

} // namespace detail

/// left + right.
template <class Left, class Right>
class Sum : public Expression<Sum<Left, Right>> {
 public:
  using Scalar = typename Left::Scalar;
  using Stored = typename Left::Stored;
  using Backend = detail::common_backend<typename Left::Backend, typename Right::Backend>;
  static constexpr int leaf_count = Left::leaf_count + Right::leaf_count;
  static constexpr int coefficient_count = Left::coefficient_count + Right::coefficient_count;
  static constexpr bool low_rank = is_low_rank<Left> && is_low_rank<Right>;

  /// @throws ShapeError when the shapes differ.
  Sum(Left left, Right right) : left_(std::move(left)), right_(std::move(right)) {
    detail::check_scalars<Left, Right>();
    static_assert(
        !detail::sizes_differ(Left::rows_at_compile_time, Right::rows_at_compile_time) &&
            !detail::sizes_differ(Left::cols_at_compile_time, Right::cols_at_compile_time),
        "accrete: the operands of a sum must have the same shape");
    if (left_.rows() != right_.rows() || left_.cols() != right_.cols()) {
      detail::throw_shape_error("sum", left_.rows(), left_.cols(), right_.rows(), right_.cols(),
                                "both operands must have the same shape");
    }
  }
  [[nodiscard]] Index rows() const noexcept { return left_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return left_.cols(); }
  [[nodiscard]] const Left& left() const noexcept { return left_; }
  [[nodiscard]] const Right& right() const noexcept { return right_; }

 private:
  Left left_;
  Right right_;
};

/// left * right, associated by the planner.
template <class Left, class Right>
class Product : public Expression<Product<Left, Right>> {
 public:
  using Scalar = typename Left::Scalar;
  using Stored = typename Left::Stored;
  using Backend = detail::common_backend<typename Left::Backend, typename Right::Backend>;
  static constexpr int leaf_count = Left::leaf_count + Right::leaf_count;
  static constexpr int coefficient_count = Left::coefficient_count + Right::coefficient_count;
  static constexpr bool low_rank = is_low_rank<Left> || is_low_rank<Right>;

  /// @throws ShapeError when the inner dimensions differ.
  Product(Left left, Right right) : left_(std::move(left)), right_(std::move(right)) {
    detail::check_scalars<Left, Right>();
    static_assert(!detail::sizes_differ(Left::cols_at_compile_time, Right::rows_at_compile_time),
                  "accrete: the columns of a product's left operand must equal the rows of its "
                  "right operand");
    if (left_.cols() != right_.rows()) {
      detail::throw_shape_error("product", left_.rows(), left_.cols(), right_.rows(), right_.cols(),
                                "the columns of the left operand must equal the rows of the "
                                "right one; is a transpose() missing?");
    }
  }
  [[nodiscard]] Index rows() const noexcept { return left_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return right_.cols(); }
  [[nodiscard]] const Left& left() const noexcept { return left_; }
  [[nodiscard]] const Right& right() const noexcept { return right_; }

 private:
  Left left_;
  Right right_;
};

/// U Vᵀ with U m x r and V n x r: the low-rank leaf.
template <class LeftFactor, class RightFactor>
class Outer : public Expression<Outer<LeftFactor, RightFactor>> {
 public:
  using Scalar = typename LeftFactor::Scalar;
  using Stored = typename LeftFactor::Stored;
  using Backend =
      detail::common_backend<typename LeftFactor::Backend, typename RightFactor::Backend>;
  static constexpr int leaf_count = LeftFactor::leaf_count + RightFactor::leaf_count;
  static constexpr int coefficient_count =
      LeftFactor::coefficient_count + RightFactor::coefficient_count;
  static constexpr bool low_rank = true;

  /// @throws ShapeError when the factors have different numbers of columns.
  Outer(LeftFactor u, RightFactor v) : u_(std::move(u)), v_(std::move(v)) {
    detail::check_scalars<LeftFactor, RightFactor>();
    static_assert(
        !detail::sizes_differ(LeftFactor::cols_at_compile_time, RightFactor::cols_at_compile_time),
        "accrete: the factors of outer(U, V) must have the same number of columns");
    if (u_.cols() != v_.cols()) {
      detail::throw_shape_error("outer", u_.rows(), u_.cols(), v_.rows(), v_.cols(),
                                "U and V must have the same number of columns, the rank");
    }
  }
  [[nodiscard]] Index rows() const noexcept { return u_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return v_.rows(); }
  [[nodiscard]] Index rank() const noexcept { return u_.cols(); }
  [[nodiscard]] const LeftFactor& u() const noexcept { return u_; }
  [[nodiscard]] const RightFactor& v() const noexcept { return v_; }

 private:
  LeftFactor u_;
  RightFactor v_;
};

namespace detail {

/// A number in an expression: a value, or that of a named object such as the scale of a
/// CumulativeUpdate, which like the object's entries is read at evaluation.
template <class Scalar>
class Coefficient {
 public:
  Coefficient(Scalar value) : value_(value) {} // NOLINT(google-explicit-constructor)
  explicit Coefficient(const Scalar* source) : source_(source) {}
  [[nodiscard]] Scalar value() const noexcept { return source_ == nullptr ? value_ : *source_; }

 private:
  const Scalar* source_ = nullptr;
  Scalar value_{};
};

} // namespace detail

/// coefficient * operand. The coefficient is no part of the plan: it may change from call to call.
template <class Operand>
class Scaled : public Expression<Scaled<Operand>> {
 public:
  using Scalar = typename Operand::Scalar;
  using Stored = typename Operand::Stored;
  using Backend = typename Operand::Backend;
  static constexpr int leaf_count = Operand::leaf_count;
  static constexpr int coefficient_count = Operand::coefficient_count + 1;
  static constexpr bool low_rank = is_low_rank<Operand>;

  Scaled(detail::Coefficient<Scalar> coefficient, Operand operand)
      : coefficient_(coefficient), operand_(std::move(operand)) {}
  [[nodiscard]] Index rows() const noexcept { return operand_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return operand_.cols(); }
  [[nodiscard]] Scalar coefficient() const noexcept { return coefficient_.value(); }
  /// The same to be put into another expression.
  [[nodiscard]] const detail::Coefficient<Scalar>& factor() const noexcept { return coefficient_; }
  [[nodiscard]] const Operand& operand() const noexcept { return operand_; }

 private:
  detail::Coefficient<Scalar> coefficient_;
  Operand operand_;
};

namespace detail {

template <class Operand>
Scaled<Operand> scaled(const Coefficient<typename Operand::Scalar>& factor, Operand operand) {
  return Scaled<Operand>(factor, std::move(operand));
}

} // namespace detail

/// operandᵀ; costs nothing, kernels read the same memory in the other order.
template <class Operand>
class Transposed : public Expression<Transposed<Operand>> {
 public:
  using Scalar = typename Operand::Scalar;
  using Stored = typename Operand::Stored;
  using Backend = typename Operand::Backend;
  static constexpr int leaf_count = Operand::leaf_count;
  static constexpr int coefficient_count = Operand::coefficient_count;
  static constexpr bool low_rank = is_low_rank<Operand>;

  explicit Transposed(Operand operand) : operand_(std::move(operand)) {}
  [[nodiscard]] Index rows() const noexcept { return operand_.cols(); }
  [[nodiscard]] Index cols() const noexcept { return operand_.rows(); }
  [[nodiscard]] const Operand& operand() const noexcept { return operand_; }

 private:
  Operand operand_;
};

ACCRETE_END_NAMESPACE

namespace Eigen::internal {

template <class Left, class Right>
struct traits<accrete::Sum<Left, Right>>
    : accrete::detail::NodeTraits<
          typename Left::Scalar,
          accrete::detail::known_size(Left::rows_at_compile_time, Right::rows_at_compile_time),
          accrete::detail::known_size(Left::cols_at_compile_time, Right::cols_at_compile_time)> {};

template <class Left, class Right>
struct traits<accrete::Product<Left, Right>>
    : accrete::detail::NodeTraits<typename Left::Scalar, Left::rows_at_compile_time,
                                  Right::cols_at_compile_time> {};

template <class LeftFactor, class RightFactor>
struct traits<accrete::Outer<LeftFactor, RightFactor>>
    : accrete::detail::NodeTraits<typename LeftFactor::Scalar, LeftFactor::rows_at_compile_time,
                                  RightFactor::rows_at_compile_time> {};

template <class Operand>
struct traits<accrete::Scaled<Operand>>
    : accrete::detail::NodeTraits<typename Operand::Scalar, Operand::rows_at_compile_time,
                                  Operand::cols_at_compile_time> {};

template <class Operand>
struct traits<accrete::Transposed<Operand>>
    : accrete::detail::NodeTraits<typename Operand::Scalar, Operand::cols_at_compile_time,
                                  Operand::rows_at_compile_time> {};

} // namespace Eigen::internal
