// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <random>
#include <vector>

namespace gpt::test {

template <class Scalar = double>
Matrix<Scalar> random_matrix(Index rows, Index cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  return Matrix<Scalar>::NullaryExpr(rows, cols, [&](Index, Index) {
    return static_cast<Scalar>(normal(random));
  });
}

inline std::vector<int> random_tokens(Index count, Index vocabulary, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int> tokens(static_cast<std::size_t>(count));
  for (int& token : tokens) { token = static_cast<int>(random() % static_cast<unsigned>(vocabulary)); }
  return tokens;
}

/// |gradient - finite differences of `function`| / (sum of both norms), over all entries of `x`.
/// `function()` reads `x`; fourth-order central differences.
template <class Entries, class Function>
double gradient_error(Entries& x, const Matrix<double>& gradient, const Function& function) {
  const double step = 1e-3;
  Matrix<double> numeric(x.rows(), x.cols());
  for (Index i = 0; i < x.size(); ++i) {
    double& entry = x.data()[i];
    const double kept = entry;
    const auto at = [&](double offset) {
      entry = kept + offset;
      return function();
    };
    const double near = at(step) - at(-step);
    const double far = at(2 * step) - at(-2 * step);
    entry = kept;
    numeric.data()[i] = (8 * near - far) / (12 * step);
  }
  return (gradient - numeric).norm() / (gradient.norm() + numeric.norm());
}

} // namespace gpt::test
