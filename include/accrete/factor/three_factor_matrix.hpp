// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>
#include <accrete/factor/truncation.hpp>

#include <iosfwd>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The leading r x r block of a storage, of which its matrix keeps r.
template <class Storage>
class ReferencedCore {
 public:
  using Scalar = typename Storage::Scalar;
  static constexpr int rows_at_compile_time = Eigen::Dynamic;
  static constexpr int cols_at_compile_time = Eigen::Dynamic;

  ReferencedCore(const Storage& storage, const Index& rank)
      : storage_(&storage), current_(&rank), rank_(rank) {}
  [[nodiscard]] Index rows() const noexcept { return rank_; }
  [[nodiscard]] Index cols() const noexcept { return rank_; }
  [[nodiscard]] const_view<Storage> view() const {
    if (*current_ != rank_) {
      throw_resized(rank_, rank_, *current_, *current_);
    }
    return view_of(*storage_).block(0, 0, rank_, rank_);
  }

 private:
  const Storage* storage_;
  const Index* current_;
  Index rank_; ///< as it was when the expression was built
};

} // namespace detail

/// The matrix U S Vᵀ, U m x r, V n x r and a core S, r x r and not diagonal in general, that owns
/// its three parts: the form of methods that keep orthonormal bases and train what stands between
/// them.
///
/// The capacity may exceed the rank r: a change of the rank within it moves nothing. In expressions
/// it is a low-rank leaf, as LowRankMatrix is. What a layer keeps of it between a forward and a
/// backward pass is a ThreeFactorPass. Memory: (m + n + capacity) * capacity scalars.
template <class MatrixScalar, class MatrixBackend = Cpu>
class ThreeFactorMatrix
    : public detail::AssignableMatrix<ThreeFactorMatrix<MatrixScalar, MatrixBackend>> {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using Storage = Matrix<Scalar, Backend>;
  using View = ViewOn<Scalar, Backend>;
  using ConstView = ViewOn<const Scalar, Backend>;

  /// The 0 x 0 matrix.
  ThreeFactorMatrix() = default;

  /// The zero matrix of rank 0 with room for `capacity` columns. @throws ShapeError for negative
  /// sizes.
  ThreeFactorMatrix(Index rows, Index cols, Index capacity = 0) {
    if (rows < 0 || cols < 0 || capacity < 0) {
      ACCRETE_THROW ShapeError("ThreeFactorMatrix of " + detail::shape_text(rows, cols) +
                               " with capacity " + std::to_string(capacity) +
                               ": sizes must not be negative");
    }
    u_ = Storage(rows, capacity);
    core_ = Storage(capacity, capacity);
    v_ = Storage(cols, capacity);
  }

  /// Takes over the parts: u is m x r, core r x r, v n x r. @throws ShapeError for other shapes.
  ThreeFactorMatrix(Storage u, Storage core, Storage v) {
    if (core.rows() != core.cols() || core.rows() != u.cols() || core.cols() != v.cols()) {
      ACCRETE_THROW ShapeError("ThreeFactorMatrix of U " + detail::shape_text(u.rows(), u.cols()) +
                               ", S " + detail::shape_text(core.rows(), core.cols()) + ", V " +
                               detail::shape_text(v.rows(), v.cols()) +
                               ": all need the same number of columns, the rank");
    }
    u_.swap(u);
    core_.swap(core);
    v_.swap(v);
    rank_ = u_.cols();
  }

  /// The matrix that was decomposed: its singular values are the diagonal of the core.
  explicit ThreeFactorMatrix(SVD<Scalar, Backend> parts) {
    u_.swap(parts.U);
    v_.swap(parts.V);
    core_ = Storage(u_.cols(), u_.cols());
    rank_ = u_.cols();
    set_diagonal(parts.singular_values);
  }

  ThreeFactorMatrix(const ThreeFactorMatrix&) = default;
  /// Leaves a 0 x 0 matrix behind.
  ThreeFactorMatrix(ThreeFactorMatrix&& other) noexcept { swap(other); }
  ThreeFactorMatrix& operator=(ThreeFactorMatrix other) noexcept {
    swap(other);
    return *this;
  }
  ~ThreeFactorMatrix() = default;

  [[nodiscard]] Index rows() const noexcept { return u_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return v_.rows(); }
  [[nodiscard]] Index rank() const noexcept { return rank_; }
  [[nodiscard]] Index capacity() const noexcept { return u_.cols(); }

  /// The parts in use, m x r, r x r and n x r: views, valid until the capacity changes.
  [[nodiscard]] auto U() & { return Backend::matrix_view(u_view()); }
  [[nodiscard]] auto S() & { return Backend::matrix_view(core_view()); }
  [[nodiscard]] auto V() & { return Backend::matrix_view(v_view()); }
  [[nodiscard]] auto U() const& { return Backend::matrix_view(u_view()); }
  [[nodiscard]] auto S() const& { return Backend::matrix_view(core_view()); }
  [[nodiscard]] auto V() const& { return Backend::matrix_view(v_view()); }
  auto U() && = delete;
  auto S() && = delete;
  auto V() && = delete;

  /// The same as strided views, for kernels.
  [[nodiscard]] View u_view() & noexcept { return view_of(u_).left_columns(rank_); }
  [[nodiscard]] View core_view() & noexcept { return view_of(core_).block(0, 0, rank_, rank_); }
  [[nodiscard]] View v_view() & noexcept { return view_of(v_).left_columns(rank_); }
  [[nodiscard]] ConstView u_view() const& noexcept { return view_of(u_).left_columns(rank_); }
  [[nodiscard]] ConstView core_view() const& noexcept {
    return view_of(core_).block(0, 0, rank_, rank_);
  }
  [[nodiscard]] ConstView v_view() const& noexcept { return view_of(v_).left_columns(rank_); }
  View u_view() && = delete;
  View core_view() && = delete;
  View v_view() && = delete;

  /// Calls visit("U", view), visit("S", view) and visit("V", view) for the parts in use. What is
  /// written into them becomes the value; the rank has to be set before.
  template <class Visitor>
  void visit_state(const Visitor& visitor) {
    visitor("U", u_view());
    visitor("S", core_view());
    visitor("V", v_view());
  }

  /// Makes room for `columns` columns; never shrinks.
  void reserve(Index columns) {
    if (columns > capacity()) {
      reallocate(columns);
    }
  }
  /// Gives back what the rank does not need.
  void shrink_to_fit() {
    if (capacity() > rank_) {
      reallocate(rank_);
    }
  }

  /// Uses the leading `rank` columns and the leading block of the core: drops some, or takes spare
  /// ones into use, which become zero. @throws RankError beyond the capacity.
  void set_rank(Index rank) {
    check_rank(rank);
    if (rank > rank_) {
      const Index added = rank - rank_;
      zero(view_of(u_).columns(rank_, added));
      zero(view_of(v_).columns(rank_, added));
      zero(view_of(core_).block(0, rank_, rank, added));
      zero(view_of(core_).block(rank_, 0, added, rank_));
    }
    rank_ = rank;
  }

  /// All columns up to the capacity. Those beyond the rank are no part of the matrix: room to
  /// prepare others in, which use_rank() then takes as they are.
  [[nodiscard]] View all_u_view() & noexcept { return view_of(u_); }
  [[nodiscard]] View all_core_view() & noexcept { return view_of(core_); }
  [[nodiscard]] View all_v_view() & noexcept { return view_of(v_); }

  /// As set_rank(), but spare columns come with what was written into them.
  /// @throws RankError beyond the capacity.
  void use_rank(Index rank) {
    check_rank(rank);
    rank_ = rank;
  }

  /// Makes the columns of U and V orthonormal, and leaves the matrix as it is: the triangular
  /// factors of both go into the core. O((m + n) r²).
  /// @throws ShapeError for r above min(m, n), NumericError for NaN or infinity.
  void orthogonalize() {
    auto& device = context().device();
    detail::Frame<Backend> frame(device.workspace());
    const auto q = frame.template matrix<Scalar>(rows(), rank_);
    const auto p = frame.template matrix<Scalar>(cols(), rank_);
    const auto r_u = frame.template matrix<Scalar>(rank_, rank_);
    const auto r_v = frame.template matrix<Scalar>(rank_, rank_);
    const auto product = frame.template matrix<Scalar>(rank_, rank_);
    detail::thin_qr_into<Backend, Scalar>(device, u_view(), q, r_u);
    detail::thin_qr_into<Backend, Scalar>(device, v_view(), p, r_v);
    multiply(r_u, core_view(), product);
    multiply(product, r_v.transposed(), core_view());
    copy(q, u_view());
    copy(p, v_view());
  }

  /// With the SVD of the core, S = P Σ Qᵀ: U <- U P, V <- V Q, S <- Σ, cut to the rank that the
  /// options ask for. For orthonormal U and V, see orthogonalize(), this is the best approximation
  /// of that rank. Without a cut it makes the core diagonal; set_rank(policy(values)) then cuts as
  /// any rank policy says. The report's basis is left = P, right = Q: the gradient of the core, and
  /// what is linear in it, moves as Pᵀ dS Q. O((m + n) r² + r³).
  /// @throws ArgumentError, NumericError for NaN or infinity.
  TruncationReport<Scalar> truncate(const TruncationOptions& options = {}) {
    options.validate();
    TruncationReport<Scalar> report;
    report.rank_before = rank_;
    if (rank_ == 0) {
      return report;
    }
    auto& device = context().device();
    detail::Frame<Backend> frame(device.workspace());
    const auto p = frame.template matrix<Scalar>(rank_, rank_);
    const auto q = frame.template matrix<Scalar>(rank_, rank_);
    const auto values = frame.template matrix<Scalar>(rank_, 1);
    Kernels<Backend>::svd(device, std::as_const(*this).core_view(), p, values, q);
    report.singular_values = detail::downloaded_values<Backend, Scalar>(device, values.as_const());
    const auto choice =
        detail::choose_rank(report.singular_values, options, detail::rank_rounding<Scalar>(rank_));
    report.rank_after = choice.rank;
    report.discarded_energy = choice.discarded_energy;
    report.basis.left = to_host(p.left_columns(choice.rank));
    report.basis.right = to_host(q.left_columns(choice.rank));
    rotate(frame, u_view(), p.left_columns(choice.rank));
    rotate(frame, v_view(), q.left_columns(choice.rank));
    rank_ = choice.rank;
    set_diagonal(report.singular_values);
    return report;
  }

  /// The singular values of the core: those of the matrix, for orthonormal U and V.
  [[nodiscard]] SingularValues singular_values() const {
    return accrete::singular_values(core_view());
  }

  /// (U S) Vᵀ with a copy of V. 2 m r² FLOPs.
  [[nodiscard]] LowRankMatrix<Scalar, Backend> low_rank() const {
    LowRankMatrix<Scalar, Backend> result(rows(), cols(), rank_);
    result.set_rank(rank_);
    multiply(u_view(), core_view(), result.u_view());
    copy(v_view(), result.v_view());
    return result;
  }

  [[nodiscard]] auto transpose() const& { return expression().transpose(); }
  [[nodiscard]] auto transpose() && { return std::move(*this).expression().transpose(); }

  /// The low-rank expression U (V Sᵀ)ᵀ that stands for this matrix. It refers to this matrix, whose
  /// parts are read at evaluation: another rank or shape by then is a ShapeError. A temporary is
  /// moved in.
  [[nodiscard]] auto expression() const& {
    using Core = Dense<detail::ReferencedCore<Storage>, Backend>;
    const auto leaf = [&](const Storage& factor) {
      return detail::FactorLeaf<Scalar, Backend>(detail::ReferencedColumns<Storage>(factor, rank_));
    };
    return outer_of(leaf(u_), Core(detail::ReferencedCore<Storage>(core_, rank_)), leaf(v_));
  }
  [[nodiscard]] auto expression() && {
    ThreeFactorMatrix taken(std::move(*this));
    const Index rank = taken.rank_;
    const auto leaf = [rank](Storage& part) {
      return detail::OwnedLeaf<Storage, Backend>(
          detail::OwnedColumns<Storage>(std::move(part), rank));
    };
    Storage core(rank, rank);
    copy(std::as_const(taken).core_view(), view_of(core));
    return outer_of(leaf(taken.u_), leaf(core), leaf(taken.v_));
  }
  [[nodiscard]] auto expression() const&& { return ThreeFactorMatrix(*this).expression(); }

 private:
  template <class Left, class Core, class Right>
  static auto outer_of(const Left& u, const Core& core, const Right& v) {
    const auto right = detail::product(v, detail::transposed(core));
    return Outer<Left, std::remove_const_t<decltype(right)>>(u, right);
  }

  void check_rank(Index rank) const {
    if (rank < 0 || rank > capacity()) {
      ACCRETE_THROW RankError("rank " + std::to_string(rank) + " is outside the capacity of " +
                              std::to_string(capacity()) + " columns; reserve() more first");
    }
  }
  static Context<Backend>& context() { return Context<Backend>::current(); }
  static void copy(ConstView from, View to) {
    detail::copy_into<Backend, Scalar>(context().device(), from, to);
  }
  static void multiply(ConstView a, ConstView b, View c) {
    detail::multiply<Backend, Scalar>(context().device(), a, b, c);
  }
  static void zero(View view) {
    if (!view.empty()) {
      Kernels<Backend>::fill(context().device(), Scalar{0}, view);
    }
  }
  /// The leading columns of a factor become factor * small.
  template <class Frame>
  static void rotate(Frame& frame, View factor, ConstView small) {
    const auto product = frame.template matrix<Scalar>(factor.rows, small.cols);
    multiply(factor, small, product);
    copy(product, factor.left_columns(small.cols));
  }
  void set_diagonal(const SingularValues& values) {
    const auto core = core_view();
    if (core.empty()) {
      return;
    }
    auto& device = context().device();
    zero(core);
    Kernels<Backend>::add_diagonal(device, Scalar{1}, core);
    detail::scale_columns<Backend, Scalar>(device, core, {values.begin(), values.end()}, core);
  }
  void reallocate(Index capacity) {
    ThreeFactorMatrix other(rows(), cols(), capacity);
    other.rank_ = rank_;
    copy(std::as_const(*this).u_view(), other.u_view());
    copy(std::as_const(*this).core_view(), other.core_view());
    copy(std::as_const(*this).v_view(), other.v_view());
    swap(other);
  }
  void swap(ThreeFactorMatrix& other) noexcept {
    u_.swap(other.u_);
    core_.swap(other.core_);
    v_.swap(other.v_);
    std::swap(rank_, other.rank_);
  }

  Storage u_, core_, v_;
  Index rank_ = 0;
};

/// One line: shape, rank and capacity.
template <class Traits, class Scalar, class Backend>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out,
                                             const ThreeFactorMatrix<Scalar, Backend>& matrix) {
  return out << "ThreeFactorMatrix " << matrix.rows() << " x " << matrix.cols() << ", rank "
             << matrix.rank() << ", capacity " << matrix.capacity();
}

ACCRETE_END_NAMESPACE

namespace Eigen::internal {

template <class Scalar, class Backend>
struct traits<accrete::ThreeFactorMatrix<Scalar, Backend>>
    : accrete::detail::NodeTraits<Scalar, Dynamic, Dynamic> {};

} // namespace Eigen::internal
