// SPDX-License-Identifier: MIT
#pragma once

#include "model/config.hpp"

#include <random>
#include <vector>

namespace gpt::test {

template <class Scalar = double>
Matrix<Scalar> random_matrix(Index rows, Index cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  return Matrix<Scalar>::NullaryExpr(
      rows, cols, [&](Index, Index) { return static_cast<Scalar>(normal(random)); });
}

inline GptConfig tiny_config(WeightKind weights = WeightKind::full,
                             LayerSet layers = LayerSet::mlp) {
  GptConfig config;
  config.layers = 2;
  config.heads = 2;
  config.width = 16;
  config.context = 8;
  config.vocabulary = 11;
  config.weights = weights;
  config.factored_layers = layers;
  return config;
}

inline constexpr WeightKind weight_kinds[] = {WeightKind::full, WeightKind::low_rank,
                                              WeightKind::inrank, WeightKind::inrank_efficient};

template <class Scalar>
Matrix<Scalar> copy(accrete::View<const Scalar> view) {
  Matrix<Scalar> result(view.rows, view.cols);
  for (Index j = 0; j < view.cols; ++j) {
    for (Index i = 0; i < view.rows; ++i) {
      result(i, j) = view(i, j);
    }
  }
  return result;
}

/// Adds numbers of the given deviation to every trained tensor: away from the start, where some
/// gradients vanish.
template <class Model>
void disturb(Model& model, double deviation) {
  unsigned seed = 0;
  model.for_each_parameter([&](const auto& p) {
    if (!p.is_trained()) {
      return;
    }
    const auto noise = random_matrix(p.value.rows, p.value.cols, ++seed);
    for (Index j = 0; j < noise.cols(); ++j) {
      for (Index i = 0; i < noise.rows(); ++i) {
        p.value(i, j) +=
            static_cast<std::remove_cvref_t<decltype(p.value(0, 0))>>(deviation * noise(i, j));
      }
    }
  });
}

inline std::vector<int> random_tokens(Index count, Index vocabulary, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int> tokens(static_cast<std::size_t>(count));
  for (int& token : tokens) {
    token = static_cast<int>(random() % static_cast<unsigned>(vocabulary));
  }
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
