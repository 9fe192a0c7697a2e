// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/accrete.hpp>

#include <Eigen/Dense>

#include <doctest/doctest.h>

#include <limits>
#include <random>

/// Dense matrices of the tests, and the precision that their expected values are computed in.
template <class Scalar>
using Dense = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
using Exact = Dense<long double>;

/// Entries uniform in (-1, 1), the same for every run.
template <class Scalar>
Dense<Scalar> random_matrix(Eigen::Index rows, Eigen::Index cols, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  return Dense<Scalar>::NullaryExpr(rows, cols,
                                    [&] { return static_cast<Scalar>(uniform(generator)); });
}

/// The value of an Eigen object, or of a matrix, view or expression of any backend.
template <class Matrix>
Exact exact(const Matrix& m) {
  return accrete::to_host(m).template cast<long double>();
}

/// Rounding of a chain of sums and products: each of `operations` (inner dimensions, summed)
/// multiply-adds errs by eps relative to the product of the norms of all operands.
template <class Scalar>
long double rounding_bound(Eigen::Index operations, long double norms) {
  return static_cast<long double>(operations) * std::numeric_limits<Scalar>::epsilon() * norms;
}

#define CHECK_CLOSE(actual, expected, bound) CHECK(((exact(actual)) - (expected)).norm() <= (bound))
