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
/// `W * X` is lazy; the planner applies base and update apart or merges them first, whichever is
/// faster. Growth and truncation touch the update alone. What a layer keeps of it between a forward
/// and a backward pass is a WeightPass.
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
  CumulativeUpdate() { update_.has_fixed_shape_ = true; }

  /// W0 with an update of rank 0. Copies or moves the base.
  explicit CumulativeUpdate(Storage base) : CumulativeUpdate() {
    LowRank update(base.rows(), base.cols());
    base_.swap(base);
    update_.swap(update);
  }

  /// W0 + U Vᵀ. Copies or moves both. @throws ShapeError when the shapes differ.
  CumulativeUpdate(Storage base, LowRank update) : CumulativeUpdate() {
    base_.swap(base);
    update_.swap(update);
    check_shapes();
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

  /// Shares a borrowed base.
  CumulativeUpdate(const CumulativeUpdate& other) : CumulativeUpdate() {
    LowRank update(other.update_);
    base_ = other.base_;
    borrowed_ = other.borrowed_;
    update_.swap(update);
    scale_ = other.scale_;
  }
  /// Leaves a 0 x 0 matrix behind.
  CumulativeUpdate(CumulativeUpdate&& other) noexcept : CumulativeUpdate() { swap(other); }
  CumulativeUpdate& operator=(CumulativeUpdate other) noexcept {
    swap(other);
    return *this;
  }
  ~CumulativeUpdate() = default;

  /// Uses `base` in place, without a copy: the memory must outlive this object, and merge()
  /// writes into it. @throws ShapeError when the shapes differ.
  [[nodiscard]] static CumulativeUpdate borrow(ViewOn<Scalar, Backend> base, LowRank update) {
    CumulativeUpdate result;
    result.borrowed_ = base;
    result.update_.swap(update);
    result.check_shapes();
    return result;
  }
  [[nodiscard]] static CumulativeUpdate borrow(ViewOn<Scalar, Backend> base) {
    return borrow(base, LowRank(base.rows, base.cols));
  }

  [[nodiscard]] Index rows() const noexcept { return update_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return update_.cols(); }
  [[nodiscard]] Index rank() const noexcept { return update_.rank(); }
  [[nodiscard]] Index capacity() const noexcept { return update_.capacity(); }
  [[nodiscard]] Coefficient scale() const noexcept { return scale_; }
  void set_scale(Coefficient scale) noexcept { scale_ = scale; }

  [[nodiscard]] ViewOn<Scalar, Backend> base_view() & noexcept {
    return borrowed_ ? *borrowed_ : view_of(base_);
  }
  ViewOn<Scalar, Backend> base_view() && = delete;
  [[nodiscard]] ViewOn<const Scalar, Backend> base_view() const& noexcept {
    return borrowed_ ? ViewOn<const Scalar, Backend>(*borrowed_) : view_of(base_);
  }
  /// W0, m x n. Of a temporary it is a copy, as are U and V. @throws ArgumentError for a borrowed
  /// base that is row-major; see base_view().
  [[nodiscard]] auto base() & { return Backend::matrix_view(base_view()); }
  [[nodiscard]] auto base() const& { return Backend::matrix_view(base_view()); }
  [[nodiscard]] Storage base() && { return LowRank::copy_of(std::as_const(*this).base_view()); }
  [[nodiscard]] auto U() & { return update_.U(); }
  [[nodiscard]] auto V() & { return update_.V(); }
  [[nodiscard]] auto U() const& { return update_.U(); }
  [[nodiscard]] auto V() const& { return update_.V(); }
  [[nodiscard]] Storage U() && { return std::move(update_).U(); }
  [[nodiscard]] Storage V() && { return std::move(update_).V(); }
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

  /// The sum that stands for this matrix in expressions. It refers to this matrix: entries and the
  /// scale are read at evaluation, and another rank or shape by then is a ShapeError. A temporary
  /// is moved in.
  [[nodiscard]] auto expression() const& {
    return base_leaf() +
           detail::scaled(detail::Coefficient<Coefficient>(&scale_), update_.expression());
  }
  [[nodiscard]] auto expression() && {
    using Leaf = detail::OwnedLeaf<Storage, Backend>;
    using Memory = detail::OwnedColumns<Storage>;
    Storage base = borrowed_ ? LowRank::copy_of(*borrowed_) : std::move(base_);
    const Index n = base.cols();
    return Leaf(Memory(std::move(base), n)) +
           detail::scaled(detail::Coefficient<Coefficient>(scale_),
                          std::move(update_).expression());
  }
  [[nodiscard]] auto expression() const&& { return CumulativeUpdate(*this).expression(); }

  /// The lazy transpose W0ᵀ + s V Uᵀ.
  [[nodiscard]] auto transpose() const& { return expression().transpose(); }
  [[nodiscard]] auto transpose() && { return std::move(*this).expression().transpose(); }

 private:
  void swap(CumulativeUpdate& other) noexcept {
    base_.swap(other.base_);
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
  void check_shapes() const {
    const ViewOn<const Scalar, Backend> base = base_view();
    if (base.rows != rows() || base.cols != cols()) {
      detail::throw_shape_error("CumulativeUpdate", base.rows, base.cols, rows(), cols(),
                                "W0 and U Vᵀ must have the same shape");
    }
  }
  [[nodiscard]] detail::FactorLeaf<Scalar, Backend> base_leaf() const {
    using Memory = detail::ReferencedColumns<Storage>;
    return detail::FactorLeaf<Scalar, Backend>(
        borrowed_ ? Memory(ViewOn<const Scalar, Backend>(*borrowed_)) : Memory(base_));
  }

  Storage base_; ///< unless it is borrowed
  std::optional<ViewOn<Scalar, Backend>> borrowed_;
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
