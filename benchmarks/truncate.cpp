// SPDX-License-Identifier: MIT
// U Vᵀ of rank r is truncated to rank r / 2: new factors, in factor space and, for one shape, by
// the SVD of the m x n matrix. Run through benchmarks/performance, or alone:
//
//     benchmarks/compare build/release/benchmarks/truncate --repetitions 3
#include "contestants/suite.hpp"

using namespace benchmarks;

namespace {

/// The columns that the truncated factor consists of.
Array<float> kept(const Array<float>& factor) {
  return {factor.data, factor.rows, factor.cols / 2};
}

} // namespace

int main(int argc, char** argv) {
  Case<float> what;
  what.name = "truncate";
  for (const auto& [m, n] : {std::pair<long, long>{1024, 1024}, {4096, 1024}, {4096, 4096}}) {
    for (const long r : {16, 64, 128}) {
      what.shapes.push_back({m, n, r, 0});
    }
  }
  // Two QR decompositions with their bases, and the bases times r x r/2 matrices.
  what.flops = [](const Shape& s) { return 5.0 * static_cast<double>((s.m + s.n) * s.r * s.r); };
  what.entries = [](const Shape& s) { return 1.5 * static_cast<double>((s.m + s.n) * s.r); };
  what.dense = [](const Shape& s) {
    return std::vector{Shape{s.m, s.r, 0, s.r}, Shape{s.n, s.r, 0, s.r}};
  };
  // What a truncated SVD drops is orthogonal to what it keeps: Lᵀ (U Vᵀ - L) = 0.
  what.results = [](const Operands<float>& o) {
    const Array<float> u = kept(o.dU);
    const Array<float> v = kept(o.dV);
    const Column x = probe(o.shape.n);
    const auto transposed = [&](const Column& y) { return product(v, transposed_product(u, y)); };
    return std::vector{std::pair(transposed(product(u, transposed_product(v, x))),
                                 transposed(product(o.U, transposed_product(o.V, x))))};
  };
  return run(argc, argv, {what});
}
