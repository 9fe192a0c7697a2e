// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/lazy_basis.hpp>
#include <accrete/factor/orthogonal_split.hpp>
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
/// An update first computes all that can fail by its numbers, then changes both bases. Where memory
/// runs out in between, they no longer belong together: X becomes zero, its error bound infinite.
template <class Scalar, class Backend>
struct UpdatableSVD {
  using Basis = LazyBasis<Scalar, Backend>;
  using Run = TruncationLoss::Run;
  using Storage = Matrix<Scalar, Backend>;

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
  View<Scalar> scaled_left(Frame& frame) {
    const auto scaled = temporary<Scalar>(frame, left.rows(), rank());
    const auto u = left.settled(device());
    for (Index j = 0; j < rank() && left.rows() > 0; ++j) {
      Kernels<Backend>::combine(device(), static_cast<Scalar>(values[static_cast<std::size_t>(j)]),
                                View<const Scalar>(u.columns(j, 1)), Scalar{0},
                                scaled.columns(j, 1));
    }
    return scaled;
  }

  /// columns: X <- [X, block]; rows: X <- [X; blockᵀ]. A block has no more columns than rows.
  void append(View<const Scalar> block, Run run) {
    Basis& near = run == Run::columns ? left : right;
    Basis* far = run == Run::rows ? &left : keep_v ? &right : nullptr;
    Frame<Backend> frame(device().workspace());
    const auto parts =
        orthogonal_split<Backend, Scalar>(device(), frame, near.current(device()), block);
    const Index r = rank();
    const auto core = temporary<double>(frame, r + parts.rest.rows, r + block.cols);
    fill_diagonal(core);
    convert<Scalar>(parts.coefficients, core.block(0, r, r, block.cols));
    convert<Scalar>(parts.rest, core.block(r, r, parts.rest.rows, block.cols));
    const Core svd = decompose_core(frame, core, parts.dropped, run);
    near.reserve(device(), near.rows(), svd.a.cols);
    if (far != nullptr) {
      far->reserve(device(), far->rows() + block.cols, svd.a.cols);
    }
    change_bases([&] {
      near.turn(device(), parts.directions, svd.a);
      if (far != nullptr) {
        far->append_rows(device(), svd.b);
      }
    });
    cols += run == Run::columns ? block.cols : 0;
    take(svd.cut);
    count_update();
  }

  /// X <- X + a bᵀ with no more columns than a or b has rows.
  void add(View<const Scalar> a, View<const Scalar> b) {
    Frame<Backend> frame(device().workspace());
    const Index r = rank();
    const auto pa = orthogonal_split<Backend, Scalar>(device(), frame, left.current(device()), a);
    const auto pb = orthogonal_split<Backend, Scalar>(device(), frame, right.current(device()), b);
    const auto stacked = [&](const OrthogonalSplit<Scalar>& parts) {
      const auto all = temporary<Scalar>(frame, r + parts.rest.rows, a.cols);
      copy_into<Backend, Scalar>(device(), parts.coefficients, all.block(0, 0, r, a.cols));
      copy_into<Backend, Scalar>(device(), parts.rest, all.block(r, 0, parts.rest.rows, a.cols));
      return View<const Scalar>(all);
    };
    const View<const Scalar> ka = stacked(pa);
    const View<const Scalar> kb = stacked(pb);
    const auto added = temporary<Scalar>(frame, ka.rows, kb.rows);
    if (added.empty()) {
      return; // nothing held, nothing added
    }
    multiply<Backend, Scalar>(device(), ka, kb.transposed(), added);
    const auto core = temporary<double>(frame, added.rows, added.cols);
    fill_diagonal(core);
    Kernels<Backend>::combine(device(), 1.0, widened(frame, added), 1.0, core);
    const double dropped =
        pa.dropped * pb.norm + pa.norm * pb.dropped + rounding(r + a.cols, pa.norm * pb.norm);
    const Core svd = decompose_core(frame, core, dropped, Run::none);
    left.reserve(device(), left.rows(), svd.a.cols);
    right.reserve(device(), right.rows(), svd.a.cols);
    change_bases([&] {
      left.turn(device(), pa.directions, svd.a);
      right.turn(device(), pb.directions, svd.b);
    });
    take(svd.cut);
    count_update();
  }

