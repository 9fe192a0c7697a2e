// SPDX-License-Identifier: MIT
// The library as its documentation uses it.
#include "adapters.hpp"
#include "eigen_maps.hpp"
#include "suite.hpp"

#include <accrete/accrete.hpp>

#include <memory>

namespace ac = accrete;

namespace benchmarks {

namespace {

template <class Scalar>
std::function<void()> dense(const Operands<Scalar>& o) {
  return [W0 = map(o.W0), X = map(o.X), Y = map(o.Y)]() mutable { Y = ac::lazy(W0) * X; };
}

template <class Scalar>
std::function<void()> apply(const Operands<Scalar>& o) {
  return [W0 = map(o.W0), U = map(o.U), V = map(o.V), X = map(o.X), Y = map(o.Y)]() mutable {
    Y = (W0 + ac::outer(U, V)) * X;
  };
}

std::function<void()> gradients(const Operands<float>& o) {
  const auto W = std::make_shared<const ac::CumulativeUpdate<float>>(
      ac::CumulativeUpdate<float>::borrow(ac::dense_view(o.W0.data, o.W0.rows, o.W0.cols),
                                          ac::LowRankMatrix<float>(map(o.U), map(o.V))));
  const auto pass = std::make_shared<ac::WeightPass<float>>();
  return [=, X = map(o.X), dY = map(o.dY), Y = map(o.Y), dX = map(o.dX), dU = map(o.dU),
          dV = map(o.dV)]() mutable {
    Y = pass->forward(*W, X);
    const auto g = pass->backward(*W, X, dY);
    dX = g.X;
    dU = g.U;
    dV = g.V;
  };
}

std::function<void()> merge(const Operands<float>& o) {
  return [W = map(o.W), U = map(o.U), V = map(o.V)]() mutable { W += ac::outer(U, V); };
}

std::function<void()> chain(const Operands<float>& o) {
  return [A = map(o.A), W0 = map(o.W0), X = map(o.X), Y = map(o.dX)]() mutable {
    Y = ac::lazy(A) * W0 * X;
  };
}

std::function<void()> low_rank(const Operands<float>& o) {
  return [U = map(o.U), V = map(o.V), X = map(o.X), Y = map(o.Y)]() mutable {
    Y = ac::outer(U, V) * X;
  };
}

std::function<void()> truncate(const Operands<float>& o) {
  return [U = map(o.U), V = map(o.V), left = map(o.dU), right = map(o.dV)]() mutable {
    const auto L = ac::truncate(ac::outer(U, V), {.max_rank = U.cols() / 2});
    left.leftCols(L.rank()) = L.U();
    right.leftCols(L.rank()) = L.V();
  };
}

template <Order order>
std::function<void()> adapters(const Operands<float>& o) {
  const auto set = std::make_shared<ac::AdapterSet<float>>(o.shape.m, o.shape.n);
  for (const LoadedAdapter<float>& adapter : loaded_adapters(o, order)) {
    set->add({map(adapter.u), map(adapter.v)});
  }
  const std::vector<long> owner = adapter_of_column(o.shape, order);
  return [set, columns = std::vector<ac::Index>(owner.begin(), owner.end()), W0 = map(o.W0),
          X = map(o.X), Y = map(o.Y)]() mutable { set->apply(W0, columns, X, Y); };
}

[[maybe_unused]] const bool entered =
    enter<float>("dense", "accrete", Pool::openmp, dense<float>) &&
    enter<double>("dense", "accrete", Pool::openmp, dense<double>) &&
    enter<float>("apply", "accrete", Pool::openmp, apply<float>) &&
    enter<double>("apply", "accrete", Pool::openmp, apply<double>) &&
    enter<float>("gradients", "accrete", Pool::openmp, gradients) &&
    enter<float>("merge", "accrete", Pool::openmp, merge) &&
    enter<float>("chain", "accrete", Pool::openmp, chain) &&
    enter<float>("low_rank", "accrete", Pool::openmp, low_rank) &&
    enter<float>("truncate", "accrete", Pool::openmp, truncate) &&
    enter<float>("adapters", "accrete", Pool::openmp, adapters<Order::neighbours>) &&
    enter<float>("adapters_mixed", "accrete", Pool::openmp, adapters<Order::mixed>);

} // namespace

} // namespace benchmarks
