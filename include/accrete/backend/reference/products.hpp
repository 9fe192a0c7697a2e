// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/function.hpp>
#include <accrete/finite.hpp>

#include <cmath>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Naive products and elementwise kernels: one accumulator an entry, summed in index order.
struct ReferenceArithmetic {
  template <class Scalar>
  static void gemm(Device<Reference>&, Scalar alpha, View<const Scalar> a, View<const Scalar> b,
                   Scalar beta, View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        Scalar sum{0};
        for (Index k = 0; k < a.cols; ++k) {
          sum += a(i, k) * b(k, j);
        }
        c(i, j) = beta == Scalar{0} ? alpha * sum : alpha * sum + beta * c(i, j);
      }
    }
  }

  template <class Scalar>
  static void gemv(Device<Reference>& device, Scalar alpha, View<const Scalar> a,
                   View<const Scalar> x, Scalar beta, View<Scalar> y) {
    gemm(device, alpha, a, x, beta, y);
  }

  template <class Scalar>
  static void combine(Device<Reference>&, Scalar alpha, View<const Scalar> a, Scalar beta,
                      View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        c(i, j) = beta == Scalar{0} ? alpha * a(i, j) : alpha * a(i, j) + beta * c(i, j);
      }
    }
  }

  template <class Scalar>
  static void fill(Device<Reference>&, Scalar value, View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        c(i, j) = value;
      }
    }
  }

  template <class Scalar>
  static void hadamard(Device<Reference>&, Scalar alpha, View<const Scalar> a, View<const Scalar> b,
                       Scalar beta, View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        const Scalar term = alpha * (a(i, j) * b(i, j));
        c(i, j) = beta == Scalar{0} ? term : term + beta * c(i, j);
      }
    }
  }

  template <class Scalar>
  static void map(Device<Reference>&, Function function, View<const Scalar> a, View<Scalar> c) {
    with_function(function, [&](auto known) {
      for (Index j = 0; j < c.cols; ++j) {
        for (Index i = 0; i < c.rows; ++i) {
          c(i, j) = known(a(i, j));
        }
      }
    });
  }

  template <class Scalar>
  static void absolute(Device<Reference>&, View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        c(i, j) = std::abs(c(i, j));
      }
    }
  }

  template <class Scalar>
  static double dot(Device<Reference>&, View<const Scalar> a, View<const Scalar> b) {
    double sum = 0.0;
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        sum += double{a(i, j)} * double{b(i, j)};
      }
    }
    return sum;
  }

  template <class Scalar>
  static double squared_norm(Device<Reference>& device, View<const Scalar> a) {
    return dot(device, a, a);
  }

  template <class Scalar>
  static bool all_finite(Device<Reference>&, View<const Scalar> a) {
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        if (!is_finite(a(i, j))) {
          return false;
        }
      }
    }
    return true;
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