  /// X <- u vᵀ, by QR of both factors.
  template <class Frame>
  void assign(Frame& frame, View<const Scalar> u, View<const Scalar> v, Run run = Run::none) {
    if (u.empty() || v.empty()) {
      change_bases([&] {
        values.clear();
        left.assign(device(), u.left_columns(0));
        right.assign(device(), v.left_columns(0));
      });
      cols = keep_v ? v.rows : cols;
      return;
    }
    const auto svd = factor_svd<Backend, Scalar>(device(), frame, u, v, true);
    spectrum_ = svd.values;
    const Cut next = cut(u.cols, 0, run);
    const Index kept = next.rank;
    const auto new_left = temporary<Scalar>(frame, u.rows, kept);
    const auto new_right = temporary<Scalar>(frame, v.rows, kept);
    const auto a = polished(frame, widened(frame, svd.a.left_columns(kept)));
    const auto b = polished(frame, widened(frame, svd.b.left_columns(kept)));
    expand<Backend, Scalar>(device(), svd.left, a, new_left);
    expand<Backend, Scalar>(device(), svd.right, b, new_right);
    change_bases([&] {
      left.assign(device(), new_left);
      if (keep_v) {
        right.assign(device(), new_right);
      }
    });
    cols = keep_v ? v.rows : cols;
    take(next);
  }

  /// Frobenius norm of UᵀU - I or VᵀV - I, the larger.
  [[nodiscard]] double orthogonality() {
    const double of_left = departure(left.settled(device()));
    return keep_v ? (std::max)(of_left, departure(right.settled(device()))) : of_left;
  }

  /// U and V orthonormal again without a change of X: QR of both, the triangles into the core.
  void restore() {
    Frame<Backend> frame(device().workspace());
    if (keep_v) {
      assign(frame, scaled_left(frame), right.settled(device()), loss.run);
      return;
    }
    const auto identity = temporary<Scalar>(frame, rank(), rank());
    Kernels<Backend>::fill(device(), Scalar{0}, identity);
    for (Index j = 0; j < rank(); ++j) {
      Kernels<Backend>::fill(device(), Scalar{1}, identity.block(j, j, 1, 1));
    }
    assign(frame, scaled_left(frame), identity, loss.run);
  }

 private:
  /// How much of spectrum_ an update keeps, and what becomes of the error bound.
  struct Cut {
    Index rank = 0;
    TruncationLoss loss;
  };
  struct Core {
    View<const Scalar> a;
    View<const Scalar> b;
    Cut cut;
  };

  template <class Change>
  void change_bases(const Change& change) {
    const Index left_rows = left.rows();
    const Index right_rows = right.rows();
    ACCRETE_TRY { change(); }
    ACCRETE_CATCH(...) {
      values.clear();
      left = Basis(left_rows);
      right = Basis(right_rows);
      loss.settled = std::numeric_limits<double>::infinity();
      ACCRETE_RETHROW;
    }
  }
  /// The last part of an update; cut() has made room for it.
  void take(const Cut& next) noexcept {
    values.assign(spectrum_.begin(), spectrum_.begin() + next.rank);
    loss = next.loss;
  }

  static double epsilon() { return static_cast<double>(std::numeric_limits<Scalar>::epsilon()); }
  /// Rounding of one update of a core of this size and norm.
  static double rounding(Index core_size, double norm) {
    return 16 * epsilon() * std::sqrt(static_cast<double>(core_size)) * norm;
  }

  /// The core's leading square becomes diag(values), the rest zero.
  void fill_diagonal(View<double> core) {
    if (core.empty()) {
      return;
    }
    Kernels<Backend>::fill(device(), 0.0, core);
    const Index r = rank();
    Workspace::Frame host_frame(host_workspace());
    double* host = host_frame.template allocate<double>(r * r);
    std::fill_n(host, r * r, 0.0);
    for (Index j = 0; j < r; ++j) {
      host[j * r + j] = values[static_cast<std::size_t>(j)];
    }
    Kernels<Backend>::upload(device(), host, core.block(0, 0, r, r));
  }

