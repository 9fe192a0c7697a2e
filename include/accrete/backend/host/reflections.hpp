// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/lanes.hpp>
#include <accrete/backend/host/tools.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// A column-major matrix whose columns begin at vector boundaries and are padded with zeros, so
/// that loops over rows take whole vectors.
template <class Scalar>
struct PaddedMatrix {
  static constexpr Index lanes = Lanes<Scalar>::count;

  Scalar* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  PaddedMatrix() = default;
  /// Zero, in the caller's frame.
  PaddedMatrix(Workspace::Frame& frame, Index row_count, Index col_count)
      : rows(row_count), cols(col_count), stride(round_up(row_count, lanes)) {
    data = frame.allocate<Scalar>(stride * cols);
    std::fill_n(data, stride * cols, Scalar{0});
  }
  [[nodiscard]] Scalar* column(Index j) const noexcept { return data + j * stride; }
  /// Rows from `row` on of columns from `col` on, without the padding.
  [[nodiscard]] View<Scalar> corner(Index row, Index col) const noexcept {
    return {column(col) + row, rows - row, cols - col, stride, Order::column_major};
  }
};

/// Calls body(std::integral_constant<int, width>, j) for all columns in [first, last), `width` of
/// them at a time: their sums are independent of each other, which hides latencies.
template <class Body>
void by_columns(Index first, Index last, const Body& body) {
  for (; first + 4 <= last; first += 4) {
    body(std::integral_constant<int, 4>{}, first);
  }
  for (; first < last; ++first) {
    body(std::integral_constant<int, 1>{}, first);
  }
}

/// The reflection I - factor v vᵀ that turns a vector into (..., beta, 0, ...).
template <class Scalar>
struct Reflection {
  Scalar factor;
  double beta;
};

/// x <- the vector v of the reflection that turns the entries from `first` on of x into
/// (beta, 0, ...), v zero before `first` and 1 there. `count` is a multiple of the lanes. Entries
/// whose squares are next to underflow are far below rounding, and count as zero.
template <class Scalar>
Reflection<Scalar> reflect(Scalar* x, Index first, Index count) {
  using Vector = typename Lanes<Scalar>::type;
  using Limits = std::numeric_limits<Scalar>;
  constexpr Index lanes = Lanes<Scalar>::count;
  std::fill_n(x, first, Scalar{0});
  const auto alpha = static_cast<double>(x[first]);
  x[first] = Scalar{0};
  Vector squares{};
  for (Index i = first / lanes * lanes; i < count; i += lanes) {
    const Vector part = load_lanes(x + i);
    squares += part * part;
  }
  const Scalar rest = sum_of<Scalar>(squares);
  if (!(rest > (Limits::min)() / Limits::epsilon())) {
    std::fill(x + first, x + count, Scalar{0});
    x[first] = Scalar{1};
    return {Scalar{0}, alpha};
  }
  const double length = std::sqrt(alpha * alpha + static_cast<double>(rest));
  const double beta = alpha > 0 ? -length : length;
  const auto scale = static_cast<Scalar>(1 / (alpha - beta));
  for (Index i = first / lanes * lanes; i < count; i += lanes) {
    store_lanes(x + i, load_lanes(x + i) * scale);
  }
  x[first] = Scalar{1};
  return {static_cast<Scalar>((beta - alpha) / beta), beta};
}

/// `width` columns, `stride` apart: columns -= factor v (vᵀ columns), rows from `first` on.
template <int width, class Scalar>
void apply_reflection(Scalar* columns, Index stride, const Scalar* v, Scalar factor, Index first) {
  using Vector = typename Lanes<Scalar>::type;
  constexpr Index lanes = Lanes<Scalar>::count;
  first = first / lanes * lanes;
  Vector total[std::size_t{width}] = {};
  for (Index i = first; i < stride; i += lanes) {
    const Vector with = load_lanes(v + i);
    ACCRETE_UNROLL
    for (int c = 0; c < width; ++c) {
      total[c] += load_lanes(columns + c * stride + i) * with;
    }
  }
  Scalar sums[std::size_t{width}];
  ACCRETE_UNROLL
  for (int c = 0; c < width; ++c) {
    sums[c] = factor * sum_of<Scalar>(total[c]);
  }
  for (Index i = first; i < stride; i += lanes) {
    const Vector along = load_lanes(v + i);
    ACCRETE_UNROLL
    for (int c = 0; c < width; ++c) {
      Scalar* const place = columns + c * stride + i;
      store_lanes(place, load_lanes(place) - along * sums[c]);
    }
  }
}

