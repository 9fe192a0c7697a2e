// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/small_dense.hpp>
#include <accrete/factor/lazy_basis.hpp>
#include <accrete/factor/orthogonal_split.hpp>
#include <accrete/factor/scaled_norm.hpp>
#include <accrete/factor/truncation.hpp>
#include <accrete/plan/context.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Bound of what truncations lose. Those of a run of appended columns (or rows) are orthogonal to
/// each other, so their squares add; all others add by the triangle inequality.
struct TruncationLoss {
  enum class Run : int { none, columns, rows };

  double settled = 0;
  double current = 0;
  Run run = Run::none;

  [[nodiscard]] double bound() const noexcept { return settled + current; }

  /// One more update: what it cut off, and its rounding.
  void add(double lost, double rounding, Run of) noexcept {
    if (of != run || of == Run::none) {
      settled += current;
      current = 0;
      run = of;
    }
    current = std::hypot(current, lost);
    settled += rounding;
  }
  void scale(double factor) noexcept {
    settled *= factor;
    current *= factor;
  }
};

/// U diag(values) Vᵀ and its updates, without checks of arguments. V may be left out.
///
/// An update projects and factors its blocks on the device, brings what is small to the host in one
/// transfer, solves the small problem there in double, sends the rotations back in another one and
/// applies them. All of it is computed before anything changes: where it throws, the decomposition
/// is what it was.
template <class Scalar, class Backend>
struct UpdatableSVD {
  using Basis = LazyBasis<Scalar, Backend>;
  using Run = TruncationLoss::Run;
  using Storage = Matrix<Scalar, Backend>;
  using Space = typename Backend::Space;
  using Coefficients = SplitCoefficients<Scalar, Space>;

  TruncationOptions truncation;
  bool keep_v = true;
  Index check_every = 1;
  Basis left;
  Basis right;
  Index cols = 0; ///< of X, also where V is left out
  std::vector<double> values;
  Index updates = 0;
  TruncationLoss loss;

  [[nodiscard]] Index rank() const noexcept { return static_cast<Index>(values.size()); }
  static Device<Backend>& device() { return Context<Backend>::current().device(); }

  /// U diag(values) in the caller's frame.
  template <class Frame>
  ViewOn<Scalar, Backend> scaled_left(Frame& frame) {
    const auto scaled = temporary<Scalar>(frame, left.rows(), rank());
    scale_columns<Backend, Scalar>(device(), left.materialize(device()), values, scaled);
    return scaled;
  }

  /// columns: X <- [X, block]; rows: X <- [X; blockᵀ]. A block has no more columns than rows.
  void append(ViewOn<const Scalar, Backend> block, Run run) {
    Basis& near = run == Run::columns ? left : right;
    Basis* far = run == Run::rows ? &left : keep_v ? &right : nullptr;
    Frame<Backend> frame(device().workspace());
    Workspace::Frame host(host_workspace());
    const Index r = rank();
    const Index size = Coefficients::size(r, block.cols);
    Scalar* const small = frame.template allocate<Scalar>(size);
    const auto directions = orthogonal_split<Backend, Scalar>(device(), frame, near, block,
                                                              Coefficients(small, r, block.cols));
    const auto split = significant(host, to_double(host, small, size), near, block);

    const auto core = temporary<double>(host, r + split.directions(), r + block.cols);
    fill_diagonal(core);
    copy(split.coefficients, core.block(0, r, r, block.cols));
    copy(split.remainder, core.block(r, r, split.directions(), block.cols));
    const Core svd = decompose(host, core, (std::max)(core.rows, core.cols), split.dropped, run);
    const View<const double> parts[] = {svd.a, split.weights,
                                        svd.b.left_columns(far ? svd.b.cols : 0)};
    ViewOn<const Scalar, Backend> uploaded[3];
    upload(frame, host, parts, uploaded, 3);
    prepare_update(frame, near, directions, uploaded[0], uploaded[1]);
    if (far != nullptr) {
      far->prepare_rows(device(), reorthonormalized(frame, uploaded[2]));
    }
    commit(svd.cut);
    cols += run == Run::columns ? block.cols : 0;
    count_update();
  }

