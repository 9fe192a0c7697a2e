// SPDX-License-Identifier: MIT
// Y = (W0 + U Vᵀ) X: the library's expression beside Eigen's own expression and beside the two
// steps that an expert writes by hand with Eigen. Run through benchmarks/compare, which interleaves
// the repetitions and prints ratios of medians.
#include <accrete/accrete.hpp>

#include <Eigen/Dense>
#include <benchmark/benchmark.h>

#include <limits>
#include <string>
#include <vector>

namespace ac = accrete;

namespace {

template <class Scalar>
using Dense = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

template <class Scalar>
struct Operands {
  Dense<Scalar> W0, U, V, X, Y;
  explicit Operands(const benchmark::State& state)
      : W0(Dense<Scalar>::Random(state.range(0), state.range(1))),
        U(Dense<Scalar>::Random(state.range(0), state.range(2))),
        V(Dense<Scalar>::Random(state.range(1), state.range(2))),
        X(Dense<Scalar>::Random(state.range(1), state.range(3))),
        Y(state.range(0), state.range(3)) {}

  /// Y against the product in double, once and outside the timed loop.
  [[nodiscard]] bool is_right() const {
    const Eigen::MatrixXd x = X.template cast<double>();
    const Eigen::MatrixXd z = V.template cast<double>().transpose() * x;
    const Eigen::MatrixXd expected = W0.template cast<double>() * x + U.template cast<double>() * z;
    return (Y.template cast<double>() - expected).norm() <=
           1e3 * std::numeric_limits<Scalar>::epsilon() * expected.norm();
  }
};

struct AccreteExpression {
  static constexpr const char* name = "accrete";
  template <class Scalar>
  static void run(Operands<Scalar>& o) {
    o.Y = (o.W0 + ac::outer(o.U, o.V)) * o.X;
  }
};
struct EigenExpression {
  static constexpr const char* name = "eigen_expression";
  template <class Scalar>
  static void run(Operands<Scalar>& o) {
    o.Y.noalias() = (o.W0 + o.U * o.V.transpose()) * o.X;
  }
};
struct EigenByHand {
  static constexpr const char* name = "eigen_by_hand";
  template <class Scalar>
  static void run(Operands<Scalar>& o) {
    o.Y.noalias() = o.W0 * o.X;
    o.Y.noalias() += o.U * (o.V.transpose() * o.X);
  }
};

template <class Scalar, class Contestant>
void apply(benchmark::State& state) {
  Operands<Scalar> o(state);
  Contestant::run(o);
  if (!o.is_right()) {
    state.SkipWithError("wrong result");
    return;
  }
  for (auto _ : state) {
    Contestant::run(o);
    benchmark::DoNotOptimize(o.Y.data());
    benchmark::ClobberMemory();
  }
  const auto [m, n, r, p] =
      std::tuple(state.range(0), state.range(1), state.range(2), state.range(3));
  state.counters["useful_flops"] =
      benchmark::Counter(2.0 * static_cast<double>(p * (m * n + (m + n) * r)),
                         benchmark::Counter::kIsIterationInvariantRate);
}

template <class Scalar, class Contestant>
void register_case(const std::string& scalar) {
  const std::vector<std::vector<std::int64_t>> shapes = {
      {768, 768, 32}, {3072, 768, 64}, {768, 3072, 64}, {3072, 768, 256}};
  for (const auto& shape : shapes) {
    for (const std::int64_t p : {1, 8, 64, 1024}) {
      benchmark::RegisterBenchmark(("apply/" + scalar + "/" + Contestant::name).c_str(),
                                   apply<Scalar, Contestant>)
          ->Args({shape[0], shape[1], shape[2], p})
          ->ArgNames({"m", "n", "r", "p"})
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  register_case<float, AccreteExpression>("float");
  register_case<float, EigenExpression>("float");
  register_case<float, EigenByHand>("float");
  register_case<double, AccreteExpression>("double");
  register_case<double, EigenExpression>("double");
  register_case<double, EigenByHand>("double");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
