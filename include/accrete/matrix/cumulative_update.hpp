// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/matrix/low_rank_matrix.hpp>

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

/// The matrix W0 + s U Vᵀ: a base, owned or borrowed, and an owned low-rank update of it.
///
/// `W * X` is lazy; the planner applies base and update apart, together or merges them first,
/// whichever is faster. An owned base and U lie in one memory, [W0 U] with spare columns, so that
/// one product can read both. Growth within the capacity and truncation touch the update alone;
/// beyond the capacity the base moves with U: reserve() what will be needed.
template <class MatrixScalar, class MatrixBackend = Cpu>
class CumulativeUpdate {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using Storage = Matrix<Scalar, Backend>;
  using Coefficient = detail::accumulator<Scalar>;
  using LowRank = LowRankMatrix<Scalar, Backend>;

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

  CumulativeUpdate(const CumulativeUpdate& other)
      : borrowed_(other.borrowed_),
        update_(other.update_.empty_one(other.rows(), other.cols(), other.capacity())),
        scale_(other.scale_) {
    update_.copy_columns(other.update_, other.capacity());
  }
  CumulativeUpdate(CumulativeUpdate&&) noexcept = default;
  CumulativeUpdate& operator=(CumulativeUpdate other) noexcept {
    borrowed_ = other.borrowed_;
    update_.swap(other.update_);
    scale_ = other.scale_;
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

  [[nodiscard]] View<Scalar> base_view() noexcept {
    return borrowed_ ? *borrowed_ : update_.base_view();
  }
  [[nodiscard]] View<const Scalar> base_view() const noexcept {
    return borrowed_ ? View<const Scalar>(*borrowed_) : update_.base_view();
  }
  /// W0, m x n; column-major. An owned one is valid until the capacity changes.
  [[nodiscard]] auto base() noexcept { return Backend::matrix_view(base_view()); }
  [[nodiscard]] auto base() const noexcept { return Backend::matrix_view(base_view()); }
  [[nodiscard]] auto U() noexcept { return update_.U(); }
  [[nodiscard]] auto V() noexcept { return update_.V(); }
  [[nodiscard]] auto U() const noexcept { return update_.U(); }
  [[nodiscard]] auto V() const noexcept { return update_.V(); }
  /// [W0 U], m x (n + r), of an owned base: [G; D] = [W0 U]ᵀ dY is one product for both parts of
  /// the backward pass. Valid until the capacity changes. @throws ArgumentError for a borrowed
  /// base.
  [[nodiscard]] auto base_and_u() const {
    if (borrowed_) {
      throw ArgumentError(
          "accrete: base_and_u of a CumulativeUpdate with a borrowed base: W0 and U "
          "do not lie in one memory; construct it with a copy of the base");
    }
    return Backend::matrix_view(view_of(update_.u_).left_columns(cols() + rank()));
  }
  /// U Vᵀ, without the scale.
  [[nodiscard]] LowRank& low_rank() noexcept { return update_; }
  [[nodiscard]] const LowRank& low_rank() const noexcept { return update_; }

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
  [[nodiscard]] auto project(X&& x) const {
    return v_leaf().transpose() * std::forward<X>(x);
  }
  /// Uᵀ dY: the small product of the backward pass.
  template <detail::Operand Y>
  [[nodiscard]] auto project_back(Y&& y) const {
    return u_leaf().transpose() * std::forward<Y>(y);
  }
  /// (W0 + s U Vᵀ) X with Z = Vᵀ X kept from project(): W0 X + s U Z, or for many columns the
  /// product with the sum formed first, whichever is predicted to be faster.
  template <detail::Operand X, detail::Operand Z>
  [[nodiscard]] auto apply(X&& x, Z&& z) const {
    const auto input = detail::lift(std::forward<X>(x));
    return kept_product(expression() * input, input, std::forward<Z>(z), KeptChoice::predicted);
  }
  /// The same with `merged` formed from this matrix as it is now: its product with X where it was
  /// formed, W0 X + s U Z otherwise. @throws ShapeError when its shape is another.
  template <detail::Operand X, detail::Operand Z>
  [[nodiscard]] auto apply(X&& x, Z&& z, const MergedWeight<Scalar, Backend>& merged) const {
    merged.check_shape("apply", rows(), cols());
    const auto input = detail::lift(std::forward<X>(x));
    return kept_product(merged.expression() * input, input, std::forward<Z>(z), merged.choice());
  }

  /// The sum that stands for this matrix in expressions.
  [[nodiscard]] auto expression() const& { return base_leaf() + scale_ * update_.expression(); }
  [[nodiscard]] auto expression() && {
    using Holder = detail::OwnedColumns<Storage>;
    using Leaf = Dense<Holder, Backend>;
    if (borrowed_) {
      update_.set_base(*borrowed_);
    }
    const Index r = rank();
    auto base_and_u = std::make_shared<const Storage>(std::move(update_.u_));
    auto v = std::make_shared<const Storage>(std::move(update_.v_));
    return Leaf(Holder(base_and_u, 0, update_.base_columns_)) +
           scale_ * Outer<Leaf, Leaf>(Leaf(Holder(base_and_u, update_.base_columns_, r)),
                                      Leaf(Holder(std::move(v), 0, r)));
  }

  /// The lazy transpose W0ᵀ + s V Uᵀ.
  [[nodiscard]] auto transpose() const& { return expression().transpose(); }

 private:
  CumulativeUpdate(View<Scalar> base, LowRank update, int)
      : borrowed_(base), update_(std::move(update)) {}

  void check_shapes(View<const Scalar> base) const {
    if (base.rows != update_.rows() || base.cols != update_.cols()) {
      detail::throw_shape_error("CumulativeUpdate", base.rows, base.cols, update_.rows(),
                                update_.cols(), "W0 and U Vᵀ must have the same shape");
    }
  }
  template <class Whole, class X, class Z>
  [[nodiscard]] auto kept_product(Whole whole, const X& x, Z&& z, KeptChoice choice) const {
    auto with_kept = base_leaf() * x + scale_ * (u_leaf() * std::forward<Z>(z));
    return Kept<Whole, decltype(with_kept)>(std::move(whole), std::move(with_kept), choice);
  }
  [[nodiscard]] auto base_leaf() const { return detail::factor_leaf<Scalar, Backend>(base_view()); }
  [[nodiscard]] auto u_leaf() const {
    return detail::factor_leaf<Scalar, Backend>(update_.u_view());
  }
  [[nodiscard]] auto v_leaf() const {
    return detail::factor_leaf<Scalar, Backend>(update_.v_view());
  }

  std::optional<View<Scalar>> borrowed_; ///< the base otherwise lies in the update's storage
  LowRank update_;
  Coefficient scale_{1};
};

ACCRETE_END_NAMESPACE
