// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/matrix/factors.hpp>
#include <accrete/matrix/truncation_report.hpp>

#include <algorithm>
#include <iosfwd>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Defined in factor/truncation.hpp: recompresses U Vᵀ in place, into the leading columns.
template <class Backend, class Scalar>
TruncationReport<Scalar> truncate_factors(Context<Backend>& context, ViewOn<Scalar, Backend> u,
                                          ViewOn<Scalar, Backend> v,
                                          const TruncationOptions& options);

template <class Scalar, class Backend>
using FactorLeaf = Dense<ReferencedColumns<Matrix<Scalar, Backend>>, Backend>;

/// A leaf of memory that stays where it is while the expression lives.
template <class Scalar, class Backend>
FactorLeaf<Scalar, Backend> factor_leaf(ViewOn<const Scalar, Backend> view) {
  return FactorLeaf<Scalar, Backend>(ReferencedColumns<Matrix<Scalar, Backend>>(view));
}

/// What the factors of a temporary become in an expression: they share the storage moved into them.
template <class Storage, class Backend>
using OwnedLeaf = Dense<OwnedColumns<Storage>, Backend>;

} // namespace detail

template <class Scalar, class Backend>
class CumulativeUpdate;

/// The matrix U Vᵀ, U m x r and V n x r, that owns its factors.
///
/// The capacity may exceed the rank r: growth within it moves no column. In expressions it is a
/// low-rank leaf: sums, products, scales and transposes of it stay factored and can be assigned
/// back; `truncate` recompresses. Memory: (m + n) * capacity scalars.
template <class MatrixScalar, class MatrixBackend = Cpu>
class LowRankMatrix : public detail::AssignableMatrix<LowRankMatrix<MatrixScalar, MatrixBackend>> {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using Storage = Matrix<Scalar, Backend>;

  LowRankMatrix() = default;

  /// The zero matrix of rank 0 with room for `capacity` columns.
  /// @throws ShapeError for negative sizes.
  LowRankMatrix(Index rows, Index cols, Index capacity = 0) {
    if (rows < 0 || cols < 0 || capacity < 0) {
      ACCRETE_THROW ShapeError("LowRankMatrix of " + detail::shape_text(rows, cols) +
                               " with capacity " + std::to_string(capacity) +
                               ": sizes must not be negative");
    }
    u_ = Storage(rows, capacity);
    v_ = Storage(cols, capacity);
  }

  /// Takes over the factors: u is m x r, v is n x r.
  /// @throws ShapeError when they have different numbers of columns.
  LowRankMatrix(Storage u, Storage v) : u_(std::move(u)), v_(std::move(v)), rank_(u_.cols()) {
    if (u_.cols() != v_.cols()) {
      detail::throw_shape_error("LowRankMatrix", u_.rows(), u_.cols(), v_.rows(), v_.cols(),
                                "U and V must have the same number of columns, the rank");
    }
  }

