// SPDX-License-Identifier: MIT
#pragma once

#include "model/config.hpp"
#include "model/weights.hpp"

#include <accrete/grow/growth.hpp>

#include <cmath>
#include <variant>

namespace gpt {

/// How a linear layer's weight starts.
struct InitialWeight {
  WeightKind kind = WeightKind::full;
  Index rows = 0, cols = 0;
  double deviation = 0.02; ///< of the entries of the dense matrix that it is, or stands for
  Index rank = 0;          ///< of the factors at the start
  Index columns = 0;       ///< of the factors: the rank and a buffer
  std::uint64_t seed = 0;
};

namespace detail {

template <class Scalar, class Backend>
Matrix<Scalar, Backend> normal_matrix(Index rows, Index cols, double deviation, std::uint64_t seed,
                                      const std::string& name) {
  Matrix<Scalar, Backend> result(rows, cols);
  accrete::Kernels<Backend>::fill_normal(current_device<Backend>(), tensor_seed(seed, name),
                                         deviation, accrete::view_of(result));
  return result;
}

} // namespace detail

/// N(0, deviation^2).
template <class Scalar, class Backend>
DenseWeight<Scalar, Backend> initial_dense(const InitialWeight& w, const std::string& name) {
  return DenseWeight<Scalar, Backend>(detail::normal_matrix<Scalar, Backend>(
      w.rows, w.cols, w.deviation, w.seed, name + ".weight"));
}

/// U Vᵀ whose entries have the variance of the dense start, columns * var(U) * var(V), shared
/// equally by both factors.
template <class Scalar, class Backend>
auto initial_low_rank(const InitialWeight& w, const std::string& name) {
  const double entry = std::sqrt(w.deviation / std::sqrt(static_cast<double>(w.columns)));
  const auto factor = [&](Index rows, const char* suffix) {
    return detail::normal_matrix<Scalar, Backend>(rows, w.columns, entry, w.seed, name + suffix);
  };
  accrete::LowRankMatrix<Scalar, Backend> matrix(factor(w.rows, ".weight_u"),
                                                 factor(w.cols, ".weight_v"));
  return FactoredWeight<accrete::LowRankMatrix<Scalar, Backend>>(
      std::move(matrix), w.rank, entry * std::sqrt(static_cast<double>(w.rows)));
}

/// W0 + U Vᵀ with W0 as the dense start, V zero, and orthogonal columns in U that are as long as
/// those of W0 are on average: at the start the layer computes W0 x.
template <class Scalar, class Backend>
auto initial_cumulative(const InitialWeight& w, const std::string& name) {
  const double length = w.deviation * std::sqrt(static_cast<double>(w.rows));
  accrete::CumulativeUpdate<Scalar, Backend> matrix(detail::normal_matrix<Scalar, Backend>(
      w.rows, w.cols, w.deviation, w.seed, name + ".weight"));
  matrix.grow(w.columns,
              accrete::init::orthogonal(length, tensor_seed(w.seed, name + ".weight_u")));
  return FactoredWeight<accrete::CumulativeUpdate<Scalar, Backend>>(std::move(matrix), w.rank,
                                                                    length);
}

template <class Scalar, class Backend>
using AnyWeight = std::variant<DenseWeight<Scalar, Backend>,
                               FactoredWeight<accrete::LowRankMatrix<Scalar, Backend>>,
                               FactoredWeight<accrete::CumulativeUpdate<Scalar, Backend>>>;

template <class Scalar, class Backend>
AnyWeight<Scalar, Backend> initial_weight(const InitialWeight& w, const std::string& name) {
  switch (w.kind) {
  case WeightKind::full:
    return initial_dense<Scalar, Backend>(w, name);
  case WeightKind::inrank:
    return initial_cumulative<Scalar, Backend>(w, name);
  case WeightKind::low_rank:
  case WeightKind::inrank_efficient:
    break;
  }
  return initial_low_rank<Scalar, Backend>(w, name);
}

} // namespace gpt
