// SPDX-License-Identifier: MIT
#pragma once

#include "methods/method_support.hpp"

#include <Eigen/Dense>
#include <doctest/doctest.h>

namespace method_test {

/// Leading left singular vectors of `matrix`, to rounding or to `slack`.
inline void check_leading(const Mat& basis, const Mat& matrix, double slack) {
  CHECK((basis.transpose() * basis - Mat::Identity(basis.cols(), basis.cols())).norm() < 1e-13);
  const Eigen::VectorXd values = Eigen::JacobiSVD<Mat>(matrix).singularValues();
  const double tail = values.tail(values.size() - basis.cols()).norm();
  CHECK((matrix - basis * (basis.transpose() * matrix)).norm() <=
        (1 + slack) * tail + 1e-14 * values[0]);
}

/// A matrix with no more rows than columns: itself or its transpose, as methods take W.
inline Mat wide(const Mat& matrix) {
  return matrix.rows() < matrix.cols() ? matrix : Mat(matrix.transpose());
}

} // namespace method_test
