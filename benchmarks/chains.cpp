// SPDX-License-Identifier: MIT
// Chains of three: Y = A W0 X with A n x m, and Y = U Vᵀ X. Run through benchmarks/performance, or
// alone:
//
//     benchmarks/compare build/release/benchmarks/chains --filter m:3072/n:768
#include "contestants/suite.hpp"

#include <algorithm>

using namespace benchmarks;

namespace {

double twice(long count) { return 2.0 * static_cast<double>(count); }

/// The result, n x p, goes to dX.
Case<float> dense_chain() {
  Case<float> what;
  what.name = "chain";
  what.shapes = gpt2_shapes({0}, {1, 64, 1024});
  what.flops = [](const Shape& s) {
    return twice(s.n * std::min(2 * s.m * s.p, s.n * (s.m + s.p)));
  };
  what.entries = [](const Shape& s) { return static_cast<double>(2 * s.n * (s.m + s.p)); };
  what.dense = [](const Shape& s) {
    return std::vector{Shape{s.m, s.n, 0, s.p}, Shape{s.n, s.m, 0, s.p}};
  };
  what.results = [](const Operands<float>& o) {
    const Column x = probe(o.shape.p);
    return std::vector{std::pair(product(o.dX, x), product(o.A, product(o.W0, product(o.X, x))))};
  };
  return what;
}

Case<float> low_rank_chain() {
  Case<float> what;
  what.name = "low_rank";
  what.shapes = gpt2_shapes({4, 16, 64, 256}, {1, 64, 1024});
  what.flops = [](const Shape& s) { return twice((s.m + s.n) * s.r * s.p); };
  what.entries = [](const Shape& s) { return static_cast<double>((s.m + s.n) * (s.r + s.p)); };
  what.dense = [](const Shape& s) { return std::vector{Shape{s.m, s.r, 0, s.p}}; };
  what.results = [](const Operands<float>& o) {
    const Column x = probe(o.shape.p);
    return std::vector{
        std::pair(product(o.Y, x), product(o.U, transposed_product(o.V, product(o.X, x))))};
  };
  return what;
}

} // namespace

int main(int argc, char** argv) { return run(argc, argv, {dense_chain(), low_rank_chain()}); }
