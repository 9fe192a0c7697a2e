// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/lazy_basis.hpp>
#include <accrete/factor/truncation.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

struct IncrementalSvdOptions {
  /// Most singular values kept.
  Index max_rank = std::numeric_limits<Index>::max();
  /// Largest Frobenius norm that one update may discard, as a fraction of the whole's.
  double tolerance = 0;
  /// Without V, columns can be appended and nothing else.
  bool keep_v = true;
  /// Updates between two checks of the orthogonality of U and V.
  Index check_every = 4;
};

/// U diag(singular values) Vᵀ of an m x n matrix X that is seen in pieces, truncated to
/// `max_rank` or the tolerance after each piece.
///
/// Updates are those of Brand (2006), "Fast low-rank modifications of the thin singular value
/// decomposition", by blocks: O((m + n) (r + b)² + (r + b)³) for b columns at rank r; an appended
/// block leaves most rows of V alone. Memory (m + n) (r + b). What the truncations lose adds up;
/// error_bound() tells. Signs, and bases of equal singular values, are not determined.
/// Every operation checks shapes and NaN before it changes anything.
template <class Scalar, class Backend = Cpu>
class IncrementalSVD {
 public:
  using Options = IncrementalSvdOptions;
  using Storage = Matrix<Scalar, Backend>;
  using Block = Eigen::Ref<const Storage, 0, Eigen::OuterStride<>>;

  /// The rows x 0 matrix. @throws ShapeError, ArgumentError
  explicit IncrementalSVD(Index rows, const Options& options = {}) : options_(options) {
    if (rows < 0) {
      throw ShapeError("IncrementalSVD: " + std::to_string(rows) +
                       " rows; the number of rows must not be negative");
    }
    if (options.check_every < 1) {
      throw ArgumentError("IncrementalSVD: check_every = " + std::to_string(options.check_every) +
                          "; give at least 1");
    }
    truncation().validate();
    left_ = Basis(rows);
  }

  [[nodiscard]] Index rows() const noexcept { return left_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return cols_; }
  [[nodiscard]] Index rank() const noexcept { return static_cast<Index>(values_.size()); }
  /// Descending.
  [[nodiscard]] const std::vector<double>& singular_values() const noexcept { return values_; }
  /// m x r. Valid until the next update.
  [[nodiscard]] auto U() { return Backend::matrix_view(left_.settled(device())); }
  /// n x r; applies what was put off. Valid until the next update. @throws ArgumentError
  [[nodiscard]] auto V() {
    require_v("V");
    return Backend::matrix_view(right_.settled(device()));
  }

  /// Bound of the Frobenius norm of X - U diag(values) Vᵀ: truncations and rounding. Truncations
  /// of a run of appended columns (or rows) are orthogonal to each other, so their squares add;
  /// all others add by the triangle inequality. The share of rounding is an estimate of its size
  /// with a margin, not a proof.
  [[nodiscard]] double error_bound() const noexcept { return settled_error_ + run_error_; }

  /// Largest Frobenius norm of UᵀU - I and VᵀV - I over all columns. O((m + n) r²).
  [[nodiscard]] double orthogonality() {
    const double left = departure(left_.settled(device()));
    return options_.keep_v ? std::max(left, departure(right_.settled(device()))) : left;
  }

  /// X <- [X, block], block m x b. @throws ShapeError, NumericError
  void append_columns(const Block& block) {
    const View<const Scalar> b = view_of(block);
    check_rows("append_columns", "the block", b, rows());
    check_finite("IncrementalSVD append_columns", b);
    const Index step = std::max<Index>(rows(), 1); // a wider piece has no thin QR
    for (Index first = 0; first < b.cols; first += step) {
      const Index count = std::min(step, b.cols - first);
      append(left_, options_.keep_v ? &right_ : nullptr, b.columns(first, count), Run::columns);
      cols_ += count;
    }
  }

  /// X <- [X; block], block b x n. @throws ShapeError, NumericError, ArgumentError without V
  void append_rows(const Block& block) {
    require_v("append_rows");
    const View<const Scalar> b = view_of(block).transposed();
    if (b.rows != cols()) {
      throw ShapeError("IncrementalSVD append_rows: the block is " +
                       detail::shape_text(b.cols, b.rows) + " but X has " + std::to_string(cols()) +
                       " columns; append blocks of that many columns");
    }
    check_finite("IncrementalSVD append_rows", b);
    const Index step = std::max<Index>(cols(), 1);
    for (Index first = 0; first < b.cols; first += step) {
      append(right_, &left_, b.columns(first, std::min(step, b.cols - first)), Run::rows);
    }
  }

