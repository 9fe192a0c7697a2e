// SPDX-License-Identifier: MIT
// Truncation of U Vᵀ, n x n of rank 128, to rank 64: in factor space, and by the SVD of the matrix.
//
//     benchmarks/compare build/release/benchmarks/truncate_dense --repetitions 1
#include <accrete/accrete.hpp>

#include <Eigen/SVD>
#include <benchmark/benchmark.h>

namespace {

template <class Scalar>
using Matrix = Eigen::MatrixX<Scalar>;

template <class Scalar>
void in_factor_space(benchmark::State& state) {
  const Matrix<Scalar> u = Matrix<Scalar>::Random(state.range(0), 128);
  const Matrix<Scalar> v = Matrix<Scalar>::Random(state.range(0), 128);
  accrete::LowRankMatrix<Scalar> matrix(u, v);
  for (auto _ : state) {
    state.PauseTiming();
    matrix = accrete::LowRankMatrix<Scalar>(u, v);
    state.ResumeTiming();
    benchmark::DoNotOptimize(matrix.truncate({.max_rank = 64}));
  }
}

template <class Scalar>
void dense_svd(benchmark::State& state) {
  const Matrix<Scalar> u = Matrix<Scalar>::Random(state.range(0), 128);
  const Matrix<Scalar> v = Matrix<Scalar>::Random(state.range(0), 128);
  for (auto _ : state) {
    const Matrix<Scalar> product = u * v.transpose();
    const Eigen::BDCSVD<Matrix<Scalar>> svd(product, Eigen::ComputeThinU | Eigen::ComputeThinV);
    const Matrix<Scalar> left =
        svd.matrixU().leftCols(64) * svd.singularValues().head(64).cwiseSqrt().asDiagonal();
    const Matrix<Scalar> right =
        svd.matrixV().leftCols(64) * svd.singularValues().head(64).cwiseSqrt().asDiagonal();
    benchmark::DoNotOptimize(left.data());
    benchmark::DoNotOptimize(right.data());
  }
}

BENCHMARK(in_factor_space<float>)
    ->Name("truncate/float/accrete")
    ->ArgName("n")
    ->Arg(1024)
    ->Arg(4096)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(dense_svd<float>)
    ->Name("truncate/float/dense_svd")
    ->ArgName("n")
    ->Arg(1024)
    ->Arg(4096)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

} // namespace

BENCHMARK_MAIN();
