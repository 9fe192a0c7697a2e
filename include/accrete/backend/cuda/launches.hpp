// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/device.hpp>
#include <accrete/backend/function.hpp>
#include <accrete/backend/optimizer_step.hpp>

#include <cstdint>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The kernels of our own, each a launch on a stream. Defined in launches.cuh, which nvcc compiles,
/// and instantiated in accrete::cuda; what includes this header is compiled by any compiler.
template <class Scalar>
struct CudaLaunches {
  using Target = View<Scalar, Cuda>;
  using Source = View<const Scalar, Cuda>;
  /// In which numbers are computed: float for bfloat16.
  using Value = accumulator<Scalar>;

  static void fill(cudaStream_t stream, Scalar value, const Target& c);
  /// c = alpha a + beta c; c may be a.
  template <class Result>
  static void combine(cudaStream_t stream, Value alpha, const Source& a, Value beta,
                      const View<Result, Cuda>& c);
  static void hadamard(cudaStream_t stream, Scalar alpha, const Source& a, const Source& b,
                       Scalar beta, const Target& c);
  static void absolute(cudaStream_t stream, const Target& c);
  /// c may be a.
  static void map(cudaStream_t stream, Function function, const Source& a, const Target& c);
  static void scale_columns(cudaStream_t stream, const Source& a, const Source& factors,
                            const Target& c);
  static void add_diagonal(cudaStream_t stream, Scalar value, const Target& c);
  /// `columns` lies on the device.
  static void gather_columns(cudaStream_t stream, const Source& a, const Index* columns,
                             const Target& c);
  static void scatter_add_columns(cudaStream_t stream, const Source& a, const Index* columns,
                                  const Target& c);
  /// partial(:, p) = the sum of the p-th `piece` columns of a; sums += the columns of partial.
  static void partial_row_sums(cudaStream_t stream, const Source& a, Index piece,
                               const Target& partial);
  static void add_columns(cudaStream_t stream, const Source& partial, const Target& sums);
  static void khatri_rao(cudaStream_t stream, const Source& a, const Source& b, const Target& c);
  /// r <- the upper triangle of a's first rows, zero below.
  static void upper_triangle(cudaStream_t stream, const Source& a, const Target& r);
  static void fill_normal(cudaStream_t stream, std::uint64_t seed, double stddev, const Target& c);
  static void fill_uniform(cudaStream_t stream, std::uint64_t seed, double low, double high,
                           const Target& c);
  /// `columns` lies on the device, one for all columns or one each.
  static void adamw_update(cudaStream_t stream, const Target& parameter, const Source& gradient,
                           const Target& first, const Target& second, const AdamWStep<Scalar>& step,
                           const AdamWColumn<Scalar>* columns, bool one_for_all);

  /// Bytes of scratch memory that sums over this many entries need.
  static std::size_t sum_bytes(Index entries);
  /// *sum = Σ a b and Σ a², in double; entries that are not finite.
  static void dot(cudaStream_t stream, const Source& a, const Source& b, double* sum, void* scratch,
                  std::size_t bytes);
  static void squared_norm(cudaStream_t stream, const Source& a, double* sum, void* scratch,
                           std::size_t bytes);
  static void count_not_finite(cudaStream_t stream, const Source& a, double* sum, void* scratch,
                               std::size_t bytes);
  /// norms(j) = ‖a(:, j)‖ without overflow or underflow on the way.
  static void column_norms(cudaStream_t stream, const Source& a, const Target& norms);
};

} // namespace detail

ACCRETE_END_NAMESPACE
