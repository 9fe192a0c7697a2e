// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/incremental_svd_state.hpp>
#include <accrete/factor/updatable_svd.hpp>

#include <algorithm>
#include <cmath>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// U diag(singular values) Vᵀ of an m x n matrix X that is seen in pieces, truncated to
/// `max_rank` or the tolerance after each piece.
///
/// Updates are those of Brand (2006), "Fast low-rank modifications of the thin singular value
/// decomposition", by blocks: O((m + n) (r + b)² + (r + b)³) for b columns at rank r; an appended
/// block leaves most rows of V alone. Memory 2 (m + n) (r + b). What the truncations lose adds up;
/// error_bound() tells. Signs, and bases of equal singular values, are not determined.
/// Every operation checks shapes and NaN, and computes all it needs, before it changes anything:
/// where memory runs out in the middle, the decomposition is that of before the update or of after
/// it, and of a part of the update only where a block is wider than X is high.
template <class Scalar, class Backend = Cpu>
class IncrementalSVD {
 public:
  using Options = IncrementalSVDOptions;
  using State = IncrementalSVDState<Scalar>;
  using Storage = Matrix<Scalar, Backend>;
  using Block = ConstMatrixRef<Scalar, Backend>;

  /// The rows x 0 matrix. @throws ShapeError, ArgumentError
  explicit IncrementalSVD(Index rows, const Options& options = {}) : options_(options) {
    options.validate();
    if (rows < 0) {
      ACCRETE_THROW ShapeError("IncrementalSVD: " + std::to_string(rows) +
                               " rows; the number of rows must not be negative");
    }
    configure();
    svd_.left = Basis(rows);
  }

  /// Goes on from a state, bit for bit. @throws ShapeError, ArgumentError, NumericError
  explicit IncrementalSVD(const State& state) : options_(state.options) {
    state.validate();
    configure();
    const Storage u = uploaded(state.U);
    const Storage v = uploaded(state.V);
    svd_.left.prepare_value(device(), view_of(u));
    svd_.left.commit();
    svd_.right.prepare_value(device(), view_of(v));
    svd_.right.commit();
    svd_.values.assign(state.singular_values.begin(), state.singular_values.end());
    svd_.cols = state.cols;
    svd_.updates = state.updates;
    svd_.loss = {state.settled_error, state.run_error, static_cast<Run>(state.run)};
  }

  IncrementalSVD(const IncrementalSVD&) = default;
  /// Leaves a 0 x 0 matrix behind.
  IncrementalSVD(IncrementalSVD&& other) noexcept : options_(other.options_) {
    configure();
    swap(other);
  }
  IncrementalSVD& operator=(IncrementalSVD other) noexcept {
    swap(other);
    return *this;
  }
  ~IncrementalSVD() = default;

  /// All that the next update depends on, in host memory; to save, or to send elsewhere.
  [[nodiscard]] State state() const {
    if (orthogonality() > State::most_departure()) { // updates far between checks
      svd_.restore();
    }
    State state{.options = options_, .cols = cols(), .singular_values = svd_.values};
    state.U = downloaded(svd_.left);
    state.V = downloaded(svd_.right);
    state.updates = svd_.updates;
    state.settled_error = svd_.loss.settled;
    state.run_error = svd_.loss.current;
    state.run = static_cast<int>(svd_.loss.run);
    return state;
  }

  [[nodiscard]] const Options& options() const noexcept { return options_; }
  [[nodiscard]] Index rows() const noexcept { return svd_.left.rows(); }
  [[nodiscard]] Index cols() const noexcept { return svd_.cols; }
  [[nodiscard]] Index rank() const noexcept { return svd_.rank(); }
  /// Descending.
  [[nodiscard]] SingularValues singular_values() const { return svd_.values; }
  /// m x r. Valid until the next update; of a temporary a copy.
  [[nodiscard]] auto U() const& {
    return Backend::matrix_view(svd_.left.materialize(device()).as_const());
  }
  [[nodiscard]] Storage U() && { return Storage(U()); }
  /// n x r; applies what was put off. Valid until the next update. @throws ArgumentError
  [[nodiscard]] auto V() const& {
    require_v("V");
    return Backend::matrix_view(svd_.right.materialize(device()).as_const());
  }
  [[nodiscard]] Storage V() && { return Storage(V()); }

