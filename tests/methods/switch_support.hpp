// SPDX-License-Identifier: MIT
#pragma once

#include "methods/method_support.hpp"

#include <initializer_list>
#include <string>

// What the tests of methods that turn from W into U Vᵀ share.
namespace method_test {

/// U Vᵀ is the best approximation of W, and UᵀU = VᵀV = S: after that check both may be taken for
/// what the formulas give, whose signs are arbitrary.
inline void check_balanced_svd(const Mat& u, const Mat& v, const Mat& w) {
  const Eigen::JacobiSVD<Mat> svd(w, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Index r = u.cols();
  const Mat values = svd.singularValues().head(r).asDiagonal();
  const Mat best = svd.matrixU().leftCols(r) * values * svd.matrixV().leftCols(r).transpose();
  CHECK(difference(u * v.transpose(), best) < 1e-10);
  CHECK(difference(u.transpose() * u, values) < 1e-10);
  CHECK(difference(v.transpose() * v, values) < 1e-10);
}

/// Stopped after each of these numbers of 20 steps, a weight ends at the same parameters.
inline void check_resume(const std::string& method, const MethodSettings& settings,
                         std::initializer_list<int> stops, Index rows = 14, Index cols = 9) {
  const auto train_from = [&](Weight& weight, int first, int last) {
    for (int i = first; i < last; ++i) {
      train(weight, Batch(rows, cols, 12, static_cast<unsigned>(i)), step_info(i, 1e-2, 20));
    }
  };
  for (const int stop : stops) {
    CAPTURE(stop);
    const auto weight = make(method, settings, rows, cols);
    train_from(*weight, 0, stop);
    Snapshot kept(*weight);
    const auto resumed = make(method, settings, rows, cols);
    // Wherever the other one stands.
    train_from(*resumed, 0, 12);
    kept.restore(*resumed);
    train_from(*weight, stop, 20);
    train_from(*resumed, stop, 20);
    CHECK(parameters_of(*weight) == parameters_of(*resumed));
  }
}

} // namespace method_test
