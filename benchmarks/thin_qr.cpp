// SPDX-License-Identifier: MIT
// Thin QR: reflections beside CholeskyQR2, the automatic choice, and CholeskyQR2 where it has to
// fall back (a repeated column). Medians of interleaved repetitions:
//
//     build/release/benchmarks/thin_qr --benchmark_repetitions=9
//     --benchmark_enable_random_interleaving=true --benchmark_report_aggregates_only=true
#include <accrete/accrete.hpp>

#include <benchmark/benchmark.h>

#include <limits>
#include <string>
#include <vector>

namespace ac = accrete;

namespace {

struct Contestant {
  const char* name;
  ac::QrMethod method;
  bool repeats_a_column;
};

template <class Scalar>
void thin_qr(benchmark::State& state, const Contestant& contestant) {
  using Dense = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  Dense a = Dense::Random(state.range(0), state.range(1));
  if (contestant.repeats_a_column) {
    a.col(a.cols() - 1) = a.col(0);
  }
  auto result = ac::thin_qr(ac::lazy(a), contestant.method);
  const Dense gram = result.Q.transpose() * result.Q;
  if (!((gram - Dense::Identity(a.cols(), a.cols())).norm() <=
        1e3 * std::numeric_limits<Scalar>::epsilon())) {
    state.SkipWithError("Q is not orthonormal");
  }
  for (auto _ : state) {
    result = ac::thin_qr(ac::lazy(a), contestant.method);
    benchmark::DoNotOptimize(result.Q.data());
  }
}

template <class Scalar>
void register_cases(const std::string& scalar) {
  const Contestant contestants[] = {{"householder", ac::QrMethod::householder, false},
                                    {"cholesky", ac::QrMethod::cholesky, false},
                                    {"automatic", ac::QrMethod::automatic, false},
                                    {"fallback", ac::QrMethod::cholesky, true}};
  const std::vector<std::vector<std::int64_t>> shapes = {
      {128, 32},  {128, 128}, {768, 16},  {768, 64},   {768, 256},
      {768, 768}, {3072, 16}, {3072, 64}, {3072, 256}, {20000, 64}};
  for (const auto& shape : shapes) {
    for (const Contestant& contestant : contestants) {
      benchmark::RegisterBenchmark(("thin_qr/" + scalar + "/" + contestant.name).c_str(),
                                   thin_qr<Scalar>, contestant)
          ->Args(shape)
          ->ArgNames({"m", "k"})
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  register_cases<float>("float");
  register_cases<double>("double");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