  /// U diag(singular values) Vᵀ with balanced factors, U sqrt(S) and V sqrt(S).
  /// @throws ArgumentError without V
  [[nodiscard]] LowRankMatrix<Scalar, Backend> low_rank() const {
    require_v("low_rank");
    LowRankMatrix<Scalar, Backend> result(rows(), cols(), rank());
    result.set_rank(rank());
    std::vector<double> roots(svd_.values.size());
    std::ranges::transform(svd_.values, roots.begin(),
                           [](double value) { return std::sqrt(value); });
    const auto scale = [&](detail::LazyBasis<Scalar, Backend>& basis,
                           ViewOn<Scalar, Backend> target) {
      detail::scale_columns<Backend, Scalar>(device(), basis.materialize(device()), roots, target);
    };
    scale(svd_.left, result.u_view());
    scale(svd_.right, result.v_view());
    return result;
  }
  explicit operator LowRankMatrix<Scalar, Backend>() const { return low_rank(); }

  /// U diag(singular values) Vᵀ, m x n. O(m n r). @throws ArgumentError without V
  [[nodiscard]] Storage reconstruct() const {
    require_v("reconstruct");
    Storage result(rows(), cols());
    if (result.size() > 0) {
      detail::Frame<Backend> frame(device().workspace());
      detail::multiply<Backend, Scalar>(device(), svd_.scaled_left(frame),
                                        svd_.right.materialize(device()).transposed(),
                                        view_of(result));
    }
    return result;
  }

  /// Coordinates Uᵀ x of the columns of x, m x b, in the left singular vectors: r x b.
  /// @throws ShapeError
  [[nodiscard]] Storage project(const Block& x) const {
    const ViewOn<const Scalar, Backend> b = view_of(x);
    check_rows("project", "the block", b, rows());
    Storage result(rank(), b.cols);
    if (result.size() > 0) {
      detail::multiply<Backend, Scalar>(device(), svd_.left.materialize(device()).transposed(), b,
                                        view_of(result));
    }
    return result;
  }

  /// x - U Uᵀ x, the part of the columns of x, m x b, that the left singular vectors do not span.
  /// @throws ShapeError
  [[nodiscard]] Storage residual(const Block& x) const {
    const Storage coordinates = project(x);
    Storage result(rows(), view_of(x).cols);
    detail::copy_into<Backend, Scalar>(device(), view_of(x), view_of(result));
    if (coordinates.size() > 0) {
      Kernels<Backend>::gemm(device(), Scalar{-1}, svd_.left.materialize(device()).as_const(),
                             view_of(coordinates), Scalar{1}, view_of(result));
    }
    return result;
  }

  /// Bound of the Frobenius norm of X - U diag(values) Vᵀ: truncations and rounding. Truncations
  /// of a run of appended columns (or rows) are orthogonal to each other, so their squares add;
  /// all others add by the triangle inequality. The share of rounding is an estimate of its size
  /// with a margin, not a proof.
  [[nodiscard]] double error_bound() const noexcept { return svd_.loss.bound(); }

  /// Largest Frobenius norm of UᵀU - I and VᵀV - I over all columns. O((m + n) r²).
  [[nodiscard]] double orthogonality() const { return svd_.orthogonality(); }

  /// X <- [X, block], block m x b. @throws ShapeError, NumericError
  void append_columns(const Block& block) {
    const ViewOn<const Scalar, Backend> b = view_of(block);
    check_rows("append_columns", "the block", b, rows());
    check_finite("IncrementalSVD append_columns", b);
    if (rows() == 0) {
      svd_.cols += b.cols;
      svd_.right = Basis(options_.keep_v ? cols() : 0);
      return;
    }
    for (Index first = 0; first < b.cols; first += rows()) { // a wider piece has no thin QR
      const Index count = (std::min)(rows(), b.cols - first);
      svd_.append(b.columns(first, count), Run::columns);
    }
  }

  /// X <- [X; block], block b x n. @throws ShapeError, NumericError, ArgumentError without V
  void append_rows(const Block& block) {
    require_v("append_rows");
    const ViewOn<const Scalar, Backend> b = view_of(block).transposed();
    if (b.rows != cols()) {
      ACCRETE_THROW ShapeError(
          "IncrementalSVD append_rows: the block is " + detail::shape_text(b.cols, b.rows) +
          " but X has " + std::to_string(cols()) + " columns; append blocks of that many columns");
    }
    check_finite("IncrementalSVD append_rows", b);
    if (cols() == 0) {
      svd_.left = Basis(rows() + b.cols);
      return;
    }
    for (Index first = 0; first < b.cols; first += cols()) {
      svd_.append(b.columns(first, (std::min)(cols(), b.cols - first)), Run::rows);
    }
  }