  /// X <- X + a bᵀ with no more columns than a or b has rows.
  void add(ViewOn<const Scalar, Backend> a, ViewOn<const Scalar, Backend> b) {
    Frame<Backend> frame(device().workspace());
    Workspace::Frame host(host_workspace());
    const Index r = rank();
    const Index size = Coefficients::size(r, a.cols);
    Scalar* const small = frame.template allocate<Scalar>(2 * size);
    const auto of_left =
        orthogonal_split<Backend, Scalar>(device(), frame, left, a, Coefficients(small, r, a.cols));
    const auto of_right = orthogonal_split<Backend, Scalar>(device(), frame, right, b,
                                                            Coefficients(small + size, r, a.cols));
    double* const on_host = to_double(host, small, 2 * size);
    const auto pa = significant(host, on_host, left, a);
    const auto pb = significant(host, on_host + size, right, b);

    const auto core = temporary<double>(host, r + pa.directions(), r + pb.directions());
    if (core.empty()) {
      return; // nothing held, nothing added
    }
    fill_diagonal(core);
    small_product(1, stacked(host, pa), stacked(host, pb).transposed(), 1, core);
    const double dropped =
        pa.dropped * pb.norm + pa.norm * pb.dropped + rounding(r + a.cols, pa.norm * pb.norm);
    const Core svd = decompose(host, core, (std::max)(core.rows, core.cols), dropped, Run::none);
    const View<const double> parts[] = {svd.a, pa.weights, svd.b, pb.weights};
    ViewOn<const Scalar, Backend> uploaded[4];
    upload(frame, host, parts, uploaded, 4);
    prepare_update(frame, left, of_left, uploaded[0], uploaded[1]);
    prepare_update(frame, right, of_right, uploaded[2], uploaded[3]);
    commit(svd.cut);
    count_update();
  }

  /// X <- u vᵀ, by QR of both factors.
  template <class Frame>
  void assign(Frame& frame, ViewOn<const Scalar, Backend> u, ViewOn<const Scalar, Backend> v,
              Run run = Run::none) {
    Cut cut{0, loss};
    if (u.empty() || v.empty()) {
      left.prepare_value(device(), u.left_columns(0));
      right.prepare_value(device(), v.left_columns(0));
    } else {
      Workspace::Frame host(host_workspace());
      const QrFactors<Scalar, Backend> of_u = orthogonal_factor(device(), frame, u);
      const QrFactors<Scalar, Backend> of_v = orthogonal_factor(device(), frame, v);
      Scalar* const small = frame.template allocate<Scalar>(of_u.r.size() + of_v.r.size());
      const auto ru = dense_view<Space>(small, of_u.r.rows, u.cols);
      const auto rv = dense_view<Space>(small + ru.size(), of_v.r.rows, v.cols);
      copy_into<Backend, Scalar>(device(), of_u.r, ru);
      copy_into<Backend, Scalar>(device(), of_v.r, rv);
      double* const on_host = to_double(host, small, ru.size() + rv.size());
      const auto core = temporary<double>(host, ru.rows, rv.rows);
      small_product(1, dense_view(on_host, ru.rows, ru.cols),
                    dense_view(on_host + ru.size(), rv.rows, rv.cols).transposed(), 0, core);
      const Core svd = decompose(host, core, u.cols, 0, run);
      const View<const double> parts[] = {svd.a, svd.b};
      ViewOn<const Scalar, Backend> uploaded[2];
      upload(frame, host, parts, uploaded, 2);
      const auto new_left = temporary<Scalar>(frame, u.rows, svd.cut.rank);
      const auto new_right = temporary<Scalar>(frame, v.rows, svd.cut.rank);
      expand<Backend, Scalar>(device(), of_u, reorthonormalized(frame, uploaded[0]), new_left);
      expand<Backend, Scalar>(device(), of_v, reorthonormalized(frame, uploaded[1]), new_right);
      left.prepare_value(device(), new_left);
      if (keep_v) {
        right.prepare_value(device(), new_right);
      }
      cut = svd.cut;
    }
    commit(cut);
    cols = keep_v ? v.rows : cols;
  }

  /// Frobenius norm of UᵀU - I or VᵀV - I, the larger.
  [[nodiscard]] double orthogonality() {
    const double of_left = departure(left.materialize(device()));
    return keep_v ? (std::max)(of_left, departure(right.materialize(device()))) : of_left;
  }