  /// X <- X + A Bᵀ, A m x k, B n x k. @throws ShapeError, NumericError, ArgumentError without V
  void add(const Block& A, const Block& B) {
    require_v("add");
    const View<const Scalar> a = view_of(A);
    const View<const Scalar> b = view_of(B);
    check_rows("add", "A", a, rows());
    check_rows("add", "B", b, cols());
    if (a.cols != b.cols) {
      throw ShapeError("IncrementalSVD add: A is " + detail::shape_text(a.rows, a.cols) +
                       " and B " + detail::shape_text(b.rows, b.cols) +
                       "; both need the same number of columns");
    }
    check_finite("IncrementalSVD add", a);
    check_finite("IncrementalSVD add", b);
    add_views(a, b);
  }

  /// Replaces the columns from `first` on by `columns`, m x b.
  /// @throws ShapeError, NumericError, ArgumentError without V
  void revise(Index first, const Block& columns) {
    require_v("revise");
    const View<const Scalar> c = view_of(columns);
    check_rows("revise", "the block", c, rows());
    check_range("revise", first, c.cols);
    check_finite("IncrementalSVD revise", c);
    detail::Frame<Backend> frame(device().workspace());
    const auto difference = detail::temporary<Scalar>(frame, rows(), c.cols);
    const auto selection = detail::temporary<Scalar>(frame, cols(), c.cols);
    detail::copy_into<Backend, Scalar>(device(), c, difference);
    if (rank() > 0 && !c.empty()) {
      Kernels<Backend>::gemm(
          device(), Scalar{-1}, View<const Scalar>(scaled_left(frame)),
          View<const Scalar>(right_.settled(device()).block(first, 0, c.cols, rank())).transposed(),
          Scalar{1}, difference);
    }
    if (!selection.empty()) {
      Kernels<Backend>::fill(device(), Scalar{0}, selection);
      set_identity(selection.block(first, 0, c.cols, c.cols));
    }
    add_views(difference, selection);
  }

  /// Removes `count` columns from `first` on. @throws ShapeError, ArgumentError without V
  void downdate(Index first, Index count) {
    require_v("downdate");
    check_range("downdate", first, count);
    detail::Frame<Backend> frame(device().workspace());
    const auto v = right_.settled(device());
    const auto rest = detail::temporary<Scalar>(frame, cols() - count, rank());
    const Index after = cols() - first - count;
    detail::copy_into<Backend, Scalar>(device(), v.block(0, 0, first, rank()),
                                       rest.block(0, 0, first, rank()));
    detail::copy_into<Backend, Scalar>(device(), v.block(first + count, 0, after, rank()),
                                       rest.block(first, 0, after, rank()));
    decompose(frame, scaled_left(frame), rest);
    cols_ -= count;
  }

  /// X <- factor X, 0 <= factor <= 1: older columns weigh less. @throws ArgumentError
  void forget(double factor) {
    if (!(factor >= 0 && factor <= 1)) {
      throw ArgumentError("IncrementalSVD forget: factor = " + std::to_string(factor) +
                          "; give a number in [0, 1]");
    }
    for (double& value : values_) {
      value *= factor;
    }
    settled_error_ *= factor;
    run_error_ *= factor;
  }

