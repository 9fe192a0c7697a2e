// SPDX-License-Identifier: MIT
// Y = (W0 + U Vᵀ) X. Run through benchmarks/performance, or alone:
//
//     benchmarks/compare build/release/benchmarks/apply --filter m:3072/n:768/r:64
#include "contestants/suite.hpp"

#include <algorithm>

using namespace benchmarks;

namespace {

template <class Scalar>
Case<Scalar> apply(std::vector<Shape> shapes) {
  Case<Scalar> what;
  what.name = "apply";
  what.shapes = std::move(shapes);
  what.flops = [](const Shape& s) {
    const long apart = s.p * (s.m * s.n + (s.m + s.n) * s.r);
    const long merged = s.m * s.n * (s.r + s.p);
    return 2.0 * static_cast<double>(std::min(apart, merged));
  };
  what.entries = [](const Shape& s) {
    return static_cast<double>(s.m * s.n + (s.m + s.n) * (s.r + s.p));
  };
  what.dense = [](const Shape& s) { return std::vector{Shape{s.m, s.n, 0, s.p}}; };
  what.results = [](const Operands<Scalar>& o) {
    const Column x = product(o.X, probe(o.shape.p));
    return std::vector{std::pair(product(o.Y, probe(o.shape.p)),
                                 product(o.W0, x) + product(o.U, transposed_product(o.V, x)))};
  };
  return what;
}

/// Those of 3072 x 768 and of its transpose.
std::vector<Shape> some_in_double() {
  std::vector<Shape> shapes = gpt2_shapes({64, 256}, {1, 8, 64, 1024});
  std::erase_if(shapes, [](const Shape& s) { return s.m * s.n != 3072 * 768; });
  return shapes;
}

} // namespace

int main(int argc, char** argv) {
  return run(argc, argv, {apply<float>(gpt2_shapes())}, {apply<double>(some_in_double())});
}
