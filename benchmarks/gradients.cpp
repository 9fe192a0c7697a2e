// SPDX-License-Identifier: MIT
// Y = (W0 + U Vᵀ) X and, for a given dY, the gradients dX, dU and dV; W0 is frozen. Contestants
// that write it by hand share Z = Vᵀ X and D = Uᵀ dY. Run through benchmarks/performance, or alone:
//
//     benchmarks/compare build/release/benchmarks/gradients --filter m:3072/n:768/r:64
#include "contestants/suite.hpp"

#include <algorithm>

using namespace benchmarks;

int main(int argc, char** argv) {
  Case<float> what;
  what.name = "gradients";
  what.shapes = gpt2_shapes();
  what.flops = [](const Shape& s) {
    const long apart = s.p * (2 * s.m * s.n + 3 * (s.m + s.n) * s.r);
    const long merged = s.m * s.n * (s.r + 2 * s.p) + 2 * s.p * (s.m + s.n) * s.r;
    return 2.0 * static_cast<double>(std::min(apart, merged));
  };
  what.entries = [](const Shape& s) {
    return static_cast<double>(s.m * s.n + 2 * (s.m + s.n) * (s.r + s.p));
  };
  what.dense = [](const Shape& s) { return std::vector{Shape{s.m, s.n, 0, s.p}}; };
  what.results = [](const Operands<float>& o) {
    const Column many = probe(o.shape.p);
    const Column few = probe(o.shape.r);
    const Column x = product(o.X, many);
    const Column dy = product(o.dY, many);
    const auto u_gradient = [&] {
      return product(o.dY, transposed_product(o.X, product(o.V, few)));
    };
    const auto v_gradient = [&] {
      return product(o.X, transposed_product(o.dY, product(o.U, few)));
    };
    return std::vector{
        std::pair(product(o.Y, many), product(o.W0, x) + product(o.U, transposed_product(o.V, x))),
        std::pair(product(o.dX, many),
                  transposed_product(o.W0, dy) + product(o.V, transposed_product(o.U, dy))),
        std::pair(product(o.dU, few), u_gradient()), std::pair(product(o.dV, few), v_gradient())};
  };
  return run(argc, argv, {what});
}