  /// X <- [X, other's X]. @throws ShapeError, ArgumentError where either has no V
  void merge(IncrementalSVD& other) {
    require_v("merge");
    other.require_v("merge");
    if (other.rows() != rows()) {
      throw ShapeError("IncrementalSVD merge: X has " + std::to_string(rows()) +
                       " rows and the other " + std::to_string(other.rows()) +
                       "; both need the same number of rows");
    }
    const double other_error = other.error_bound();
    const Index other_cols = other.cols();
    detail::Frame<Backend> frame(device().workspace());
    const Index total = rank() + other.rank();
    const auto u = detail::temporary<Scalar>(frame, rows(), total);
    const auto v = detail::temporary<Scalar>(frame, cols() + other_cols, total);
    if (!v.empty()) {
      Kernels<Backend>::fill(device(), Scalar{0}, v);
    }
    detail::copy_into<Backend, Scalar>(device(), scaled_left(frame), u.left_columns(rank()));
    detail::copy_into<Backend, Scalar>(device(), other.scaled_left(frame),
                                       u.columns(rank(), other.rank()));
    detail::copy_into<Backend, Scalar>(device(), right_.settled(device()),
                                       v.block(0, 0, cols(), rank()));
    detail::copy_into<Backend, Scalar>(device(), other.right_.settled(device()),
                                       v.block(cols(), rank(), other_cols, other.rank()));
    const double before = error_bound();
    decompose(frame, u, v);
    settled_error_ += std::hypot(before, other_error) - before;
    cols_ += other_cols;
  }

 private:
  using Basis = detail::LazyBasis<Scalar, Backend>;
  enum class Run : unsigned char { none, columns, rows };

  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static double epsilon() { return static_cast<double>(std::numeric_limits<Scalar>::epsilon()); }

  [[nodiscard]] TruncationOptions truncation() const {
    return {.max_rank = options_.max_rank, .tolerance = options_.tolerance};
  }

  void require_v(const char* operation) const {
    if (!options_.keep_v) {
      throw ArgumentError(std::string("IncrementalSVD ") + operation +
                          ": needs V; construct with keep_v = true");
    }
  }
  void check_rows(const char* operation, const char* name, View<const Scalar> a,
                  Index expected) const {
    if (a.rows != expected) {
      throw ShapeError(std::string("IncrementalSVD ") + operation + ": " + name + " is " +
                       detail::shape_text(a.rows, a.cols) + " but X is " +
                       detail::shape_text(rows(), cols()) + "; give it " +
                       std::to_string(expected) + " rows");
    }
  }
  void check_range(const char* operation, Index first, Index count) const {
    if (first < 0 || count < 0 || count > cols() - first) {
      throw ShapeError(std::string("IncrementalSVD ") + operation + ": " + std::to_string(count) +
                       " columns from " + std::to_string(first) + " on, but X has " +
                       std::to_string(cols()) + "; stay within them");
    }
  }
  static void check_finite(const char* operation, View<const Scalar> a) {
    if (!a.empty() && !Kernels<Backend>::all_finite(device(), a)) {
      detail::throw_not_finite(operation, a.rows, a.cols);
    }
  }

