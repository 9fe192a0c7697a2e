// SPDX-License-Identifier: MIT
#include "../plan/function_model.hpp"
#include "stored.hpp"

namespace ac = accrete;
using ac::Index;

namespace {

constexpr Index m = 14, n = 10, r = 3;

template <class Scalar>
struct Fixture {
  using LowRank = ac::LowRankMatrix<Scalar, TestBackend>;
  using Update = ac::CumulativeUpdate<Scalar, TestBackend>;
  using Pass = ac::WeightPass<Scalar, TestBackend>;

  explicit Fixture(Index columns)
      : X(random_stored<Scalar>(n, columns, 4)), dY(random_stored<Scalar>(m, columns, 5)) {
    W.set_scale(Scalar{0.5});
  }
  [[nodiscard]] Exact update() const { return exact(W.U()) * exact(W.V()).transpose(); }
  [[nodiscard]] Exact weight() const {
    return exact(W.base()) + static_cast<long double>(W.scale()) * update();
  }

  Update W{random_stored<Scalar>(m, n, 1),
           LowRank(random_stored<Scalar>(m, r, 2), random_stored<Scalar>(n, r, 3))};
  Stored<Scalar> X, dY;
  // Entries of magnitude 1, sums over at most n + r or 2 m of them, in two products.
  long double bound = rounding_bound<Scalar>(60, 50.0L * (exact(X).norm() * exact(dY).norm() + 10));
};

/// The gradients of both kinds of weights, added to ones.
template <class Scalar, class Gradients>
void check_factors(const Fixture<Scalar>& f, const Gradients& g, long double scale) {
  const Exact G = exact(f.dY) * exact(f.X).transpose();
  Stored<Scalar> dU = on_backend(Dense<Scalar>::Ones(m, f.W.rank()));
  Stored<Scalar> dV = on_backend(Dense<Scalar>::Ones(n, f.W.rank()));
  dU += g.U;
  dV += g.V;
  CHECK_CLOSE(dU, Exact::Ones(m, f.W.rank()) + scale * G * exact(f.W.V()), f.bound);
  CHECK_CLOSE(dV, Exact::Ones(n, f.W.rank()) + scale * G.transpose() * exact(f.W.U()), f.bound);
  const Scalar ds = g.scale;
  CHECK(std::abs(static_cast<long double>(ds) - G.cwiseProduct(f.update()).sum()) <= f.bound);
}

} // namespace

TEST_CASE_TEMPLATE("a pass gives the product and the gradients, merged or not", Scalar,
                   TEST_SCALARS) {
  typename Fixture<Scalar>::Pass pass; // one for all shapes, as a layer keeps it
  for (const bool merges : {false, true}) {
    auto context = context_with([merges](const ac::KernelCall& call) {
      return merges == (call.m == m && call.n == n) ? 0.0 : 1.0;
    });
    const ac::ScopedContext<TestBackend> scope(context);
    for (const Index columns : {1, 5, 40}) {
      Fixture<Scalar> f(columns);
      CAPTURE(columns);
      CAPTURE(merges);
      for (int step = 0; step < 2; ++step) {
        Stored<Scalar> Y = on_backend(Dense<Scalar>::Ones(m, columns));
        Y += pass.forward(f.W, f.X);
        CHECK(pass.is_merged() == merges);
        CHECK_CLOSE(Y, Exact::Ones(m, columns) + f.weight() * exact(f.X), f.bound);
        const auto g = pass.backward(f.W, f.X, f.dY);
        check_factors(f, g, 0.5L);
        Stored<Scalar> dX(n, columns);
        ac::noalias(dX) = g.X;
        CHECK_CLOSE(dX, f.weight().transpose() * exact(f.dY), f.bound);
        CHECK_CLOSE(Stored<Scalar>(g.base), exact(f.dY) * exact(f.X).transpose(), f.bound);
        // The next forward pass takes the change up.
        set_entries(f.W.U(), Scalar{2} * ac::to_host(f.W.U()));
      }
    }
  }
}

TEST_CASE_TEMPLATE("a pass of a low-rank matrix", Scalar, TEST_SCALARS) {
  const Fixture<Scalar> f(7);
  const auto& L = f.W.low_rank();
  typename Fixture<Scalar>::Pass pass;
  const Stored<Scalar> Y = pass.forward(L, f.X);
  CHECK_CLOSE(Y, f.update() * exact(f.X), f.bound);
  const auto g = pass.backward(L, f.X, f.dY);
  check_factors(f, g, 1.0L);
  CHECK_CLOSE(Stored<Scalar>(g.X), f.update().transpose() * exact(f.dY), f.bound);
}

TEST_CASE("the sum is formed where that spares more in both passes than it takes") {
  // Forming W0 + U Vᵀ takes m n r FLOPs, for which both passes together spare (m + n) p r: from
  // p = m n / (m + n) = 5.8 on, and m n more for the copy of W0.
  auto by_flops = context_by_flops();
  const ac::ScopedContext<TestBackend> scope(by_flops);
  Fixture<double>::Pass pass;
  constexpr Index least = 7;
  for (const Index p : {Index{1}, least - 1, least, 2 * m}) {
    const Fixture<double> f(p);
    CAPTURE(p);
    const auto Y = pass.forward(f.W, f.X);
    CHECK(pass.is_merged() == (p >= least));
    CHECK(plan(Y).steps.size() == (p >= least ? 1 : 2));
    CHECK(plan(pass.backward(f.W, f.X, f.dY).X).steps.size() == (p >= least ? 1 : 2));
  }
  Fixture<double> f(2 * m);
  f.W.reset();
  const Stored<double> Y = pass.forward(f.W, f.X);
  CHECK_FALSE(pass.is_merged());
  CHECK_CLOSE(Y, exact(f.W.base()) * exact(f.X), f.bound);
}

TEST_CASE("a pass that is asked for another weight, X or dY refuses") {
  Fixture<float> f(5);
  Fixture<float>::Pass pass;
  CHECK_THROWS_WITH_AS((void)pass.backward(f.W, f.X, f.dY),
                       "accrete: WeightPass backward of 0 x 0 and 3 x 5: the forward pass was of "
                       "the first rank and number of columns; call forward() with this weight and "
                       "X first",
                       ac::ShapeError);
  const auto Y = pass.forward(f.W, f.X);
  CHECK_THROWS_AS((void)pass.forward(f.W, f.dY), ac::ShapeError);
  CHECK_THROWS_AS((void)pass.backward(f.W, f.X, f.X), ac::ShapeError);
  Stored<float> value = Y;
  f.W.grow(2, ac::init::orthogonal());
  CHECK_THROWS_AS(value = Y, ac::ShapeError);
  CHECK_THROWS_AS((void)pass.backward(f.W, f.X, f.dY), ac::ShapeError);
}
