// SPDX-License-Identifier: MIT
// A batch whose columns belong to four adapters of one base, Y(:, j) = (W0 + U_i V_iᵀ) X(:, j). Run
// through benchmarks/performance, or alone:
//
//     benchmarks/compare build/release/benchmarks/adapters --filter m:3072/n:768
#include "contestants/adapters.hpp"
#include "contestants/suite.hpp"

using namespace benchmarks;

namespace {

/// W0 X x + Σ U_i V_iᵀ X x_i, where x_i has the entries of x that belong to the adapter.
Column expected(const Operands<float>& o, Order order, const Column& x) {
  Column result = product(o.W0, product(o.X, x));
  for (const Adapter& adapter : adapters_of(o.shape, order)) {
    Column some(x.size());
    for (const long j : adapter.columns) {
      some[static_cast<std::size_t>(j)] = x[static_cast<std::size_t>(j)];
    }
    const Array<float> u = columns(o.U, adapter.first, adapter.rank);
    const Array<float> v = columns(o.V, adapter.first, adapter.rank);
    result = std::move(result) + product(u, transposed_product(v, product(o.X, some)));
  }
  return result;
}

template <Order order>
Case<float> adapters(const char* name) {
  Case<float> what;
  what.name = name;
  for (const auto& [m, n] :
       {std::pair<long, long>{768, 768}, {3072, 768}, {1024, 1024}, {4096, 1024}}) {
    for (const long r : {16, 64, 256}) {
      for (const long p : {8, 64, 1024}) {
        what.shapes.push_back({m, n, r, p});
      }
    }
  }
  what.flops = [](const Shape& s) {
    return 2.0 * static_cast<double>(s.m * s.n * s.p + (s.m + s.n) * s.r * s.p / 4);
  };
  what.entries = [](const Shape& s) {
    return static_cast<double>(s.m * s.n + (s.m + s.n) * (s.r + s.p));
  };
  what.dense = [](const Shape& s) { return std::vector{Shape{s.m, s.n, 0, s.p}}; };
  what.results = [](const Operands<float>& o) {
    const Column x = probe(o.shape.p);
    return std::vector{std::pair(product(o.Y, x), expected(o, order, x))};
  };
  return what;
}

} // namespace

int main(int argc, char** argv) {
  return run(argc, argv,
             {adapters<Order::neighbours>("adapters"), adapters<Order::mixed>("adapters_mixed")});
}
