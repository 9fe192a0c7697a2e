// SPDX-License-Identifier: MIT
// Y = (W0 + U Vᵀ) X with operands stored as bfloat16, beside the same in float and beside
// Y = W0 X; Y += U (Vᵀ X), which passes over Y twice; and Y = W0 X alone beside oneDNN's product.
// The result is float in all.
//
//     benchmarks/compare build/release/benchmarks/bfloat16
#include <accrete/accrete.hpp>
#include <accrete/bfloat16.hpp>

#include <Eigen/Dense>
#include <benchmark/benchmark.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace ac = accrete;

namespace {

template <class Stored>
struct Operands {
  using Matrix = Eigen::MatrixX<Stored>;
  Matrix W0, U, V, X;
  Eigen::MatrixXf Y;

  explicit Operands(const benchmark::State& state)
      : W0(random(state.range(0), state.range(1))),
        U(random(state.range(0), state.range(2))),
        V(random(state.range(1), state.range(2))),
        X(random(state.range(1), state.range(3))),
        Y(state.range(0), state.range(3)) {}

  /// Against double precision, up to the rounding of Vᵀ X to the scalar of the operands.
  [[nodiscard]] bool is_right() const {
    const auto wide = [](const Matrix& m) {
      return Eigen::MatrixXd(m.template cast<float>().template cast<double>());
    };
    const Eigen::MatrixXd x = wide(X);
    const Eigen::MatrixXd expected = wide(W0) * x + wide(U) * (wide(V).transpose() * x);
    const double tolerance = sizeof(Stored) == 2 ? 0x1p-8 : 1e-5;
    return (Y.cast<double>() - expected).norm() <= tolerance * expected.norm();
  }

 private:
  static Matrix random(Eigen::Index rows, Eigen::Index cols) {
    return Eigen::MatrixXf::Random(rows, cols).template cast<Stored>();
  }
};

/// Times `compute`, which writes o.Y. The check leaves threads asleep and caches full of something
/// else.
template <class Stored, class Compute>
void measure(benchmark::State& state, Operands<Stored>& o, const Compute& compute) {
  compute();
  if (!o.is_right()) {
    state.SkipWithError("wrong result");
    return;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
  do {
    compute();
  } while (std::chrono::steady_clock::now() < end);
  for (auto _ : state) {
    compute();
    benchmark::ClobberMemory();
  }
}

template <class Stored>
void apply(benchmark::State& state) {
  Operands<Stored> o(state);
  measure(state, o, [&o] { ac::noalias(o.Y) = (o.W0 + ac::outer(o.U, o.V)) * o.X; });
}

void product(benchmark::State& state) {
  Operands<ac::bfloat16> o(state);
  measure(state, o, [&o] { ac::noalias(o.Y) = ac::lazy(o.W0) * o.X; });
}

#if defined(ACCRETE_USE_ONEDNN)
void product_by_onednn(benchmark::State& state) {
  Operands<ac::bfloat16> o(state);
  ac::Device<ac::Cpu> device;
  measure(state, o, [&] {
    ac::detail::OnednnBfloat16Gemm::gemm(device, 1.0F, ac::view_of(std::as_const(o.W0)),
                                         ac::view_of(std::as_const(o.X)), 0.0F, ac::view_of(o.Y));
  });
}
#endif

void register_product(const std::string& contestant, void (*run)(benchmark::State&)) {
  const std::vector<std::vector<std::int64_t>> shapes = {{64, 64},    {256, 256},  {768, 768},
                                                         {768, 3072}, {4096, 256}, {4096, 1024}};
  for (const auto& shape : shapes) {
    for (const std::int64_t p : {8, 64, 1024}) {
      benchmark::RegisterBenchmark(("product/bfloat16/" + contestant).c_str(), run)
          ->Args({shape[0], shape[1], 0, p})
          ->ArgNames({"m", "n", "r", "p"})
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

void register_cases(const std::string& contestant, void (*run)(benchmark::State&)) {
  const std::vector<std::vector<std::int64_t>> shapes = {
      {768, 768, 16}, {3072, 768, 64}, {768, 3072, 64}, {4096, 1024, 256}};
  for (const auto& shape : shapes) {
    for (const std::int64_t p : {1, 8, 64, 1024, 4096}) {
      benchmark::RegisterBenchmark(("apply/bfloat16/" + contestant).c_str(), run)
          ->Args({shape[0], shape[1], shape[2], p})
          ->ArgNames({"m", "n", "r", "p"})
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  register_cases("accrete", apply<ac::bfloat16>);
  register_cases("accrete_in_float", apply<float>);
  register_product("accrete", product);
#if defined(ACCRETE_USE_ONEDNN)
  register_product("onednn", product_by_onednn);
#endif
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