  /// Decomposes the core and truncates it; a and b have as many columns as values remain.
  ///
  /// In double, or many small updates would be rounded away, and made orthonormal once more: every
  /// update multiplies the bases by these vectors, and a small SVD's own are off by some hundred
  /// epsilons.
  template <class Frame>
  Core decompose_core(Frame& frame, View<const double> core, double dropped, Run run) {
    const Index count = (std::min)(core.rows, core.cols);
    const auto a = temporary<double>(frame, core.rows, count);
    const auto b = temporary<double>(frame, core.cols, count);
    const auto sigma = temporary<double>(frame, count, 1);
    Kernels<Backend>::svd(device(), core, a, sigma, b);
    spectrum_.resize(static_cast<std::size_t>(count));
    Kernels<Backend>::download(device(), View<const double>(sigma), spectrum_.data());
    const Cut next = cut((std::max)(core.rows, core.cols), dropped, run);
    return {polished(frame, a.left_columns(next.rank)), polished(frame, b.left_columns(next.rank)),
            next};
  }

  template <class Frame>
  View<const double> widened(Frame& frame, View<const Scalar> a) {
    const auto wide = temporary<double>(frame, a.rows, a.cols);
    convert(a, wide);
    return wide;
  }

  /// One step of Newton's iteration for the polar factor, q (3 I - qᵀ q) / 2.
  template <class Frame>
  View<const Scalar> polished(Frame& frame, View<const double> q) {
    const auto gram = temporary<double>(frame, q.cols, q.cols);
    const auto better = temporary<double>(frame, q.rows, q.cols);
    multiply<Backend, double>(device(), q.transposed(), q, gram);
    copy_into<Backend, double>(device(), q, better);
    if (!better.empty()) {
      Kernels<Backend>::gemm(device(), -0.5, q, View<const double>(gram), 1.5, better);
    }
    const auto result = temporary<Scalar>(frame, q.rows, q.cols);
    convert(View<const double>(better), result);
    return result;
  }

  template <class From, class To>
  static void convert(View<const From> from, View<To> to) {
    if constexpr (std::is_same_v<From, To>) {
      copy_into<Backend, To>(device(), from, to);
    } else {
      Workspace::Frame host_frame(host_workspace());
      From* source = host_frame.template allocate<From>(from.size());
      To* target = host_frame.template allocate<To>(from.size());
      Kernels<Backend>::download(device(), from, source);
      std::transform(source, source + from.size(), target,
                     [](From value) { return static_cast<To>(value); });
      Kernels<Backend>::upload(device(), target, to);
    }
  }

  /// The part of spectrum_ that the options keep.
  Cut cut(Index core_size, double dropped, Run run) {
    const auto count = static_cast<Index>(spectrum_.size());
    const Index kept = choose_rank(spectrum_, truncation, rank_rounding<Scalar>(core_size)).rank;
    const double norm = safe_norm(spectrum_.data(), count);
    const double lost = safe_norm(spectrum_.data() + kept, count - kept);
    values.reserve(static_cast<std::size_t>(kept));
    Cut result{kept, loss};
    result.loss.add(lost, dropped + rounding(core_size, norm), run);
    return result;
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

  static double departure(View<const Scalar> q) {
    if (q.empty()) {
      return 0;
    }
    Frame<Backend> frame(device().workspace());
    const auto gram = temporary<Scalar>(frame, q.cols, q.cols);
    multiply<Backend, Scalar>(device(), q.transposed(), q, gram);
    Workspace::Frame host_frame(host_workspace());
    Scalar* host = host_frame.template allocate<Scalar>(gram.size());
    Kernels<Backend>::download(device(), View<const Scalar>(gram), host);
    for (Index j = 0; j < q.cols; ++j) {
      host[j * q.cols + j] -= Scalar{1};
    }
    return safe_norm(host, gram.size());
  }

  std::vector<double> spectrum_; // of the core before the cut
};

} // namespace detail

ACCRETE_END_NAMESPACE
