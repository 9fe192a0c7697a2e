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

/// The matrix W0 + s U Vᵀ: a base, owned or borrowed, and an owned low-rank update of it.
///
/// `W * X` is lazy; the planner applies base and update apart or merges them first, whichever is
/// faster. Growth and truncation touch the update alone.
template <class MatrixScalar, class MatrixBackend = Cpu>
class CumulativeUpdate {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using Storage = Matrix<Scalar, Backend>;
  using Coefficient = detail::accumulator<Scalar>;
  using LowRank = LowRankMatrix<Scalar, Backend>;

  /// W0 with an update of rank 0. Copies or moves the base.
  explicit CumulativeUpdate(Storage base)
      : base_(std::move(base)), update_(base_.rows(), base_.cols()) {}

  /// W0 + U Vᵀ. @throws ShapeError when the shapes differ.
  CumulativeUpdate(Storage base, LowRank update)
      : base_(std::move(base)), update_(std::move(update)) {
    check_shapes();
  }

  /// Uses `base` in place, without a copy: the memory must outlive this object, and merge()
  /// writes into it. @throws ShapeError when the shapes differ.
  [[nodiscard]] static CumulativeUpdate borrow(View<Scalar> base, LowRank update) {
    CumulativeUpdate result(base, std::move(update), 0);
    result.check_shapes();
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
    return borrowed_ ? *borrowed_ : view_of(base_);
  }
  [[nodiscard]] View<const Scalar> base_view() const noexcept {
    return borrowed_ ? View<const Scalar>(*borrowed_) : view_of(base_);
  }
  /// W0, m x n; column-major.
  [[nodiscard]] auto base() noexcept { return Backend::matrix_view(base_view()); }
  [[nodiscard]] auto base() const noexcept { return Backend::matrix_view(base_view()); }
  [[nodiscard]] auto U() noexcept { return update_.U(); }
  [[nodiscard]] auto V() noexcept { return update_.V(); }
  [[nodiscard]] auto U() const noexcept { return update_.U(); }
  [[nodiscard]] auto V() const noexcept { return update_.V(); }
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
  /// W0 X + s U Z with Z = Vᵀ X kept from project().
  template <detail::Operand X, detail::Operand Z>
  [[nodiscard]] auto apply(X&& x, Z&& z) const {
    return base_leaf() * std::forward<X>(x) + scale_ * (u_leaf() * std::forward<Z>(z));
  }

  /// The sum that stands for this matrix in expressions.
  [[nodiscard]] auto expression() const& { return base_leaf() + scale_ * update_.expression(); }
  [[nodiscard]] auto expression() && {
    using Holder = detail::OwnedColumns<Storage>;
    if (borrowed_) {
      base_ = Backend::matrix_view(View<const Scalar>(*borrowed_));
    }
    const Index n = base_.cols();
    return Dense<Holder, Backend>(Holder(std::move(base_), n)) +
           scale_ * std::move(update_).expression();
  }

  /// The lazy transpose W0ᵀ + s V Uᵀ.
  [[nodiscard]] auto transpose() const& { return expression().transpose(); }

 private:
  CumulativeUpdate(View<Scalar> base, LowRank update, int)
      : borrowed_(base), update_(std::move(update)) {}

  void check_shapes() const {
    const View<const Scalar> base = base_view();
    if (base.rows != update_.rows() || base.cols != update_.cols()) {
      detail::throw_shape_error("CumulativeUpdate", base.rows, base.cols, update_.rows(),
                                update_.cols(), "W0 and U Vᵀ must have the same shape");
    }
  }
  [[nodiscard]] auto base_leaf() const { return detail::factor_leaf<Scalar, Backend>(base_view()); }
  [[nodiscard]] auto u_leaf() const {
    return detail::factor_leaf<Scalar, Backend>(update_.u_view());
  }
  [[nodiscard]] auto v_leaf() const {
    return detail::factor_leaf<Scalar, Backend>(update_.v_view());
  }

  Storage base_;
  std::optional<View<Scalar>> borrowed_;
  LowRank update_;
  Coefficient scale_{1};
};

ACCRETE_END_NAMESPACE