  /// X <- X + A Bᵀ, A m x k, B n x k. @throws ShapeError, NumericError, ArgumentError without V
  void add(const Block& A, const Block& B) {
    require_v("add");
    const ViewOn<const Scalar, Backend> a = view_of(A);
    const ViewOn<const Scalar, Backend> b = view_of(B);
    check_rows("add", "A", a, rows());
    check_rows("add", "B", b, cols());
    if (a.cols != b.cols) {
      ACCRETE_THROW ShapeError("IncrementalSVD add: A is " + detail::shape_text(a.rows, a.cols) +
                               " and B " + detail::shape_text(b.rows, b.cols) +
                               "; both need the same number of columns");
    }
    check_finite("IncrementalSVD add, A", a);
    check_finite("IncrementalSVD add, B", b);
    add_views(a, b);
  }

  /// Replaces the columns from `first` on by `columns`, m x b.
  /// @throws ShapeError, NumericError, ArgumentError without V
  void revise(Index first, const Block& columns) {
    require_v("revise");
    const ViewOn<const Scalar, Backend> c = view_of(columns);
    check_rows("revise", "the block", c, rows());
    check_range("revise", first, c.cols);
    check_finite("IncrementalSVD revise", c);
    detail::Frame<Backend> frame(device().workspace());
    const auto difference = detail::temporary<Scalar>(frame, rows(), c.cols);
    const auto selection = detail::temporary<Scalar>(frame, cols(), c.cols);
    detail::copy_into<Backend, Scalar>(device(), c, difference);
    if (rank() > 0 && !c.empty()) {
      const ViewOn<const Scalar, Backend> v =
          svd_.right.materialize(device()).block(first, 0, c.cols, rank());
      Kernels<Backend>::gemm(device(), Scalar{-1}, svd_.scaled_left(frame).as_const(),
                             v.transposed(), Scalar{1}, difference);
    }
    if (!selection.empty()) {
      Kernels<Backend>::fill(device(), Scalar{0}, selection);
      Kernels<Backend>::add_diagonal(device(), Scalar{1},
                                     selection.block(first, 0, c.cols, c.cols));
    }
    add_views(difference, selection);
  }

  /// Removes `count` columns from `first` on. @throws ShapeError, ArgumentError without V
  void downdate(Index first, Index count) {
    require_v("downdate");
    check_range("downdate", first, count);
    detail::Frame<Backend> frame(device().workspace());
    const auto v = svd_.right.materialize(device());
    const auto rest = detail::temporary<Scalar>(frame, cols() - count, rank());
    const Index after = cols() - first - count;
    detail::copy_into<Backend, Scalar>(device(), v.block(0, 0, first, rank()),
                                       rest.block(0, 0, first, rank()));
    detail::copy_into<Backend, Scalar>(device(), v.block(first + count, 0, after, rank()),
                                       rest.block(first, 0, after, rank()));
    svd_.assign(frame, svd_.scaled_left(frame), rest);
  }

  /// X <- factor X, 0 <= factor <= 1: older columns weigh less. @throws ArgumentError
  void forget(double factor) {
    if (!detail::is_within(factor, 0, 1)) {
      ACCRETE_THROW ArgumentError("IncrementalSVD forget: factor = " + detail::number_text(factor) +
                                  "; give a number in [0, 1]");
    }
    for (double& value : svd_.values) {
      value *= factor;
    }
    svd_.loss.scale(factor);
  }

  /// X <- [X, other's X]: joins streams that were decomposed apart.
  /// @throws ShapeError, ArgumentError where either has no V
  void merge(const IncrementalSVD& other) {
    require_v("merge");
    other.require_v("merge");
    if (other.rows() != rows()) {
      ACCRETE_THROW ShapeError("IncrementalSVD merge: X has " + std::to_string(rows()) +
                               " rows and the other " + std::to_string(other.rows()) +
                               "; both need the same number of rows");
    }
    const double before = error_bound();
    const double joined = std::hypot(before, other.error_bound());
    const Index other_cols = other.cols();
    const Index r = rank();
    const Index total = r + other.rank();
    detail::Frame<Backend> frame(device().workspace());
    const auto u = detail::temporary<Scalar>(frame, rows(), total);
    const auto v = detail::temporary<Scalar>(frame, cols() + other_cols, total);
    if (!v.empty()) {
      Kernels<Backend>::fill(device(), Scalar{0}, v);
    }
    const auto place = [&](const IncrementalSVD& part, ViewOn<Scalar, Backend> u_part,
                           ViewOn<Scalar, Backend> v_part) {
      detail::copy_into<Backend, Scalar>(device(), part.svd_.scaled_left(frame), u_part);
      detail::copy_into<Backend, Scalar>(device(), part.svd_.right.materialize(device()), v_part);
    };
    place(*this, u.left_columns(r), v.block(0, 0, cols(), r));
    place(other, u.columns(r, other.rank()), v.block(cols(), r, other_cols, other.rank()));
    svd_.assign(frame, u, v);
    svd_.loss.settled += joined - before;
  }