/// Reflections are applied this many at a time, as products of matrices.
inline constexpr Index reflection_block = 32;
/// Up to this many columns stay in a cache, and are formed one reflection at a time.
inline constexpr Index cached_columns = 256;

/// Reflections 0, 1, ... whose vectors are the columns of a matrix, `width` of them from column
/// `first` on as one: I - V T Vᵀ (Schreiber, Van Loan, "A storage-efficient WY representation for
/// products of Householder transformations", SIAM J. Sci. Stat. Comput. 10, 1989).
template <class Scalar>
class BlockReflection {
 public:
  /// `vectors` is rows x width, zero above the first row of each vector; `top` rows are zero in
  /// all.
  BlockReflection(const HostTools<Scalar>& tools, Workspace::Frame& frame,
                  View<const Scalar> vectors, const Scalar* factors)
      : tools_(tools), v_(vectors) {
    const Index b = v_.cols;
    const View<Scalar> gram = dense_view(frame.allocate<Scalar>(b * b), b, b);
    const View<Scalar> t = dense_view(frame.allocate<Scalar>(b * b), b, b);
    tools.gemm(Scalar{1}, v_.transposed(), v_, Scalar{0}, gram);
    for (Index j = 0; j < b; ++j) {
      for (Index i = 0; i < b; ++i) {
        t(i, j) = i == j ? factors[j] : Scalar{0};
      }
      for (Index p = 0; p < j; ++p) {
        const Scalar weight = -factors[j] * gram(p, j);
        for (Index i = 0; i <= p; ++i) {
          t(i, j) += weight * t(i, p);
        }
      }
    }
    t_ = t;
  }

  /// c -= V T Vᵀ c, or with Tᵀ: the product of the reflections in reverse order.
  void apply(View<Scalar> c, bool transposed) const {
    if (c.empty()) {
      return;
    }
    Workspace::Frame frame(tools_.workspace);
    const View<Scalar> sums = dense_view(frame.allocate<Scalar>(v_.cols * c.cols), v_.cols, c.cols);
    const View<Scalar> weights =
        dense_view(frame.allocate<Scalar>(v_.cols * c.cols), v_.cols, c.cols);
    tools_.gemm(Scalar{1}, v_.transposed(), c, Scalar{0}, sums);
    tools_.gemm(Scalar{1}, transposed ? t_.transposed() : t_, sums, Scalar{0}, weights);
    tools_.gemm(Scalar{-1}, v_, weights, Scalar{1}, c);
  }

 private:
  const HostTools<Scalar>& tools_;
  View<const Scalar> v_;
  View<const Scalar> t_;
};

/// q <- the first columns of the product of its reflections: reflection k has its vector in column
/// k, which is zero above row k, and columns before `shift` have none.
template <class Scalar>
void form_reflections(const HostTools<Scalar>& tools, const PaddedMatrix<Scalar>& q,
                      const Scalar* factors, Index shift) {
  using Matrix = PaddedMatrix<Scalar>;
  constexpr Index lanes = Matrix::lanes;
  const Index width = q.cols <= cached_columns ? cached_columns : reflection_block;
  const Index blocks = ceil_div(q.cols - shift, width);
  for (Index block = blocks; block-- > 0;) {
    const Index first = shift + block * width;
    const Index last = (std::min)(first + width, q.cols);
    if (last < q.cols) {
      Workspace::Frame frame(tools.workspace);
      const View<Scalar> vectors = q.corner(first, first).left_columns(last - first);
      BlockReflection<Scalar>(tools, frame, vectors, factors + first)
          .apply(q.corner(first, last), false);
    }
    for (Index k = last; k-- > first;) {
      Scalar* const v = q.column(k);
      by_columns(k + 1, last, [&](auto count, Index j) {
        apply_reflection<count>(q.column(j), q.stride, v, factors[k], k);
      });
      for (Index i = k / lanes * lanes; i < q.stride; i += lanes) {
        store_lanes(v + i, load_lanes(v + i) * -factors[k]);
      }
      v[k] += Scalar{1};
    }
  }
  for (Index k = 0; k < (std::min)(shift, q.cols); ++k) {
    q.column(k)[k] = Scalar{1};
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
