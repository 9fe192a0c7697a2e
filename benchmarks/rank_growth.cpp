// SPDX-License-Identifier: MIT
// k columns join a 4096 x 4096 factored matrix of rank 256: within the capacity, beyond it (the
// capacity doubles), and by hand with Eigen's conservativeResize. The same numbers are drawn in all
// three. benchmarks/rank_growth.gnuplot plots the medians.
#include <accrete/accrete.hpp>

#include <Eigen/Dense>
#include <benchmark/benchmark.h>

namespace ac = accrete;

namespace {

constexpr ac::Index size = 4096;
constexpr ac::Index rank = 256;

const ac::init::Kaiming& initializer() {
  static const auto kaiming = ac::init::kaiming();
  return kaiming;
}

void within_capacity(benchmark::State& state) {
  ac::LowRankMatrix<float> matrix(size, size, 2 * rank);
  for (auto _ : state) {
    matrix.set_rank(rank);
    ac::grow(matrix, state.range(0), initializer());
    benchmark::ClobberMemory();
  }
}

void beyond_capacity(benchmark::State& state) {
  const Eigen::MatrixXf factor = Eigen::MatrixXf::Random(size, rank);
  for (auto _ : state) {
    state.PauseTiming();
    {
      ac::LowRankMatrix<float> matrix(factor, factor);
      state.ResumeTiming();
      ac::grow(matrix, state.range(0), initializer());
      benchmark::ClobberMemory();
      state.PauseTiming();
    }
    state.ResumeTiming();
  }
}

void by_hand(benchmark::State& state) {
  const Eigen::MatrixXf factor = Eigen::MatrixXf::Random(size, rank);
  const ac::Index k = state.range(0);
  auto& device = ac::Context<>::current().device();
  for (auto _ : state) {
    state.PauseTiming();
    {
      Eigen::MatrixXf u = factor;
      Eigen::MatrixXf v = factor;
      state.ResumeTiming();
      u.conservativeResize(size, rank + k);
      v.conservativeResize(size, rank + k);
      initializer()(device, ac::view_of(u), ac::view_of(v), rank);
      benchmark::ClobberMemory();
      state.PauseTiming();
    }
    state.ResumeTiming();
  }
}

BENCHMARK(within_capacity)->RangeMultiplier(2)->Range(1, 256)->Unit(benchmark::kMicrosecond);
BENCHMARK(beyond_capacity)->RangeMultiplier(2)->Range(1, 256)->Unit(benchmark::kMicrosecond);
BENCHMARK(by_hand)->RangeMultiplier(2)->Range(1, 256)->Unit(benchmark::kMicrosecond);

} // namespace

BENCHMARK_MAIN();
