// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/workspace.hpp>
#include <accrete/factor/temporaries.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// sqrt of a sum of squares that neither overflows nor underflows on the way.
inline double safe_norm(const double* values, Index count) {
  return Eigen::Map<const Eigen::VectorXd>(values, count).stableNorm();
}

/// block = basis * coefficients + directions * r, where the directions are orthogonal to the basis
/// and `gram` is directionsᵀ directions. What is small lies side by side, on the device and on the
/// host, so that one transfer takes all of it.
template <class Scalar, class Space = HostSpace>
struct SplitCoefficients {
  View<Scalar, Space> coefficients; ///< rank x b
  View<Scalar, Space> r;            ///< b x b
  View<Scalar, Space> gram;         ///< b x b

  static Index size(Index rank, Index b) noexcept { return (rank + 2 * b) * b; }

  SplitCoefficients(Scalar* memory, Index rank, Index b)
      : coefficients(dense_view<Space>(memory, rank, b)),
        r(dense_view<Space>(memory + rank * b, b, b)),
        gram(dense_view<Space>(memory + (rank + b) * b, b, b)) {}
};

/// block = basis * coefficients + (directions * weights) * remainder, up to `dropped` in the
/// Frobenius norm; the columns of directions * weights are orthonormal. On the host.
struct SignificantSplit {
  View<const double> coefficients;
  View<double> weights;
  View<double> remainder;
  double norm = 0;
  double dropped = 0;

  [[nodiscard]] Index directions() const noexcept { return remainder.rows; }
};

/// Leaves out what is rounding noise of the split, at this epsilon, and all but `most` directions.
/// In the caller's frame of host_workspace().
ACCRETE_COMPILED_INLINE SignificantSplit significant_split(Workspace::Frame& frame, int threads,
                                                           const SplitCoefficients<double>& split,
                                                           Index most, double epsilon);

} // namespace detail

ACCRETE_END_NAMESPACE

#if ACCRETE_HAS_DEFINITIONS
#include <accrete/backend/host/cholesky_qr.hpp>
#include <accrete/backend/host/small_dense.hpp>

#include <algorithm>
#include <cmath>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

ACCRETE_COMPILED_INLINE SignificantSplit significant_split(Workspace::Frame& frame, int threads,
                                                           const SplitCoefficients<double>& split,
                                                           Index most, double epsilon) {
  const Index b = split.r.cols;
  const auto left = temporary<double>(frame, b, b);
  const auto right = temporary<double>(frame, b, b);
  const auto values = temporary<double>(frame, b, 1);
  small_svd(threads, split.r, left, values, right);
  SignificantSplit result;
  result.coefficients = split.coefficients;
  result.norm = std::hypot(safe_norm(values.data, b),
                           safe_norm(split.coefficients.data, split.coefficients.size()));
  const double noise =
      8 * std::sqrt(static_cast<double>(b + split.coefficients.rows)) * epsilon * result.norm;
  Index kept = (std::min)(b, most);
  while (kept > 0 && !(values(kept - 1, 0) > noise)) {
    --kept;
  }
  // The directions as the second pass left them. One that lost half of its length there was noise
  // as well: it ends them, since they are in the order of their share.
  const auto image = temporary<double>(frame, b, kept);
  const auto gram = temporary<double>(frame, kept, kept);
  const View<const double> leading = left.left_columns(kept);
  small_product(1, split.gram, leading, 0, image);
  small_product(1, leading.transposed(), image, 0, gram);
  const Index k = small_cholesky(kept, gram.data, 0.25);
  const auto inverse = temporary<double>(frame, k, k);
  invert_lower(k, gram.data, kept, inverse.data);
  result.weights = temporary<double>(frame, b, k);
  result.remainder = temporary<double>(frame, k, b);
  small_product(1, left.left_columns(k), inverse.transposed(), 0, result.weights);
  for (Index j = 0; j < k; ++j) {
    for (Index i = 0; i < b; ++i) {
      right(i, j) *= values(j, 0);
    }
  }
  small_product(1, gram.block(0, 0, k, k).transposed(), right.left_columns(k).transposed(), 0,
                result.remainder);
  result.dropped = safe_norm(values.data + k, b - k);
  return result;
}

} // namespace detail

ACCRETE_END_NAMESPACE
#endif