  LowRankMatrix(const LowRankMatrix& other)
      : LowRankMatrix(other.rows(), other.cols(), other.capacity()) {
    copy_columns(other);
  }
  /// Leaves the zero matrix of the same shape behind.
  // NOLINTNEXTLINE(bugprone-exception-escape): a backend may allocate for that
  LowRankMatrix(LowRankMatrix&& other) : LowRankMatrix(other.rows(), other.cols()) { swap(other); }
  /// Keeps the capacity where it suffices.
  /// @throws ShapeError when this is the update of a CumulativeUpdate and the shapes differ.
  LowRankMatrix& operator=(const LowRankMatrix& other) {
    check_assigned_shape(other);
    if (this != &other) {
      if (other.rows() == rows() && other.cols() == cols() && other.rank() <= capacity()) {
        copy_columns(other);
      } else {
        LowRankMatrix copy(other);
        swap(copy);
      }
    }
    return *this;
  }
  // NOLINTNEXTLINE(bugprone-exception-escape): as the constructor
  LowRankMatrix& operator=(LowRankMatrix&& other) {
    check_assigned_shape(other);
    LowRankMatrix taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~LowRankMatrix() = default;

  /// The factors of a low-rank expression; ranks of sums add up.
  template <ExpressionNode Node>
  LowRankMatrix(const Node& expression) { // NOLINT(google-explicit-constructor)
    *this = expression;
  }

  /// Keeps the capacity where it suffices. Operands may be factors of this very matrix.
  template <ExpressionNode Node>
  LowRankMatrix& operator=(const Node& expression) {
    check_low_rank<Node>();
    const Index rank = detail::rank_of(expression);
    LowRankMatrix result(expression.rows(), expression.cols(), (std::max)(rank, capacity()));
    result.rank_ = rank;
    detail::write_factors(context(), expression, result.u_view(), result.v_view());
    return *this = std::move(result);
  }

  /// Appends the factors of the expression: the rank grows by the expression's.
  /// @throws ShapeError when the shapes differ.
  template <detail::LazyOperand Operand>
  LowRankMatrix& operator+=(const Operand& operand) {
    const auto expression = detail::lift(operand);
    check_low_rank<decltype(expression)>();
    if (expression.rows() != rows() || expression.cols() != cols()) {
      detail::throw_shape_error("sum", rows(), cols(), expression.rows(), expression.cols(),
                                "both operands must have the same shape");
    }
    const Index added = detail::rank_of(expression);
    if (rank_ + added > capacity()) {
      return *this = this->expression() + expression; // the operands stay until it is done
    }
    detail::write_factors(context(), expression, all_u().columns(rank_, added),
                          all_v().columns(rank_, added));
    rank_ += added;
    return *this;
  }
  template <detail::LazyOperand Operand>
  LowRankMatrix& operator-=(const Operand& operand) {
    return *this += -operand;
  }

  [[nodiscard]] Index rows() const noexcept { return u_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return v_.rows(); }
  [[nodiscard]] Index rank() const noexcept { return rank_; }
  [[nodiscard]] Index capacity() const noexcept { return u_.cols(); }

  /// The factors in use, m x r and n x r: views, valid until the capacity changes. Of a temporary
  /// they are copies.
  [[nodiscard]] auto U() & { return Backend::matrix_view(u_view()); }
  [[nodiscard]] auto V() & { return Backend::matrix_view(v_view()); }
  [[nodiscard]] auto U() const& { return Backend::matrix_view(u_view()); }
  [[nodiscard]] auto V() const& { return Backend::matrix_view(v_view()); }
  [[nodiscard]] Storage U() && { return copy_of(std::as_const(*this).u_view()); }
  [[nodiscard]] Storage V() && { return copy_of(std::as_const(*this).v_view()); }

  /// The same as strided views, for kernels.
  [[nodiscard]] ViewOn<Scalar, Backend> u_view() & noexcept { return all_u().left_columns(rank_); }
  [[nodiscard]] ViewOn<Scalar, Backend> v_view() & noexcept { return all_v().left_columns(rank_); }
  [[nodiscard]] ViewOn<const Scalar, Backend> u_view() const& noexcept {
    return all_u().left_columns(rank_);
  }
  [[nodiscard]] ViewOn<const Scalar, Backend> v_view() const& noexcept {
    return all_v().left_columns(rank_);
  }
  ViewOn<Scalar, Backend> u_view() && = delete;
  ViewOn<Scalar, Backend> v_view() && = delete;

  /// Calls visit("U", view) and visit("V", view) for the factors in use. What is written into them
  /// becomes the value; the rank has to be set before.
  template <class Visitor>
  void visit_state(const Visitor& visitor) {
    visitor("U", u_view());
    visitor("V", v_view());
  }

  /// Makes room for `columns` columns in each factor; never shrinks. @throws RankError for a number
  /// beyond all memory.
  void reserve(Index columns) {
    if (columns <= capacity()) {
      return;
    }
    if (columns > (std::numeric_limits<Index>::max)() / (std::max)({rows(), cols(), Index{1}})) {
      ACCRETE_THROW RankError("room for " + std::to_string(columns) + " columns of a " +
                              detail::shape_text(rows(), cols()) +
                              " matrix: more entries than an index can count");
    }
    reallocate(columns);
  }
  /// Gives back what the rank does not need.
  void shrink_to_fit() {
    if (capacity() > rank_) {
      reallocate(rank_);
    }
  }

  /// Adds the columns of u (m x k) and v (n x k). Moves nothing within the capacity, doubles the
  /// capacity otherwise. @throws ShapeError when the shapes do not fit.
  template <detail::Operand U, detail::Operand V>
  void append(const U& u, const V& v) {
    const auto added = outer<Backend>(u, v);
    if (rank_ + added.rank() > capacity()) {
      // The old storage stays alive meanwhile: u and v may be columns of this matrix.
      LowRankMatrix larger(rows(), cols(), (std::max)(2 * capacity(), rank_ + added.rank()));
      larger += expression();
      larger += added;
      swap(larger);
    } else {
      *this += added;
    }
  }

  /// Uses the first `rank` columns of the storage: drops columns, or takes spare ones into use,
  /// which become zero. @throws RankError beyond the capacity.
  void set_rank(Index rank) {
    if (rank < 0 || rank > capacity()) {
      ACCRETE_THROW RankError("rank " + std::to_string(rank) + " is outside the capacity of " +
                              std::to_string(capacity()) + " columns; reserve() more first");
    }
    if (rank > rank_) {
      Kernels<Backend>::fill(context().device(), Scalar{0}, all_u().columns(rank_, rank - rank_));
      Kernels<Backend>::fill(context().device(), Scalar{0}, all_v().columns(rank_, rank - rank_));
    }
    rank_ = rank;
  }

  /// Replaces U Vᵀ by its best approximation under the options, with balanced factors
  /// U sqrt(S), V sqrt(S). QR of both factors and an SVD of the r x r core: O((m + n) r²).
  /// Defined in factor/truncation.hpp. @throws NumericError for NaN or infinity.
  TruncationReport<Scalar> truncate(const TruncationOptions& options) {
    auto report = detail::truncate_factors<Backend>(context(), u_view(), v_view(), options);
    rank_ = report.rank_after;
    return report;
  }

  /// The lazy transpose V Uᵀ.
  [[nodiscard]] auto transpose() const& { return expression().transpose(); }
  [[nodiscard]] auto transpose() && { return std::move(*this).expression().transpose(); }

  /// The low-rank leaf that stands for this matrix in expressions. It refers to this matrix, whose
  /// factors are read at evaluation: another rank or shape by then is a ShapeError. A temporary is
  /// moved in.
  [[nodiscard]] auto expression() const& {
    return Outer<FactorLeaf, FactorLeaf>(leaf(u_), leaf(v_));
  }
  [[nodiscard]] auto expression() && {
    LowRankMatrix taken(std::move(*this));
    return Outer<OwnedLeaf, OwnedLeaf>(taken.moved_in(taken.u_), taken.moved_in(taken.v_));
  }
  [[nodiscard]] auto expression() const&& { return LowRankMatrix(*this).expression(); }

 private:
  friend class CumulativeUpdate<Scalar, Backend>;
  using FactorLeaf = detail::FactorLeaf<Scalar, Backend>;
  using OwnedLeaf = detail::OwnedLeaf<Storage, Backend>;

  void reallocate(Index columns) {
    LowRankMatrix moved(rows(), cols(), columns);
    moved.copy_columns(*this);
    swap(moved);
  }

  [[nodiscard]] FactorLeaf leaf(const Storage& factor) const {
    return FactorLeaf(detail::ReferencedColumns<Storage>(factor, rank_));
  }
  [[nodiscard]] OwnedLeaf moved_in(Storage& factor) const {
    return OwnedLeaf(detail::OwnedColumns<Storage>(std::move(factor), rank_));
  }

  template <class Node>
  static constexpr void check_low_rank() {
    static_assert(is_low_rank<Node>,
                  "accrete: a dense expression cannot be assigned to a LowRankMatrix; write "
                  "truncate(expr, {.max_rank = ...}) to approximate it");
  }
  static Context<Backend>& context() { return Context<Backend>::current(); }
  [[nodiscard]] ViewOn<Scalar, Backend> all_u() noexcept { return view_of(u_); }
  [[nodiscard]] ViewOn<Scalar, Backend> all_v() noexcept { return view_of(v_); }
  [[nodiscard]] ViewOn<const Scalar, Backend> all_u() const noexcept { return view_of(u_); }
  [[nodiscard]] ViewOn<const Scalar, Backend> all_v() const noexcept { return view_of(v_); }

  void check_assigned_shape(const LowRankMatrix& other) const {
    if (has_fixed_shape_ && (other.rows() != rows() || other.cols() != cols())) {
      detail::throw_shape_error("assignment to an update", rows(), cols(), other.rows(),
                                other.cols(),
                                "the update of a CumulativeUpdate has the shape of its base");
    }
  }
  /// Takes the columns in use of the other matrix.
  void copy_columns(const LowRankMatrix& other) {
    copy(other.u_view(), all_u().left_columns(other.rank_));
    copy(other.v_view(), all_v().left_columns(other.rank_));
    rank_ = other.rank_;
  }
  [[nodiscard]] static Storage copy_of(ViewOn<const Scalar, Backend> factor) {
    Storage result(factor.rows, factor.cols);
    copy(factor, view_of(result));
    return result;
  }
  static void copy(ViewOn<const Scalar, Backend> from, ViewOn<Scalar, Backend> to) {
    Kernels<Backend>::combine(context().device(), Scalar{1}, from, Scalar{0}, to);
  }
  void swap(LowRankMatrix& other) noexcept {
    u_.swap(other.u_);
    v_.swap(other.v_);
    std::swap(rank_, other.rank_);
  }

  Storage u_;
  Storage v_;
  Index rank_ = 0;
  bool has_fixed_shape_ = false; ///< the update of a CumulativeUpdate
};

/// One line: shape, rank and capacity.
template <class Traits, class Scalar, class Backend>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out,
                                             const LowRankMatrix<Scalar, Backend>& matrix) {
  return out << "LowRankMatrix " << matrix.rows() << " x " << matrix.cols() << ", rank "
             << matrix.rank() << ", capacity " << matrix.capacity();
}

ACCRETE_END_NAMESPACE

namespace Eigen::internal {

template <class Scalar, class Backend>
struct traits<accrete::LowRankMatrix<Scalar, Backend>>
    : accrete::detail::NodeTraits<Scalar, Dynamic, Dynamic> {};

} // namespace Eigen::internal
