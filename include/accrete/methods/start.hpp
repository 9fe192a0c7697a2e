// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/temporaries.hpp>
#include <accrete/matrix/low_rank_matrix.hpp>
#include <accrete/methods/trained_weight.hpp>

#include <cmath>
#include <cstdint>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Seed number `stream` of a weight.
[[nodiscard]] inline std::uint64_t seed_of(const WeightPlace& place, std::uint64_t stream) {
  std::uint64_t x = place.seed + 0x9e3779b97f4a7c15U * (stream + 1); // SplitMix64
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

/// Entries of N(0, deviation²).
template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> normal_matrix(Index rows, Index cols, double deviation,
                                                    std::uint64_t seed) {
  Matrix<Scalar, Backend> result(rows, cols);
  Kernels<Backend>::fill_normal(Context<Backend>::current().device(), seed, deviation,
                                view_of(result));
  return result;
}

template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> zero_matrix(Index rows, Index cols) {
  Matrix<Scalar, Backend> result(rows, cols);
  Kernels<Backend>::fill(Context<Backend>::current().device(), Scalar{0}, view_of(result));
  return result;
}

/// Gives storage another shape, where it has not; what it holds is lost with the old one.
template <class Storage>
void fit_storage(Storage& storage, Index rows, Index cols) {
  if (storage.rows() != rows || storage.cols() != cols) {
    storage = Storage(rows, cols);
  }
}

template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> copy_of(ViewOn<const Scalar, Backend> values) {
  Matrix<Scalar, Backend> result(values.rows, values.cols);
  Kernels<Backend>::combine(Context<Backend>::current().device(), Scalar{1}, values, Scalar{0},
                            view_of(result));
  return result;
}

/// The dense start of a weight.
template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> dense_start(const WeightPlace& place) {
  return normal_matrix<Scalar, Backend>(place.rows, place.cols, place.deviation, place.seed);
}

/// Entries of the factors of U Vᵀ, `columns` wide, for which those of the product have the
/// deviation of the dense start.
[[nodiscard]] inline double factor_deviation(const WeightPlace& place, Index columns) {
  return std::sqrt(place.deviation / std::sqrt(static_cast<double>(columns)));
}

/// U Vᵀ with normal factors, whose entries have the deviation of the dense start.
template <class Scalar, class Backend>
[[nodiscard]] LowRankMatrix<Scalar, Backend> normal_factors(const WeightPlace& place,
                                                            Index columns) {
  const double deviation = factor_deviation(place, columns);
  return {normal_matrix<Scalar, Backend>(place.rows, columns, deviation, seed_of(place, 1)),
          normal_matrix<Scalar, Backend>(place.cols, columns, deviation, seed_of(place, 2))};
}

/// U Vᵀ whose factors have orthogonal columns of one length, and whose entries have the deviation
/// of the dense start.
template <class Scalar, class Backend>
[[nodiscard]] LowRankMatrix<Scalar, Backend> orthogonal_factors(const WeightPlace& place,
                                                                Index columns) {
  auto& device = Context<Backend>::current().device();
  LowRankMatrix<Scalar, Backend> result(place.rows, place.cols, columns);
  result.set_rank(columns);
  // U Vᵀ with orthonormal columns has the Frobenius norm sqrt(r).
  const double entries = static_cast<double>(place.rows) * static_cast<double>(place.cols);
  const double length =
      std::sqrt(place.deviation * std::sqrt(entries / static_cast<double>(columns)));
  Frame<Backend> frame(device.workspace());
  const auto r = temporary<Scalar>(frame, columns, columns);
  std::uint64_t stream = 1;
  for (const ViewOn<Scalar, Backend> factor : {result.u_view(), result.v_view()}) {
    Kernels<Backend>::fill_normal(device, seed_of(place, stream++), 1.0, factor);
    Kernels<Backend>::thin_qr(device, factor, r);
    Kernels<Backend>::combine(device, static_cast<Scalar>(length), factor.as_const(), Scalar{0},
                              factor);
  }
  return result;
}

} // namespace detail

ACCRETE_END_NAMESPACE