 private:
  using Basis = detail::LazyBasis<Scalar, Backend>;
  using Run = detail::TruncationLoss::Run;

  static Device<Backend>& device() { return Context<Backend>::current().device(); }

  void swap(IncrementalSVD& other) noexcept {
    std::swap(options_, other.options_);
    std::swap(svd_, other.svd_);
  }
  void configure() noexcept {
    svd_.truncation = {.max_rank = options_.max_rank, .tolerance = options_.tolerance};
    svd_.keep_v = options_.keep_v;
    svd_.check_every = options_.check_every;
  }
  static Storage uploaded(const typename State::HostMatrix& host) {
    Storage result(host.rows(), host.cols());
    Kernels<Backend>::upload(device(), host.data(), view_of(result));
    return result;
  }
  static typename State::HostMatrix downloaded(Basis& basis) {
    typename State::HostMatrix host(basis.rows(), basis.cols());
    Kernels<Backend>::download(device(), basis.materialize(device()).as_const(), host.data());
    return host;
  }

  void require_v(const char* operation) const {
    if (!options_.keep_v) {
      ACCRETE_THROW ArgumentError(std::string("IncrementalSVD ") + operation +
                                  ": needs V; construct with keep_v = true");
    }
  }
  void check_rows(const char* operation, const char* name, ViewOn<const Scalar, Backend> a,
                  Index expected) const {
    if (a.rows != expected) {
      ACCRETE_THROW ShapeError(std::string("IncrementalSVD ") + operation + ": " + name + " is " +
                               detail::shape_text(a.rows, a.cols) + " but X is " +
                               detail::shape_text(rows(), cols()) + "; give it " +
                               std::to_string(expected) + " rows");
    }
  }
  void check_range(const char* operation, Index first, Index count) const {
    if (first < 0 || count < 0 || count > cols() - first) {
      ACCRETE_THROW ShapeError(std::string("IncrementalSVD ") + operation + ": " +
                               std::to_string(count) + " columns from " + std::to_string(first) +
                               " on, but X has " + std::to_string(cols()) + "; stay within them");
    }
  }
  static void check_finite(const char* operation, ViewOn<const Scalar, Backend> a) {
    if (!a.empty() && !Kernels<Backend>::all_finite(device(), a)) {
      detail::throw_not_finite(operation, a.rows, a.cols);
    }
  }

  void add_views(ViewOn<const Scalar, Backend> a, ViewOn<const Scalar, Backend> b) {
    if (a.cols == 0 || rows() == 0 || cols() == 0) {
      return;
    }
    if (a.cols <= (std::min)(rows(), cols())) {
      svd_.add(a, b);
      return;
    }
    detail::Frame<Backend> frame(device().workspace());
    const Index r = rank();
    const auto u = detail::temporary<Scalar>(frame, rows(), r + a.cols);
    const auto v = detail::temporary<Scalar>(frame, cols(), r + a.cols);
    detail::copy_into<Backend, Scalar>(device(), svd_.scaled_left(frame), u.left_columns(r));
    detail::copy_into<Backend, Scalar>(device(), a, u.columns(r, a.cols));
    detail::copy_into<Backend, Scalar>(device(), svd_.right.materialize(device()),
                                       v.left_columns(r));
    detail::copy_into<Backend, Scalar>(device(), b, v.columns(r, a.cols));
    svd_.assign(frame, u, v);
  }

  Options options_;
  // Observers apply what was put off, which changes no value. So an object is read by one thread
  // at a time until U() and V() have been called.
  mutable detail::UpdatableSVD<Scalar, Backend> svd_;
};

/// One line: shape, rank and error bound.
template <class Traits, class Scalar, class Backend>
std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out,
                                             const IncrementalSVD<Scalar, Backend>& svd) {
  return out << "IncrementalSVD " << svd.rows() << " x " << svd.cols() << ", rank " << svd.rank()
             << ", error bound " << svd.error_bound();
}

ACCRETE_END_NAMESPACE
