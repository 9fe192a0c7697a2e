// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/delayed_rotations.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Singular value decomposition of a matrix with at least as many rows as columns, not many more:
/// reflections to upper bidiagonal form (Golub, Kahan, "Calculating the singular values and
/// pseudo-inverse of a matrix", SIAM J. Numer. Anal. 2, 1965), each pass over the matrix with an
/// update and a product in one (Howell, Demmel, Fulton, Hammarling, Marmolejo, "Cache efficient
/// bidiagonalization using BLAS 2.5 operators", ACM TOMS 34, 2008), then implicit QR steps. The
/// bidiagonal matrix is kept in double, whatever the scalar: its recurrences wait for each other,
/// not for arithmetic. Without heap traffic once the workspace is warm.
template <class Scalar>
class BidiagonalSvd {
 public:
  /// Of scale * a, whose largest entry is about 1. Memory from the frame: some (m + n) n scalars.
  BidiagonalSvd(const HostTools<Scalar>& tools, Workspace::Frame& frame, View<const Scalar> a,
                Scalar scale, bool with_vectors)
      : tools_(tools),
        left_(frame, a.rows, a.cols),
        right_(frame, with_vectors ? a.cols : 0, a.cols),
        diagonal_(frame.allocate<double>(a.cols)),
        beside_(frame.allocate<double>(a.cols)),
        left_factors_(frame.allocate<Scalar>(a.cols)),
        right_factors_(frame.allocate<Scalar>(a.cols)),
        with_vectors_(with_vectors) {
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        left_.column(j)[i] = scale * a(i, j);
      }
    }
    bidiagonalize(frame);
    if (with_vectors) {
      form_reflections(tools, left_, left_factors_, 0);
      form_reflections(tools, right_, right_factors_, 1);
    }
    converged_ = diagonalize();
    sort(frame);
  }

  /// False where the QR steps did not converge; then there is no result.
  [[nodiscard]] bool converged() const noexcept { return converged_; }

  /// The vectors, if they were asked for, and the values divided by `scale`, descending.
  void store(View<Scalar> u, View<Scalar> values, View<Scalar> v, Scalar scale) const {
    for (Index j = 0; j < left_.cols; ++j) {
      const Index from = order_[j];
      values(j, 0) = static_cast<Scalar>(std::abs(diagonal_[from])) / scale;
      if (with_vectors_) {
        const Scalar sign = diagonal_[from] < 0 ? Scalar{-1} : Scalar{1};
        copy(left_.column(from), Scalar{1}, u, j);
        copy(right_.column(from), sign, v, j);
      }
    }
  }

 private:
  using Matrix = PaddedMatrix<Scalar>;
  using Vector = typename Lanes<Scalar>::type;
  using Sweep = typename DelayedRotations<Scalar>::Sweep;
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

  /// A <- the left reflections' vectors, the right ones' into right_ one column on. On one thread:
  /// each pass is too short to be shared.
  void bidiagonalize(Workspace::Frame& frame) {
    const Index n = left_.cols;
    const Index rows = left_.stride;
    const Index cols = round_up(n, lanes);
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
      const Reflection<Scalar> of_column = reflect(v, k, rows);
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
        const Reflection<Scalar> of_row = reflect(row, k + 1, cols);
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
  bool diagonalize() {
    const Index n = left_.cols;
    Workspace::Frame frame(tools_.workspace);
    DelayedRotations<Scalar> of_left(tools_, frame, left_);
    DelayedRotations<Scalar> of_right(tools_, frame, right_);
    double largest = 0;
    for (Index i = 0; i < n; ++i) {
      largest = (std::max)(largest, std::abs(diagonal_[i]));
      if (i + 1 < n) {
        largest = (std::max)(largest, std::abs(beside_[i]));
      }
    }
    // Not less than what rotations leave behind: equal values would never part.
    constexpr double rounding = 4 * std::numeric_limits<double>::epsilon();
    constexpr double resolution = static_cast<double>(std::numeric_limits<Scalar>::epsilon()) / 4;
    const double negligible = largest * (std::max)(rounding, resolution);
    Index steps_left = 60 * n;
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
      if (steps_left-- == 0) {
        return false;
      }
      const double shift =
          is_singular ? 0.0
                      : smaller_value(diagonal_[last - 1], beside_[last - 1], diagonal_[last]);
      if (with_vectors_) {
        step<true>(first, last, shift, of_right.next(first, last), of_left.next(first, last));
      } else {
        Sweep none{};
        step<false>(first, last, shift, none, none);
      }
    }
    if (with_vectors_) {
      of_left.apply();
      of_right.apply();
    }
    return true;
  }

  /// One QR step from `first` down to `last`, its rotations kept for the vectors.
  template <bool keeps>
  void step(Index first, Index last, double shift, Sweep& of_right, Sweep& of_left) {
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
      if constexpr (keeps) {
        of_right.cosines[i] = static_cast<Scalar>(right.cosine);
        of_right.sines[i] = static_cast<Scalar>(right.sine);
        of_left.cosines[i] = static_cast<Scalar>(left.cosine);
        of_left.sines[i] = static_cast<Scalar>(left.sine);
      }
    }
    e[last - 1] = f;
    d[last] = here;
  }

  void sort(Workspace::Frame& frame) {
    order_ = frame.allocate<Index>(left_.cols);
    for (Index j = 0; j < left_.cols; ++j) {
      order_[j] = j;
    }
    std::sort(order_, order_ + left_.cols,
              [this](Index x, Index y) { return std::abs(diagonal_[x]) > std::abs(diagonal_[y]); });
  }

  HostTools<Scalar> tools_;
  Matrix left_;
  Matrix right_;
  double* diagonal_;
  double* beside_;
  Scalar* left_factors_;
  Scalar* right_factors_;
  Index* order_ = nullptr;
  bool with_vectors_;
  bool converged_ = false;
};

} // namespace detail

ACCRETE_END_NAMESPACE
