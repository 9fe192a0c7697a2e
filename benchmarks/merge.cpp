// SPDX-License-Identifier: MIT
// W += U Vᵀ, in place. Run through benchmarks/performance, or alone:
//
//     benchmarks/compare build/release/benchmarks/merge --filter m:3072/n:768
#include "contestants/suite.hpp"

#include <algorithm>

using namespace benchmarks;

int main(int argc, char** argv) {
  Case<float> what;
  what.name = "merge";
  what.shapes = gpt2_shapes({4, 16, 64, 256}, {0});
  what.flops = [](const Shape& s) { return 2.0 * static_cast<double>(s.m * s.n * s.r); };
  what.entries = [](const Shape& s) { return static_cast<double>(s.m * s.n + (s.m + s.n) * s.r); };
  what.dense = [](const Shape& s) { return std::vector{Shape{s.m, s.r, 0, s.n}}; };
  what.prepare = [](const Operands<float>& o) { std::copy_n(o.W0.data, o.W0.size(), o.W.data); };
  what.results = [](const Operands<float>& o) {
    const Column x = probe(o.shape.n);
    return std::vector{
        std::pair(product(o.W, x), product(o.W0, x) + product(o.U, transposed_product(o.V, x)))};
  };
  return run(argc, argv, {what});
}