  /// U and V orthonormal again without a change of X: QR of both, the triangles into the core.
  void restore() {
    Frame<Backend> frame(device().workspace());
    if (keep_v) {
      assign(frame, scaled_left(frame), right.materialize(device()), loss.run);
      return;
    }
    const auto identity = temporary<Scalar>(frame, rank(), rank());
    if (!identity.empty()) {
      Kernels<Backend>::fill(device(), Scalar{0}, identity);
      Kernels<Backend>::add_diagonal(device(), Scalar{1}, identity);
    }
    assign(frame, scaled_left(frame), identity, loss.run);
  }

 private:
  /// How much of spectrum_ an update keeps, and what becomes of the error bound.
  struct Cut {
    Index rank = 0;
    TruncationLoss loss;
  };
  /// On the host; a and b have as many columns as values remain.
  struct Core {
    View<const double> a;
    View<const double> b;
    Cut cut;
  };

  static double epsilon() { return static_cast<double>(std::numeric_limits<Scalar>::epsilon()); }
  /// Rounding of one update of a core of this size and norm.
  static double rounding(Index core_size, double norm) {
    return 16 * epsilon() * std::sqrt(static_cast<double>(core_size)) * norm;
  }

  static void copy(View<const double> from, View<double> to) {
    for (Index j = 0; j < to.cols; ++j) {
      std::copy_n(from.data + j * from.stride, to.rows, to.data + j * to.stride);
    }
  }

  /// The core's leading square becomes diag(values), the rest zero.
  void fill_diagonal(View<double> core) const {
    std::fill_n(core.data, core.size(), 0.0);
    for (Index j = 0; j < rank(); ++j) {
      core(j, j) = values[static_cast<std::size_t>(j)];
    }
  }

  /// `count` numbers of the device, in one transfer.
  static double* to_double(Workspace::Frame& host, const Scalar* small, Index count) {
    double* const result = host.allocate<double>(count);
    const ViewOn<const Scalar, Backend> all = dense_view<Space>(small, count, 1);
    if constexpr (std::is_same_v<Scalar, double>) {
      Kernels<Backend>::download(device(), all, result);
    } else {
      Scalar* const narrow = host.allocate<Scalar>(count);
      Kernels<Backend>::download(device(), all, narrow);
      std::copy_n(narrow, count, result);
    }
    return result;
  }

  /// Matrices of the host, on the device in one transfer.
  template <class Frame>
  static void upload(Frame& frame, Workspace::Frame& host, const View<const double>* from,
                     ViewOn<const Scalar, Backend>* to, int count) {
    Index size = 0;
    for (int i = 0; i < count; ++i) {
      size += from[i].size();
    }
    Scalar* const packed = host.allocate<Scalar>(size);
    Scalar* const small = frame.template allocate<Scalar>(size);
    Index offset = 0;
    for (int i = 0; i < count; ++i) {
      to[i] = dense_view<Space>(small + offset, from[i].rows, from[i].cols);
      for (Index j = 0; j < from[i].cols; ++j) {
        for (Index k = 0; k < from[i].rows; ++k) {
          packed[offset++] = static_cast<Scalar>(from[i](k, j));
        }
      }
    }
    Kernels<Backend>::upload(device(), packed, dense_view<Space>(small, size, 1));
  }

  static SignificantSplit significant(Workspace::Frame& host, double* small, const Basis& basis,
                                      ViewOn<const Scalar, Backend> block) {
    return significant_split(host, device().threads(),
                             SplitCoefficients<double>(small, basis.cols(), block.cols),
                             basis.rows() - basis.cols(), epsilon());
  }

  /// [coefficients; remainder]
  static View<const double> stacked(Workspace::Frame& host, const SignificantSplit& split) {
    const Index r = split.coefficients.rows;
    const Index b = split.coefficients.cols;
    const auto all = temporary<double>(host, r + split.directions(), b);
    copy(split.coefficients, all.block(0, 0, r, b));
    copy(split.remainder, all.block(r, 0, split.directions(), b));
    return all;
  }