  static void set_diagonal(const std::vector<double>& values, View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      const auto value = static_cast<Scalar>(values[static_cast<std::size_t>(j)]);
      Kernels<Backend>::fill(device(), value, c.block(j, j, 1, 1));
    }
  }
  static void set_identity(View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      Kernels<Backend>::fill(device(), Scalar{1}, c.block(j, j, 1, 1));
    }
  }

  /// U diag(values) in the caller's frame.
  template <class Frame>
  View<Scalar> scaled_left(Frame& frame) {
    const auto scaled = detail::temporary<Scalar>(frame, rows(), rank());
    const auto u = left_.settled(device());
    for (Index j = 0; j < rank() && rows() > 0; ++j) {
      Kernels<Backend>::combine(device(), static_cast<Scalar>(values_[static_cast<std::size_t>(j)]),
                                View<const Scalar>(u.columns(j, 1)), Scalar{0},
                                scaled.columns(j, 1));
    }
    return scaled;
  }

  static double departure(View<const Scalar> q) {
    if (q.empty()) {
      return 0;
    }
    detail::Frame<Backend> frame(device().workspace());
    const auto gram = detail::temporary<Scalar>(frame, q.cols, q.cols);
    detail::product_into<Backend, Scalar>(device(), q.transposed(), q, gram);
    std::vector<Scalar> host(static_cast<std::size_t>(gram.size()));
    Kernels<Backend>::download(device(), View<const Scalar>(gram), host.data());
    for (Index j = 0; j < q.cols; ++j) {
      host[static_cast<std::size_t>(j * q.cols + j)] -= Scalar{1};
    }
    return detail::safe_norm(host.data(), gram.size());
  }

  /// How many values to keep; the norms of what goes and of the whole.
  struct Cut {
    std::vector<double> values;
    double lost = 0;
    double norm = 0;
    [[nodiscard]] Index rank() const { return static_cast<Index>(values.size()); }
  };
  Cut cut(std::vector<double> values, Index core_size) const {
    const auto count = static_cast<Index>(values.size());
    const Index rank =
        detail::choose_rank(values, truncation(), detail::rank_rounding<Scalar>(core_size)).rank;
    Cut result;
    result.norm = detail::safe_norm(values.data(), count);
    result.lost = detail::safe_norm(values.data() + rank, count - rank);
    values.resize(static_cast<std::size_t>(rank));
    result.values = std::move(values);
    return result;
  }
  void account(double lost, double rounding, Run run) {
    if (run != run_ || run == Run::none) {
      settled_error_ += run_error_;
      run_error_ = 0;
      run_ = run;
    }
    run_error_ = std::hypot(run_error_, lost);
    settled_error_ += rounding;
  }
  /// Rounding of one update of a core of this size and norm.
  static double rounding(Index core_size, double norm) {
    return 8 * epsilon() * static_cast<double>(core_size) * norm;
  }

  /// left <- the leading left vectors of [X, block], one row of right for each column of block.
  void append(Basis& left, Basis* right, View<const Scalar> block, Run run) {
    if (block.cols == 0) {
      return;
    }
    detail::Frame<Backend> frame(device().workspace());
    const View<const Scalar> basis = left.settled(device());
    const auto parts = detail::split<Backend, Scalar>(device(), frame, basis, block);
    const Index r = rank();
    const Index m = r + parts.rest.rows;
    const Index n = r + block.cols;
    const auto core = detail::temporary<Scalar>(frame, m, n);
    if (!core.empty()) {
      Kernels<Backend>::fill(device(), Scalar{0}, core);
    }
    set_diagonal(values_, core.block(0, 0, r, r));
    detail::copy_into<Backend, Scalar>(device(), parts.coefficients,
                                       core.block(0, r, r, block.cols));
    detail::copy_into<Backend, Scalar>(device(), parts.rest,
                                       core.block(r, r, parts.rest.rows, block.cols));
    const auto [a, b, values] = core_svd(frame, core);
    Cut kept = cut(values, n);
    left.reserve(device(), left.rows(), kept.rank());
    if (right != nullptr) {
      right->reserve(device(), right->rows() + block.cols, kept.rank());
    }
    left.turn(device(), parts.directions, a.left_columns(kept.rank()));
    if (right != nullptr) {
      right->append_rows(device(), b.left_columns(kept.rank()));
    }
    finish(std::move(kept), parts.dropped, n, run);
  }

  void add_views(View<const Scalar> a, View<const Scalar> b) {
    if (a.cols == 0 || rows() == 0 || cols() == 0) {
      return;
    }
    detail::Frame<Backend> frame(device().workspace());
    const Index r = rank();
    if (a.cols > std::min(rows(), cols())) {
      const auto u = detail::temporary<Scalar>(frame, rows(), r + a.cols);
      const auto v = detail::temporary<Scalar>(frame, cols(), r + a.cols);
      detail::copy_into<Backend, Scalar>(device(), scaled_left(frame), u.left_columns(r));
      detail::copy_into<Backend, Scalar>(device(), a, u.columns(r, a.cols));
      detail::copy_into<Backend, Scalar>(device(), right_.settled(device()), v.left_columns(r));
      detail::copy_into<Backend, Scalar>(device(), b, v.columns(r, a.cols));
      decompose(frame, u, v);
      return;
    }
    const auto pa = detail::split<Backend, Scalar>(device(), frame,
                                                   View<const Scalar>(left_.settled(device())), a);
    const auto pb = detail::split<Backend, Scalar>(device(), frame,
                                                   View<const Scalar>(right_.settled(device())), b);
    const auto stacked = [&](const detail::Split<Scalar>& parts) {
      const auto all = detail::temporary<Scalar>(frame, r + parts.rest.rows, a.cols);
      detail::copy_into<Backend, Scalar>(device(), parts.coefficients, all.block(0, 0, r, a.cols));
      detail::copy_into<Backend, Scalar>(device(), parts.rest,
                                         all.block(r, 0, parts.rest.rows, a.cols));
      return View<const Scalar>(all);
    };
    const View<const Scalar> ka = stacked(pa);
    const View<const Scalar> kb = stacked(pb);
    const auto core = detail::temporary<Scalar>(frame, ka.rows, kb.rows);
    if (core.empty()) {
      return; // nothing held, nothing added
    }
    Kernels<Backend>::fill(device(), Scalar{0}, core);
    set_diagonal(values_, core.block(0, 0, r, r));
    Kernels<Backend>::gemm(device(), Scalar{1}, ka, kb.transposed(), Scalar{1}, core);
    const auto [u, v, values] = core_svd(frame, core);
    Cut kept = cut(values, std::max(core.rows, core.cols));
    left_.reserve(device(), rows(), kept.rank());
    right_.reserve(device(), cols(), kept.rank());
    left_.turn(device(), pa.directions, u.left_columns(kept.rank()));
    right_.turn(device(), pb.directions, v.left_columns(kept.rank()));
    const double dropped =
        pa.dropped * pb.norm + pa.norm * pb.dropped + rounding(r + a.cols, pa.norm * pb.norm);
    finish(std::move(kept), dropped, r + a.cols, Run::none);
  }

  struct CoreSvd {
    View<const Scalar> a;
    View<const Scalar> b;
    std::vector<double> values;
  };
  template <class Frame>
  CoreSvd core_svd(Frame& frame, View<const Scalar> core) {
    const Index count = std::min(core.rows, core.cols);
    const auto a = detail::temporary<Scalar>(frame, core.rows, count);
    const auto b = detail::temporary<Scalar>(frame, core.cols, count);
    const auto values = detail::temporary<Scalar>(frame, count, 1);
    Kernels<Backend>::svd(device(), core, a, values, b);
    std::vector<Scalar> host(static_cast<std::size_t>(count));
    Kernels<Backend>::download(device(), View<const Scalar>(values), host.data());
    return {a, b, {host.begin(), host.end()}};
  }

  void finish(Cut kept, double dropped, Index core_size, Run run) {
    values_ = std::move(kept.values);
    account(kept.lost, dropped + rounding(core_size, kept.norm), run);
    if (++updates_ % options_.check_every == 0) {
      // Each small SVD departs from orthogonality by some epsilons, in float too many to wait.
      const double limit =
          std::max(2e-13, epsilon() * (10 + 4 * std::sqrt(static_cast<double>(rank()))));
      if (orthogonality() > limit) {
        restore();
      }
    }
  }

  /// U and V orthonormal again without a change of X: QR of both, the triangles into the core.
  void restore() {
    detail::Frame<Backend> frame(device().workspace());
    if (options_.keep_v) {
      decompose(frame, scaled_left(frame), right_.settled(device()));
    } else {
      const auto identity = detail::temporary<Scalar>(frame, rank(), rank());
      Kernels<Backend>::fill(device(), Scalar{0}, identity);
      set_identity(identity);
      decompose(frame, scaled_left(frame), identity);
    }
  }

  /// X <- u vᵀ
  template <class Frame>
  void decompose(Frame& frame, View<const Scalar> u, View<const Scalar> v) {
    if (u.empty() || v.empty()) {
      values_.clear();
      left_.assign(device(), u.left_columns(0));
      right_.assign(device(), v.left_columns(0));
      return;
    }
    auto svd = detail::factor_svd<Backend, Scalar>(device(), frame, u, v, true);
    Cut kept = cut(std::move(svd.values), u.cols);
    const auto left = detail::temporary<Scalar>(frame, u.rows, kept.rank());
    const auto right = detail::temporary<Scalar>(frame, v.rows, kept.rank());
    detail::expand<Backend, Scalar>(device(), svd.left, svd.a.left_columns(kept.rank()), left);
    detail::expand<Backend, Scalar>(device(), svd.right, svd.b.left_columns(kept.rank()), right);
    left_.assign(device(), left);
    if (options_.keep_v) {
      right_.assign(device(), right);
    }
    values_ = std::move(kept.values);
    account(kept.lost, rounding(u.cols, kept.norm), Run::none);
  }

  Options options_;
  Basis left_;
  Basis right_;
  std::vector<double> values_;
  Index cols_ = 0;
  Index updates_ = 0;
  double settled_error_ = 0;
  double run_error_ = 0;
  Run run_ = Run::none;
};

ACCRETE_END_NAMESPACE
