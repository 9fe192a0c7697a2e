// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/factorization_checks.hpp>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Factorisations of the reference backend: loops only. Householder QR, one-sided Jacobi SVD
/// (Hestenes); Golub and Van Loan, Matrix Computations.
struct ReferenceFactorizations {
  /// As HostFactorizations::thin_qr.
  template <class Scalar>
  static void thin_qr(Device<Reference>&, View<Scalar> a_to_q, View<Scalar> r) {
    check_thin_qr(a_to_q, r);
    const Index m = a_to_q.rows;
    const Index k = a_to_q.cols;
    Dense<Scalar> a(a_to_q, "thin_qr");
    Dense<Scalar> q(m, k);
    std::vector<Scalar> beta(static_cast<std::size_t>(k));
    for (Index j = 0; j < k; ++j) {
      q(j, j) = Scalar{1};
      beta[static_cast<std::size_t>(j)] = make_reflector(a, j);
    }
    for (Index j = k; j-- > 0;) {
      reflect(a, j, beta[static_cast<std::size_t>(j)], q, j);
    }
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < k; ++i) {
        r(i, j) = i < j ? a(i, j) / a.scale : i == j ? a.diagonal[std::size_t(j)] / a.scale : 0;
      }
    }
    q.store(a_to_q);
  }

  /// As HostFactorizations::svd.
  template <class Scalar>
  static void svd(Device<Reference>& device, std::type_identity_t<View<const Scalar>> a,
                  View<Scalar> u, View<Scalar> values, View<Scalar> v) {
    check_svd<Scalar>(a, u, values, v);
    if (a.rows < a.cols) {
      return svd<Scalar>(device, a.transposed(), v, values, u);
    }
    const Index n = a.cols;
    Dense<Scalar> work(a, "svd");
    Dense<Scalar> right(n, n);
    for (Index j = 0; j < n; ++j) {
      right(j, j) = Scalar{1};
    }
    std::vector<double> norms = orthogonalise_columns(work, right);

    std::vector<Index> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) {
      return norms[std::size_t(i)] > norms[std::size_t(j)];
    });
    const double largest = n > 0 ? norms[static_cast<std::size_t>(order[0])] : 0.0;
    const double negligible = largest * std::numeric_limits<Scalar>::epsilon();
    Dense<Scalar> left(work.rows, n);
    for (Index j = 0; j < n; ++j) {
      const Index source = order[static_cast<std::size_t>(j)];
      const double norm = norms[static_cast<std::size_t>(source)];
      values(j, 0) = static_cast<Scalar>(norm) / work.scale;
      if (norm > negligible) {
        for (Index i = 0; i < work.rows; ++i) {
          left(i, j) = static_cast<Scalar>(work(i, source) / norm);
        }
      } else {
        complete_column(left, j);
      }
      if (v.data != nullptr) {
        for (Index i = 0; i < n; ++i) {
          v(i, j) = right(i, source);
        }
      }
    }
    if (u.data != nullptr) {
      left.store(u);
    }
  }

 private:
  /// Column-major copy of an operand, scaled by a power of two so that its largest entry is near 1.
  template <class Scalar>
  struct Dense {
    Index rows;
    Index cols;
    Scalar scale{1};
    std::vector<Scalar> data;
    std::vector<Scalar> diagonal;

    Dense(Index m, Index n) : rows(m), cols(n), data(static_cast<std::size_t>(m * n), Scalar{0}) {}
    template <class Source>
    Dense(const View<Source>& a, const char* operation) : Dense(a.rows, a.cols) {
      Scalar largest{0};
      for (Index j = 0; j < cols; ++j) {
        for (Index i = 0; i < rows; ++i) {
          if (!is_finite(a(i, j))) {
            throw_not_finite(operation, rows, cols);
          }
          largest = (std::max)(largest, std::abs(a(i, j)));
        }
      }
      scale = unit_scale(largest);
      for (Index j = 0; j < cols; ++j) {
        for (Index i = 0; i < rows; ++i) {
          (*this)(i, j) = a(i, j) * scale;
        }
      }
      diagonal.resize(static_cast<std::size_t>(cols));
    }
    Scalar& operator()(Index i, Index j) { return data[static_cast<std::size_t>(i + j * rows)]; }
    void store(const View<Scalar>& target) {
      for (Index j = 0; j < cols; ++j) {
        for (Index i = 0; i < rows; ++i) {
          target(i, j) = (*this)(i, j);
        }
      }
    }
  };

  /// Sum over i >= first of a(i, j) b(i, k), in double.
  template <class Scalar>
  static double column_dot(Dense<Scalar>& a, Index j, Dense<Scalar>& b, Index k, Index first = 0) {
    double sum = 0.0;
    for (Index i = first; i < a.rows; ++i) {
      sum += double{a(i, j)} * double{b(i, k)};
    }
    return sum;
  }

  /// Replaces column j from the diagonal on by the reflector x that maps it onto the diagonal,
  /// applies I - beta x xᵀ to the later columns and returns beta. The column may be of any unit: x
  /// is that of the column brought to about 1.
  template <class Scalar>
  static Scalar make_reflector(Dense<Scalar>& a, Index j) {
    Scalar largest{0};
    for (Index i = j; i < a.rows; ++i) {
      largest = (std::max)(largest, std::abs(a(i, j)));
    }
    const Scalar scale = unit_scale(largest);
    for (Index i = j; i < a.rows; ++i) {
      a(i, j) *= scale;
    }
    const auto norm = static_cast<Scalar>(std::sqrt(column_dot(a, j, a, j, j)));
    const Scalar target = a(j, j) > Scalar{0} ? -norm : norm;
    a.diagonal[static_cast<std::size_t>(j)] = target / scale;
    a(j, j) -= target;
    const double squared = column_dot(a, j, a, j, j);
    const Scalar beta = squared > 0 ? static_cast<Scalar>(2 / squared) : Scalar{0};
    reflect(a, j, beta, a, j + 1);
    return beta;
  }

  /// b.columns(from j0 on) -= beta x (xᵀ b) for the reflector x in column j of a.
  template <class Scalar>
  static void reflect(Dense<Scalar>& a, Index j, Scalar beta, Dense<Scalar>& b, Index j0) {
    for (Index k = j0; k < b.cols; ++k) {
      const auto factor = static_cast<Scalar>(beta * column_dot(a, j, b, k, j));
      for (Index i = j; i < b.rows; ++i) {
        b(i, k) -= factor * a(i, j);
      }
    }
  }

  /// (x, y) <- (c x - s y, s x + c y) on columns i and j.
  template <class Scalar>
  static void rotate_columns(Dense<Scalar>& a, Index i, Index j, double c, double s) {
    for (Index k = 0; k < a.rows; ++k) {
      const double x = a(k, i);
      const double y = a(k, j);
      a(k, i) = static_cast<Scalar>(c * x - s * y);
      a(k, j) = static_cast<Scalar>(s * x + c * y);
    }
  }

  struct Rotation {
    double cosine;
    double sine;
  };

  /// The rotation by less than 45 degrees that makes [[alpha, gamma], [gamma, beta]] diagonal.
  static Rotation jacobi_rotation(double alpha, double beta, double gamma) {
    const double zeta = (beta - alpha) / (2 * gamma);
    const double t = (zeta >= 0 ? 1.0 : -1.0) / (std::abs(zeta) + std::hypot(1.0, zeta));
    const double c = 1 / std::hypot(1.0, t);
    return {c, c * t};
  }

  static constexpr int most_sweeps = 60;

  /// Rotates pairs of columns of `a` until all are orthogonal, collects the rotations in `right`
  /// and returns the columns' norms. Columns below the rounding of the whole are left alone: their
  /// direction is noise.
  template <class Scalar>
  static std::vector<double> orthogonalise_columns(Dense<Scalar>& a, Dense<Scalar>& right) {
    constexpr double epsilon = std::numeric_limits<Scalar>::epsilon();
    double total = 0;
    for (Index j = 0; j < a.cols; ++j) {
      total += column_dot(a, j, a, j);
    }
    const double noise = epsilon * epsilon * total / 16;
    bool changed = true;
    for (int sweep = 0; changed && sweep < most_sweeps; ++sweep) {
      changed = false;
      for (Index i = 0; i < a.cols; ++i) {
        for (Index j = i + 1; j < a.cols; ++j) {
          const double alpha = column_dot(a, i, a, i);
          const double beta = column_dot(a, j, a, j);
          const double gamma = column_dot(a, i, a, j);
          if ((std::min)(alpha, beta) <= noise) {
            continue;
          }
          if (std::abs(gamma) <= epsilon * std::sqrt(alpha * beta)) {
            continue;
          }
          const Rotation rotation = jacobi_rotation(alpha, beta, gamma);
          rotate_columns(a, i, j, rotation.cosine, rotation.sine);
          rotate_columns(right, i, j, rotation.cosine, rotation.sine);
          changed = true;
        }
      }
    }
    std::vector<double> norms(static_cast<std::size_t>(a.cols));
    for (Index j = 0; j < a.cols; ++j) {
      norms[static_cast<std::size_t>(j)] = std::sqrt(column_dot(a, j, a, j));
    }
    return norms;
  }

  /// Column j of q <- a unit vector orthogonal to the columns before it: the coordinate vector that
  /// they span least, orthogonalised twice.
  template <class Scalar>
  static void complete_column(Dense<Scalar>& q, Index j) {
    Index pivot = 0;
    double least = std::numeric_limits<double>::infinity();
    for (Index i = 0; i < q.rows; ++i) {
      double spanned = 0;
      for (Index k = 0; k < j; ++k) {
        spanned += double{q(i, k)} * double{q(i, k)};
      }
      if (spanned < least) {
        least = spanned;
        pivot = i;
      }
    }
    q(pivot, j) = Scalar{1};
    for (int pass = 0; pass < 2; ++pass) {
      for (Index k = 0; k < j; ++k) {
        const double projection = column_dot(q, k, q, j);
        for (Index i = 0; i < q.rows; ++i) {
          q(i, j) -= static_cast<Scalar>(projection * q(i, k));
        }
      }
      const double norm = std::sqrt(column_dot(q, j, q, j));
      for (Index i = 0; i < q.rows; ++i) {
        q(i, j) = static_cast<Scalar>(q(i, j) / norm);
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