  /// Decomposes the core and truncates it; `size` of it is what its rounding grows with.
  Core decompose(Workspace::Frame& host, View<const double> core, Index size, double dropped,
                 Run run) {
    const Index count = (std::min)(core.rows, core.cols);
    const auto a = temporary<double>(host, core.rows, count);
    const auto b = temporary<double>(host, core.cols, count);
    spectrum_.resize(static_cast<std::size_t>(count));
    small_svd(device().threads(), core, a, dense_view(spectrum_.data(), count, 1), b);
    const Cut next = cut(size, dropped, run);
    return {a.left_columns(next.rank), b.left_columns(next.rank), next};
  }

  /// The part of spectrum_ that the options keep.
  Cut cut(Index core_size, double dropped, Run run) const {
    const auto count = static_cast<Index>(spectrum_.size());
    const Index kept = choose_rank(spectrum_, truncation, rank_rounding<Scalar>(core_size)).rank;
    const double norm = safe_norm(spectrum_.data(), count);
    const double lost = safe_norm(spectrum_.data() + kept, count - kept);
    Cut result{kept, loss};
    result.loss.add(lost, dropped + rounding(core_size, norm), run);
    return result;
  }

  /// The orthonormal columns of q once more: every update multiplies the bases by them, and a small
  /// SVD's own are off by some hundred epsilons of double. One step of Newton's iteration for the
  /// polar factor, q (3 I - qᵀ q) / 2.
  template <class Frame>
  static ViewOn<const Scalar, Backend> reorthonormalized(Frame& frame,
                                                         ViewOn<const Scalar, Backend> q) {
    if (!std::is_same_v<Scalar, double> || q.empty()) {
      return q;
    }
    const auto gram = temporary<Scalar>(frame, q.cols, q.cols);
    const auto better = temporary<Scalar>(frame, q.rows, q.cols);
    multiply<Backend, Scalar>(device(), q.transposed(), q, gram);
    copy_into<Backend, Scalar>(device(), q, better);
    Kernels<Backend>::gemm(device(), Scalar(-0.5), q, gram.as_const(), Scalar(1.5), better);
    return better;
  }

  /// basis <- [basis, directions * weights] * a
  template <class Frame>
  static void prepare_update(Frame& frame, Basis& basis, ViewOn<const Scalar, Backend> directions,
                             ViewOn<const Scalar, Backend> a,
                             ViewOn<const Scalar, Backend> weights) {
    const ViewOn<const Scalar, Backend> q = reorthonormalized(frame, a);
    if (weights.cols == 0) {
      return basis.prepare_update(device(), directions.left_columns(0), q);
    }
    const Index r = basis.cols();
    const auto rotation = temporary<Scalar>(frame, r + directions.cols, q.cols);
    copy_into<Backend, Scalar>(device(), q.block(0, 0, r, q.cols), rotation.block(0, 0, r, q.cols));
    multiply<Backend, Scalar>(device(), weights, q.block(r, 0, weights.cols, q.cols),
                              rotation.block(r, 0, directions.cols, q.cols));
    basis.prepare_update(device(), directions, rotation);
  }

  /// What was prepared takes place, and of spectrum_ what the cut keeps.
  void commit(const Cut& cut) noexcept {
    left.commit();
    if (keep_v) {
      right.commit();
    }
    spectrum_.resize(static_cast<std::size_t>(cut.rank)); // never more than it holds
    values.swap(spectrum_);
    loss = cut.loss;
  }

  void count_update() {
    if (++updates % check_every != 0) {
      return;
    }
    // Each small SVD departs from orthogonality by some epsilons, in float too many to wait.
    const double limit =
        (std::max)(2e-13, epsilon() * (8 + 3 * std::sqrt(static_cast<double>(rank()))));
    if (orthogonality() > limit) {
      restore();
    }
  }

  static double departure(ViewOn<const Scalar, Backend> q) {
    if (q.empty()) {
      return 0;
    }
    Frame<Backend> frame(device().workspace());
    const auto gram = temporary<Scalar>(frame, q.cols, q.cols);
    multiply<Backend, Scalar>(device(), q.transposed(), q, gram);
    Kernels<Backend>::add_diagonal(device(), Scalar{-1}, gram);
    return norm_of<Backend>(device(), gram.as_const());
  }

  std::vector<double> spectrum_; // of the core before the cut; then the values of before
};

} // namespace detail

ACCRETE_END_NAMESPACE
