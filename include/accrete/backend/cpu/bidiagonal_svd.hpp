// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/lanes.hpp>

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
  using Vector = typename Lanes<Scalar>::type;
  static constexpr Index lanes = Lanes<Scalar>::count;

  Scalar* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  static Index padded(Index count) noexcept { return (count + lanes - 1) / lanes * lanes; }

  /// Zero, in the caller's frame.
  PaddedMatrix(Workspace::Frame& frame, Index row_count, Index col_count)
      : rows(row_count), cols(col_count), stride(padded(row_count)) {
    data = frame.allocate<Scalar>(stride * cols);
    std::fill_n(data, stride * cols, Scalar{0});
  }
  [[nodiscard]] Scalar* column(Index j) const noexcept { return data + j * stride; }
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

/// Singular value decomposition of a small matrix with at least as many rows as columns:
/// reflections to upper bidiagonal form (Golub, Kahan, "Calculating the singular values and
/// pseudo-inverse of a matrix", SIAM J. Numer. Anal. 2, 1965), each pass over the matrix with an
/// update and a product in one (Howell, Demmel, Fulton, Hammarling, Marmolejo, "Cache efficient
/// bidiagonalization using BLAS 2.5 operators", ACM TOMS 34, 2008), then implicit QR steps. The
/// bidiagonal matrix is kept in double, whatever the scalar: its recurrences wait for each other,
/// not for arithmetic. On one thread and without heap traffic once the workspace is warm.
template <class Scalar>
class BidiagonalSvd {
 public:
  /// Of scale * a, whose largest entry is about 1. Memory from the frame: some (m + n) n scalars.
  BidiagonalSvd(Workspace::Frame& frame, View<const Scalar> a, Scalar scale, bool with_vectors)
      : left_(frame, a.rows, a.cols),
        right_(frame, with_vectors ? a.cols : 0, a.cols),
        diagonal_(frame.allocate<double>(a.cols)),
        beside_(frame.allocate<double>(a.cols)),
        left_factors_(frame.allocate<Scalar>(a.cols)),
        right_factors_(frame.allocate<Scalar>(a.cols)),
        scale_(scale),
        with_vectors_(with_vectors) {
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        left_.column(j)[i] = scale * a(i, j);
      }
    }
    bidiagonalize(frame);
    if (with_vectors) {
      form(left_, left_factors_, 0);
      form(right_, right_factors_, 1);
    }
    converged_ = diagonalize(frame);
    sort(frame);
  }

  /// False where the QR steps did not converge, which nobody has seen; then there is no result.
  [[nodiscard]] bool converged() const noexcept { return converged_; }

  /// The vectors, if they were asked for, and the values of a, descending.
  void store(View<Scalar> u, View<Scalar> values, View<Scalar> v) const {
    for (Index j = 0; j < left_.cols; ++j) {
      const Index from = order_[j];
      values(j, 0) = static_cast<Scalar>(std::abs(diagonal_[from])) / scale_;
      if (with_vectors_) {
        const Scalar sign = diagonal_[from] < 0 ? Scalar{-1} : Scalar{1};
        copy(left_.column(from), Scalar{1}, u, j);
        copy(right_.column(from), sign, v, j);
      }
    }
  }

 private:
  using Matrix = PaddedMatrix<Scalar>;
  using Vector = typename Matrix::Vector;
  static constexpr Index lanes = Matrix::lanes;

  struct Rotation {
    double cosine;
    double sine;
    double length;
  };

  static void copy(const Scalar* from, Scalar factor, View<Scalar> to, Index j) {
    for (Index i = 0; i < to.rows; ++i) {
      to(i, j) = factor * from[i];
    }
  }

  /// x <- the vector v of the reflection I - factor v vᵀ that turns the entries from `first` on of
  /// x into (beta, 0, ...), v zero before `first` and 1 there. Entries whose squares are next to
  /// underflow are far below rounding, and count as zero.
  struct Reflection {
    Scalar factor;
    double beta;
  };
  static Reflection reflect(Scalar* x, Index first, Index count) {
    std::fill_n(x, first, Scalar{0});
    const double alpha = static_cast<double>(x[first]);
    x[first] = Scalar{0};
    Vector squares{};
    for (Index i = first / lanes * lanes; i < count; i += lanes) {
      const Vector part = load_lanes(x + i);
      squares += part * part;
    }
    const Scalar rest = sum_of<Scalar>(squares);
    using Limits = std::numeric_limits<Scalar>;
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

  /// A <- the left reflections' vectors, the right ones' into right_ one column on.
  void bidiagonalize(Workspace::Frame& frame) {
    const Index n = left_.cols;
    const Index rows = left_.stride;
    const Index cols = Matrix::padded(n);
    Scalar* const product = frame.allocate<Scalar>(rows); // A times the right vector
    Scalar* const row = frame.allocate<Scalar>(cols);     // the right vector
    Scalar* const sums = frame.allocate<Scalar>(n);
    std::fill_n(product, rows, Scalar{0});
    std::fill_n(row, cols, Scalar{0});
    for (Index k = 0; k < n; ++k) {
      const Index first = k / lanes * lanes;
      Scalar* const v = left_.column(k);
      for (Index i = first; i < rows; i += lanes) {
        store_lanes(v + i, load_lanes(v + i) - load_lanes(product + i) * row[k]);
      }
      const Reflection of_column = reflect(v, k, rows);
      diagonal_[k] = of_column.beta;
      left_factors_[k] = of_column.factor;
      by_columns(k + 1, n, [&](auto width, Index j) {
        subtract_and_sum<width>(first, left_.column(j), product, row + j, v, sums + j);
      });
      for (Index j = k + 1; j < n; ++j) {
        sums[j] *= of_column.factor;
        row[j] = left_.column(j)[k] - sums[j];
      }
      Scalar factor{0};
      if (k + 1 < n) {
        const Reflection of_row = reflect(row, k + 1, cols);
        beside_[k] = of_row.beta;
        factor = of_row.factor;
        if (with_vectors_) {
          std::copy_n(row, n, right_.column(k + 1));
          right_factors_[k + 1] = factor;
        }
      }
      std::fill_n(product, rows, Scalar{0});
      by_columns(k + 1, n, [&](auto width, Index j) {
        subtract_and_add<width>(first, left_.column(j), v, sums + j, row + j, product);
      });
      for (Index i = first; i < rows; i += lanes) {
        store_lanes(product + i, load_lanes(product + i) * factor);
      }
    }
  }

  /// columns -= x factorsᵀ; sums = columnsᵀ v
  template <int width>
  void subtract_and_sum(Index first, Scalar* columns, const Scalar* x, const Scalar* factors,
                        const Scalar* v, Scalar* sums) const {
    Vector total[std::size_t{width}] = {};
    for (Index i = first; i < left_.stride; i += lanes) {
      const Vector along = load_lanes(x + i);
      const Vector with = load_lanes(v + i);
      ACCRETE_UNROLL
      for (int c = 0; c < width; ++c) {
        Scalar* const place = columns + c * left_.stride + i;
        const Vector value = load_lanes(place) - along * factors[c];
        store_lanes(place, value);
        total[c] += value * with;
      }
    }
    ACCRETE_UNROLL
    for (int c = 0; c < width; ++c) {
      sums[c] = sum_of<Scalar>(total[c]);
    }
  }

  /// columns -= v factorsᵀ; product += columns weights
  template <int width>
  void subtract_and_add(Index first, Scalar* columns, const Scalar* v, const Scalar* factors,
                        const Scalar* weights, Scalar* product) const {
    for (Index i = first; i < left_.stride; i += lanes) {
      const Vector along = load_lanes(v + i);
      Vector total = load_lanes(product + i);
      ACCRETE_UNROLL
      for (int c = 0; c < width; ++c) {
        Scalar* const place = columns + c * left_.stride + i;
        const Vector value = load_lanes(place) - along * factors[c];
        store_lanes(place, value);
        total += value * weights[c];
      }
      store_lanes(product + i, total);
    }
  }

  /// q <- the product of its reflections, whose vectors are its columns from `shift` on.
  static void form(const Matrix& q, const Scalar* factors, Index shift) {
    for (Index k = q.cols; k-- > shift;) {
      const Index first = k / lanes * lanes;
      Scalar* const v = q.column(k);
      by_columns(k + 1, q.cols,
                 [&](auto width, Index j) { apply<width>(first, q, q.column(j), v, factors[k]); });
      for (Index i = first; i < q.stride; i += lanes) {
        store_lanes(v + i, load_lanes(v + i) * -factors[k]);
      }
      v[k] += Scalar{1};
    }
    for (Index k = 0; k < (std::min)(shift, q.cols); ++k) {
      q.column(k)[k] = Scalar{1};
    }
  }

  /// columns -= factor v (vᵀ columns)
  template <int width>
  static void apply(Index first, const Matrix& q, Scalar* columns, const Scalar* v, Scalar factor) {
    Vector total[std::size_t{width}] = {};
    for (Index i = first; i < q.stride; i += lanes) {
      const Vector with = load_lanes(v + i);
      ACCRETE_UNROLL
      for (int c = 0; c < width; ++c) {
        total[c] += load_lanes(columns + c * q.stride + i) * with;
      }
    }
    Scalar sums[std::size_t{width}];
    ACCRETE_UNROLL
    for (int c = 0; c < width; ++c) {
      sums[c] = factor * sum_of<Scalar>(total[c]);
    }
    for (Index i = first; i < q.stride; i += lanes) {
      const Vector along = load_lanes(v + i);
      ACCRETE_UNROLL
      for (int c = 0; c < width; ++c) {
        Scalar* const place = columns + c * q.stride + i;
        store_lanes(place, load_lanes(place) - along * sums[c]);
      }
    }
  }

  /// The rotation that turns (f, g) into (length, 0).
  static Rotation rotation(double f, double g) {
    const double square = f * f + g * g;
    if (square > 1e-280) {
      const double length = std::sqrt(square);
      return {f / length, g / length, length};
    }
    const double length = std::hypot(f, g); // f and g may be zero, or their squares
    return length > 0 ? Rotation{f / length, g / length, length} : Rotation{1, 0, 0};
  }

  /// The smaller singular value of [f g; 0 h].
  static double smaller_value(double f, double g, double h) {
    f = std::abs(f);
    g = std::abs(g);
    h = std::abs(h);
    const double larger = (std::hypot(f + h, g) + std::hypot(f - h, g)) / 2;
    return larger > 0 ? f / larger * h : 0;
  }

  /// Implicit QR steps until nothing is left beside the diagonal.
  bool diagonalize(Workspace::Frame& frame) {
    const Index n = left_.cols;
    Scalar* const rotations = frame.allocate<Scalar>(4 * n);
    double largest = 0;
    for (Index i = 0; i < n; ++i) {
      largest = (std::max)(largest, std::abs(diagonal_[i]));
      if (i + 1 < n) {
        largest = (std::max)(largest, std::abs(beside_[i]));
      }
    }
    const double negligible =
        largest * static_cast<double>(std::numeric_limits<Scalar>::epsilon()) / 4;
    Index left_steps = 60 * n;
    for (Index last = n - 1; last > 0;) {
      Index first = last;
      bool is_singular = std::abs(diagonal_[last]) <= negligible;
      while (first > 0 && std::abs(beside_[first - 1]) > negligible) {
        --first;
        is_singular = is_singular || std::abs(diagonal_[first]) <= negligible;
      }
      if (first == last) {
        --last;
        continue;
      }
      if (left_steps-- == 0) {
        return false;
      }
      const double shift =
          is_singular ? 0.0
                      : smaller_value(diagonal_[last - 1], beside_[last - 1], diagonal_[last]);
      step(first, last, shift, rotations);
      if (with_vectors_) {
        rotate(right_, first, last, rotations, rotations + n);
        rotate(left_, first, last, rotations + 2 * n, rotations + 3 * n);
      }
    }
    return true;
  }

  /// One QR step from `first` down to `last`; the rotations' cosines and sines go to four arrays.
  void step(Index first, Index last, double shift, Scalar* rotations) {
    const Index n = left_.cols;
    double* const d = diagonal_;
    double* const e = beside_;
    double f =
        shift > 0 ? (std::abs(d[first]) - shift) * (std::copysign(1.0, d[first]) + shift / d[first])
                  : d[first];
    double g = e[first];
    double here = d[first];
    double beside = e[first];
    for (Index i = first; i < last; ++i) {
      const Rotation right = rotation(f, g);
      if (i > first) {
        e[i - 1] = right.length;
      }
      f = right.cosine * here + right.sine * beside;
      beside = right.cosine * beside - right.sine * here;
      g = right.sine * d[i + 1];
      here = right.cosine * d[i + 1];
      const Rotation left = rotation(f, g);
      d[i] = left.length;
      f = left.cosine * beside + left.sine * here;
      here = left.cosine * here - left.sine * beside;
      if (i + 1 < last) {
        g = left.sine * e[i + 1];
        beside = left.cosine * e[i + 1];
      }
      rotations[i] = static_cast<Scalar>(right.cosine);
      rotations[n + i] = static_cast<Scalar>(right.sine);
      rotations[2 * n + i] = static_cast<Scalar>(left.cosine);
      rotations[3 * n + i] = static_cast<Scalar>(left.sine);
    }
    e[last - 1] = f;
    d[last] = here;
  }

  /// Rotates columns first and first + 1, then first + 1 and first + 2, up to `last`.
  static void rotate(const Matrix& q, Index first, Index last, const Scalar* cosines,
                     const Scalar* sines) {
    Index i = 0;
    for (; i + 4 * lanes <= q.stride; i += 4 * lanes) {
      rotate_rows<4>(q, i, first, last, cosines, sines);
    }
    for (; i < q.stride; i += lanes) {
      rotate_rows<1>(q, i, first, last, cosines, sines);
    }
  }
  template <int height>
  static void rotate_rows(const Matrix& q, Index row, Index first, Index last,
                          const Scalar* cosines, const Scalar* sines) {
    Vector carried[std::size_t{height}];
    ACCRETE_UNROLL
    for (int h = 0; h < height; ++h) {
      carried[h] = load_lanes(q.column(first) + row + h * lanes);
    }
    for (Index j = first; j < last; ++j) {
      Scalar* const place = q.column(j) + row;
      const Scalar cosine = cosines[j];
      const Scalar sine = sines[j];
      ACCRETE_UNROLL
      for (int h = 0; h < height; ++h) {
        const Vector next = load_lanes(place + q.stride + h * lanes);
        store_lanes(place + h * lanes, carried[h] * cosine + next * sine);
        carried[h] = next * cosine - carried[h] * sine;
      }
    }
    ACCRETE_UNROLL
    for (int h = 0; h < height; ++h) {
      store_lanes(q.column(last) + row + h * lanes, carried[h]);
    }
  }

  void sort(Workspace::Frame& frame) {
    order_ = frame.allocate<Index>(left_.cols);
    for (Index j = 0; j < left_.cols; ++j) {
      order_[j] = j;
    }
    std::sort(order_, order_ + left_.cols,
              [this](Index x, Index y) { return std::abs(diagonal_[x]) > std::abs(diagonal_[y]); });
  }

  Matrix left_;
  Matrix right_;
  double* diagonal_;
  double* beside_;
  Scalar* left_factors_;
  Scalar* right_factors_;
  Index* order_ = nullptr;
  Scalar scale_;
  bool with_vectors_;
  bool converged_ = false;
};

} // namespace detail

ACCRETE_END_NAMESPACE
