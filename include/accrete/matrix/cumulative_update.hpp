// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/matrix/low_rank_matrix.hpp>

#include <iosfwd>
#include <optional>
#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// Adds `count` columns that leave U Vᵀ unchanged; defined in grow/growth.hpp.
template <class Scalar, class Backend, class Initializer>
void grow(LowRankMatrix<Scalar, Backend>& matrix, Index count, const Initializer& initializer);

/// W0 + s U Vᵀ, formed for a forward and a backward pass; defined in matrix/merged_weight.hpp.
template <class Scalar, class Backend>
class MergedWeight;

namespace detail {

/// A sum of which one side is of low rank and the other is not.
template <class Node>
inline constexpr bool is_dense_and_low_rank = false;
template <class Left, class Right>
inline constexpr bool is_dense_and_low_rank<Sum<Left, Right>> =
    is_low_rank<Left> != is_low_rank<Right>;

} // namespace detail

/// The matrix W0 + s U Vᵀ: a base, owned or borrowed, and an owned low-rank update of it.
///
/// `W * X` is lazy; the planner applies base and update apart, together or merges them first,
/// whichever is faster. An owned base and U lie in one memory, [W0 U] with spare columns, so that
/// one product can read both. Growth within the capacity and truncation touch the update alone;
/// beyond the capacity the base moves with U: reserve() what will be needed.
template <class MatrixScalar, class MatrixBackend = Cpu>
class CumulativeUpdate
    : public detail::AssignableMatrix<CumulativeUpdate<MatrixScalar, MatrixBackend>> {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using Storage = Matrix<Scalar, Backend>;
  using Coefficient = detail::accumulator<Scalar>;
  using LowRank = LowRankMatrix<Scalar, Backend>;

  /// The 0 x 0 matrix.
  CumulativeUpdate() = default;

  /// W0 with an update of rank 0. Copies or moves the base.
  explicit CumulativeUpdate(Storage base) : update_(base.rows(), base.cols()) {
    update_.base_columns_ = base.cols();
    update_.u_ = std::move(base);
  }

  /// W0 + U Vᵀ. Copies the base. @throws ShapeError when the shapes differ.
  CumulativeUpdate(const Storage& base, LowRank update) : update_(std::move(update)) {
    check_shapes(view_of(base));
    update_.set_base(view_of(base));
  }

  /// From a sum of a dense and a low-rank expression, such as `W0 + s * outer(U, V)`: the low-rank
  /// side becomes the update, of scale 1, and the other side is evaluated into the base.
  template <detail::LazyOperand Sum>
  explicit CumulativeUpdate(const Sum& sum) {
    const auto expression = detail::lift(sum);
    using Node = std::remove_const_t<decltype(expression)>;
    static_assert(
        detail::is_dense_and_low_rank<Node>,
        "accrete: a CumulativeUpdate is made of a dense matrix and an update of low rank: "
        "CumulativeUpdate(W0, update) or CumulativeUpdate(W0 + outer(U, V)). For a base "
        "without an update write CumulativeUpdate(expression.eval())");
    if constexpr (detail::is_dense_and_low_rank<Node>) {
      if constexpr (is_low_rank<decltype(expression.right())>) {
        *this = CumulativeUpdate(evaluated(expression.left()), LowRank(expression.right()));
      } else {
        *this = CumulativeUpdate(evaluated(expression.right()), LowRank(expression.left()));
      }
    }
  }

  CumulativeUpdate(const CumulativeUpdate& other)
      : borrowed_(other.borrowed_),
        update_(other.update_, other.rows(), other.cols(), other.capacity()),
        scale_(other.scale_) {
    update_.copy_columns(other.update_);
  }
  /// Leaves a 0 x 0 matrix behind.
  CumulativeUpdate(CumulativeUpdate&& other) noexcept { swap(other); }
  CumulativeUpdate& operator=(CumulativeUpdate other) noexcept {
    swap(other);
    return *this;
  }
  ~CumulativeUpdate() = default;

  /// Uses `base` in place, without a copy: the memory must outlive this object, and merge()
  /// writes into it. @throws ShapeError when the shapes differ.
  [[nodiscard]] static CumulativeUpdate borrow(View<Scalar> base, LowRank update) {
    CumulativeUpdate result(base, std::move(update), 0);
    result.check_shapes(base);
    return result;
  }
  [[nodiscard]] static CumulativeUpdate borrow(View<Scalar> base) {
    return borrow(base, LowRank(base.rows, base.cols));
  }

  [[nodiscard]] Index rows() const noexcept { return update_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return update_.cols(); }
  [[nodiscard]] Index rank() const noexcept { return update_.rank(); }
  [[nodiscard]] Index capacity() const noexcept { return update_.capacity(); }
  [[nodiscard]] Coefficient scale() const noexcept { return scale_; }
  void set_scale(Coefficient scale) noexcept { scale_ = scale; }

  [[nodiscard]] View<Scalar> base_view() & noexcept {
    return borrowed_ ? *borrowed_ : update_.base_view();
  }
  View<Scalar> base_view() && = delete;
  [[nodiscard]] View<const Scalar> base_view() const& noexcept {
    return borrowed_ ? View<const Scalar>(*borrowed_) : update_.base_view();
  }
  /// W0, m x n. An owned one is valid until the capacity changes. Of a temporary it is a copy, as
  /// are U and V. @throws ArgumentError for a borrowed base that is row-major; see base_view().
  [[nodiscard]] auto base() & { return Backend::matrix_view(base_view()); }
  [[nodiscard]] auto base() const& { return Backend::matrix_view(base_view()); }
  [[nodiscard]] Storage base() && { return LowRank::copy_of(std::as_const(*this).base_view()); }
  [[nodiscard]] auto U() & { return update_.U(); }
  [[nodiscard]] auto V() & { return update_.V(); }
  [[nodiscard]] auto U() const& { return update_.U(); }
  [[nodiscard]] auto V() const& { return update_.V(); }
  [[nodiscard]] Storage U() && { return std::move(update_).U(); }
  [[nodiscard]] Storage V() && { return std::move(update_).V(); }
  /// [W0 U], m x (n + r), of an owned base: [G; D] = [W0 U]ᵀ dY is one product for both parts of
  /// the backward pass. Valid until the capacity changes. @throws ArgumentError for a borrowed
  /// base.
  [[nodiscard]] auto base_and_u() const& {
    if (borrowed_) {
      ACCRETE_THROW ArgumentError("base_and_u of a CumulativeUpdate with a borrowed base: W0 and U "
                                  "do not lie in one memory; construct it with a copy of the base");
    }
    return Backend::matrix_view(view_of(update_.u_).left_columns(cols() + rank()));
  }
  auto base_and_u() && = delete; // it would be a view of a temporary
  /// U Vᵀ, without the scale.
  [[nodiscard]] LowRank& low_rank() & noexcept { return update_; }
  [[nodiscard]] const LowRank& low_rank() const& noexcept { return update_; }
  [[nodiscard]] LowRank low_rank() && { return std::move(update_); }

  /// Calls visit("base", view), visit("scale", number), visit("U", view) and visit("V", view). What
  /// is written into them becomes the value; the rank has to be set before.
  template <class Visitor>
  void visit_state(const Visitor& visitor) {
    visitor("base", base_view());
    visitor("scale", scale_);
    update_.visit_state(visitor);
  }

  void reserve(Index columns) { update_.reserve(columns); }

  /// Adds k columns that leave the matrix unchanged: the initializer fills those of U, those of V
  /// start at zero. Defined in grow/growth.hpp. @throws RankError above min(m, n).
  template <class Initializer>
  void grow(Index count, const Initializer& initializer) {
    accrete::grow(update_, count, initializer);
  }

  /// LowRankMatrix::truncate of the update.
  TruncationReport<Scalar> truncate(const TruncationOptions& options) {
    return update_.truncate(options);
  }

  /// W0 += s U Vᵀ and the update becomes empty; the matrix is unchanged to rounding. 2 m n r FLOPs.
  void merge() {
    auto& context = Context<Backend>::current();
    detail::evaluate_into(context, update_.expression(), scale_, Scalar{1}, base_view(), false);
    reset();
  }

  /// Drops the update: the matrix becomes W0. The capacity stays.
  void reset() { update_.set_rank(0); }

  /// Vᵀ X: the small product of the forward pass, worth keeping for the gradients.
  template <detail::Operand X>
  [[nodiscard]] auto project(X&& x) const& {
    return update_.v_leaf().transpose() * std::forward<X>(x);
  }
  template <detail::Operand X>
  [[nodiscard]] auto project(X&& x) && {
    return moved_in().v.transpose() * std::forward<X>(x);
  }
  /// Uᵀ dY: the small product of the backward pass.
  template <detail::Operand Y>
  [[nodiscard]] auto project_back(Y&& y) const& {
    return update_.u_leaf().transpose() * std::forward<Y>(y);
  }
  template <detail::Operand Y>
  [[nodiscard]] auto project_back(Y&& y) && {
    return moved_in().u.transpose() * std::forward<Y>(y);
  }
  /// (W0 + s U Vᵀ) X with Z = Vᵀ X kept from project(): W0 X + s U Z, or for many columns the
  /// product with the sum formed first, whichever is predicted to be faster.
  template <detail::Operand X, detail::Operand Z>
  [[nodiscard]] auto apply(X&& x, Z&& z) const& {
    const auto input = detail::lift(std::forward<X>(x));
    const auto parts = leaves();
    return kept_product(parts, sum_of(parts) * input, input, std::forward<Z>(z),
                        KeptChoice::predicted);
  }
  template <detail::Operand X, detail::Operand Z>
  [[nodiscard]] auto apply(X&& x, Z&& z) && {
    const auto input = detail::lift(std::forward<X>(x));
    const auto parts = moved_in();
    return kept_product(parts, sum_of(parts) * input, input, std::forward<Z>(z),
                        KeptChoice::predicted);
  }
  /// The same with `merged` formed from this matrix as it is now: its product with X where it was
  /// formed, W0 X + s U Z otherwise. @throws ShapeError when its shape is another.
  template <detail::Operand X, detail::Operand Z>
  [[nodiscard]] auto apply(X&& x, Z&& z, const MergedWeight<Scalar, Backend>& merged) const& {
    merged.check_shape("apply", rows(), cols());
    const auto input = detail::lift(std::forward<X>(x));
    return kept_product(leaves(), merged.expression() * input, input, std::forward<Z>(z),
                        merged.choice());
  }
  template <detail::Operand X, detail::Operand Z>
  auto apply(X&& x, Z&& z, const MergedWeight<Scalar, Backend>&& merged) const& = delete;
  template <detail::Operand X, detail::Operand Z>
  auto apply(X&& x, Z&& z, const MergedWeight<Scalar, Backend>& merged) && = delete;

  /// The sum that stands for this matrix in expressions. It refers to this matrix: entries and the
  /// scale are read at evaluation, and another rank or shape by then is a ShapeError. A temporary
  /// is moved in.
  [[nodiscard]] auto expression() const& { return sum_of(leaves()); }
  [[nodiscard]] auto expression() && { return sum_of(moved_in()); }
  [[nodiscard]] auto expression() const&& { return CumulativeUpdate(*this).expression(); }

  /// The lazy transpose W0ᵀ + s V Uᵀ.
  [[nodiscard]] auto transpose() const& { return expression().transpose(); }
  [[nodiscard]] auto transpose() && { return std::move(*this).expression().transpose(); }

 private:
  /// W0, U, V and s as leaves of expressions.
  template <class Leaf>
  struct Leaves {
    Leaf base;
    Leaf u;
    Leaf v;
    detail::Coefficient<Coefficient> scale;
  };

  CumulativeUpdate(View<Scalar> base, LowRank update, int)
      : borrowed_(base), update_(std::move(update)) {}

  void swap(CumulativeUpdate& other) noexcept {
    std::swap(borrowed_, other.borrowed_);
    update_.swap(other.update_);
    std::swap(scale_, other.scale_);
  }
  template <class Node>
  static Storage evaluated(const Node& node) {
    Storage result(node.rows(), node.cols());
    detail::evaluate_into(Context<Backend>::current(), node, Coefficient{1}, Coefficient{0},
                          view_of(result), false);
    return result;
  }
  void check_shapes(View<const Scalar> base) const {
    if (base.rows != update_.rows() || base.cols != update_.cols()) {
      detail::throw_shape_error("CumulativeUpdate", base.rows, base.cols, update_.rows(),
                                update_.cols(), "W0 and U Vᵀ must have the same shape");
    }
  }
  template <class Leaf, class Whole, class X, class Z>
  [[nodiscard]] static auto kept_product(const Leaves<Leaf>& parts, Whole whole, const X& x, Z&& z,
                                         KeptChoice choice) {
    auto update = parts.u * std::forward<Z>(z);
    auto with_kept = parts.base * x + detail::scaled(parts.scale, std::move(update));
    return Kept<Whole, decltype(with_kept)>(std::move(whole), std::move(with_kept), choice);
  }
  template <class Leaf>
  [[nodiscard]] static auto sum_of(const Leaves<Leaf>& parts) {
    return parts.base + detail::scaled(parts.scale, Outer<Leaf, Leaf>(parts.u, parts.v));
  }
  [[nodiscard]] Leaves<detail::FactorLeaf<Scalar, Backend>> leaves() const {
    using Leaf = detail::FactorLeaf<Scalar, Backend>;
    using Memory = detail::ReferencedColumns<Storage>;
    return {borrowed_
                ? Leaf(Memory(View<const Scalar>(*borrowed_)))
                : Leaf(Memory(update_.u_, rows(), detail::first_column, update_.base_columns_)),
            update_.u_leaf(), update_.v_leaf(), detail::Coefficient<Coefficient>(&scale_)};
  }
  /// Moves everything into the leaves, a borrowed base by a copy.
  [[nodiscard]] Leaves<detail::OwnedLeaf<Storage, Backend>> moved_in() {
    using Holder = detail::OwnedColumns<Storage>;
    using Leaf = detail::OwnedLeaf<Storage, Backend>;
    if (borrowed_) {
      update_.set_base(*borrowed_);
    }
    const Index r = rank();
    auto base_and_u = std::make_shared<const Storage>(std::move(update_.u_));
    auto v = std::make_shared<const Storage>(std::move(update_.v_));
    return {Leaf(Holder(base_and_u, 0, update_.base_columns_)),
            Leaf(Holder(base_and_u, update_.base_columns_, r)), Leaf(Holder(std::move(v), 0, r)),
            scale_};
  }

  std::optional<View<Scalar>> borrowed_; ///< the base otherwise lies in the update's storage
  LowRank update_;
  Coefficient scale_{1};
};

/// One line: shape, rank and scale.
template <class Traits, class Scalar, class Backend>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out,
                                             const CumulativeUpdate<Scalar, Backend>& matrix) {
  return out << "CumulativeUpdate " << matrix.rows() << " x " << matrix.cols() << ", rank "
             << matrix.rank() << ", scale " << matrix.scale();
}

ACCRETE_END_NAMESPACE

namespace Eigen::internal {

template <class Scalar, class Backend>
struct traits<accrete::CumulativeUpdate<Scalar, Backend>>
    : accrete::detail::NodeTraits<Scalar, Dynamic, Dynamic> {};

} // namespace Eigen::internal
