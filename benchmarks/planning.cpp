// SPDX-License-Identifier: MIT
// What evaluation costs besides its kernels: making a plan, finding one that was made, and a whole
// small expression beside the kernel calls that it amounts to.
//
//     build/release/benchmarks/planning
#include <accrete/accrete.hpp>

#include <Eigen/Dense>
#include <benchmark/benchmark.h>

namespace ac = accrete;

namespace {

struct Operands {
  Eigen::MatrixXf W = Eigen::MatrixXf::Random(300, 300);
  Eigen::MatrixXf U = Eigen::MatrixXf::Random(300, 8);
  Eigen::MatrixXf V = Eigen::MatrixXf::Random(300, 8);
  Eigen::MatrixXf X = Eigen::MatrixXf::Random(300, 20);
  [[nodiscard]] auto weight() const { return W + ac::outer(U, V); }
};

struct Apply {
  static auto node(const Operands& o) { return o.weight() * o.X; }
};
struct TwoSums {
  static auto node(const Operands& o) { return o.weight() * o.weight() * o.X; }
};
struct ThreeSums {
  static auto node(const Operands& o) { return o.weight() * o.weight() * o.weight() * o.X; }
};
struct ChainOfTwelve {
  static auto node(const Operands& o) {
    const auto four = ac::lazy(o.W) * o.W * o.W * o.W;
    return four * four * o.W * o.W * o.W * o.X;
  }
};

/// A new context's first look at the expression.
template <class Expression>
void cold(benchmark::State& state) {
  const Operands operands;
  const auto node = Expression::node(operands);
  ac::Context<> context;
  for (auto _ : state) {
    context.plans().clear();
    benchmark::DoNotOptimize(&ac::plan(context, node));
  }
}

template <class Expression>
void warm(benchmark::State& state) {
  const Operands operands;
  const auto node = Expression::node(operands);
  ac::Context<> context;
  for (auto _ : state) {
    benchmark::DoNotOptimize(&ac::plan(context, node));
  }
}

struct Small {
  Eigen::MatrixXf W = Eigen::MatrixXf::Random(16, 16);
  Eigen::MatrixXf U = Eigen::MatrixXf::Random(16, 2);
  Eigen::MatrixXf V = Eigen::MatrixXf::Random(16, 2);
  Eigen::MatrixXf x = Eigen::MatrixXf::Random(16, 1);
  Eigen::MatrixXf z = Eigen::MatrixXf(2, 1);
  Eigen::MatrixXf y = Eigen::MatrixXf(16, 1);
};

ac::View<const float> read(const Eigen::MatrixXf& m) { return ac::view_of(m); }

void small_sum(benchmark::State& state) {
  Small s;
  for (auto _ : state) {
    ac::noalias(s.y) = (s.W + ac::outer(s.U, s.V)) * s.x;
    benchmark::ClobberMemory();
  }
}

void kernels_of_sum(benchmark::State& state) {
  Small s;
  auto& device = ac::Context<>::current().device();
  using Table = ac::Kernels<ac::Cpu>;
  for (auto _ : state) {
    Table::gemv(device, 1.0F, read(s.W), read(s.x), 0.0F, ac::view_of(s.y));
    Table::gemv(device, 1.0F, read(s.V).transposed(), read(s.x), 0.0F, ac::view_of(s.z));
    Table::gemv(device, 1.0F, read(s.U), read(s.z), 1.0F, ac::view_of(s.y));
    benchmark::ClobberMemory();
  }
}

void small_low_rank(benchmark::State& state) {
  Small s;
  for (auto _ : state) {
    ac::noalias(s.y) = ac::outer(s.U, s.V) * s.x;
    benchmark::ClobberMemory();
  }
}

void kernels_of_low_rank(benchmark::State& state) {
  Small s;
  auto& device = ac::Context<>::current().device();
  using Table = ac::Kernels<ac::Cpu>;
  for (auto _ : state) {
    Table::gemv(device, 1.0F, read(s.V).transposed(), read(s.x), 0.0F, ac::view_of(s.z));
    Table::gemv(device, 1.0F, read(s.U), read(s.z), 0.0F, ac::view_of(s.y));
    benchmark::ClobberMemory();
  }
}

BENCHMARK(cold<Apply>)->Name("planning/cold/(W0 + U Vt) X");
BENCHMARK(cold<TwoSums>)->Name("planning/cold/product of two sums, times X");
BENCHMARK(cold<ThreeSums>)->Name("planning/cold/product of three sums, times X");
BENCHMARK(cold<ChainOfTwelve>)->Name("planning/cold/chain of twelve");
BENCHMARK(warm<Apply>)->Name("planning/warm/(W0 + U Vt) X");
BENCHMARK(warm<ThreeSums>)->Name("planning/warm/product of three sums, times X");
BENCHMARK(small_sum)->Name("evaluation/(W0 + U Vt) x, 16 x 16, rank 2");
BENCHMARK(kernels_of_sum)->Name("evaluation/its three kernel calls");
BENCHMARK(small_low_rank)->Name("evaluation/U Vt x, 16 x 16, rank 2");
BENCHMARK(kernels_of_low_rank)->Name("evaluation/its two kernel calls");

} // namespace

BENCHMARK_MAIN();
