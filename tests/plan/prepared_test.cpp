// SPDX-License-Identifier: MIT
#include "function_model.hpp"
#include "stored.hpp"

#include <string>
#include <utility>

namespace ac = accrete;
using ac::Index;
using ac::Plan;

namespace {

template <class Scalar>
struct Fixture {
  Stored<Scalar> W0 = random_stored<Scalar>(60, 40, 1);
  Stored<Scalar> U = random_stored<Scalar>(60, 5, 2);
  Stored<Scalar> V = random_stored<Scalar>(40, 5, 3);
  Stored<Scalar> X = random_stored<Scalar>(40, 2, 4);
  Stored<Scalar> Y = random_stored<Scalar>(60, 2, 5);
  long double bound = rounding_bound<Scalar>(50, 2000);

  auto product() const { return (W0 + Scalar{0.5} * ac::outer<TestBackend>(U, V)) * X; }
  Exact value() const { return (exact(W0) + 0.5L * exact(U) * exact(V).transpose()) * exact(X); }
};

bool prepares(const Plan& plan) { return plan.preparation_seconds() > 0.0; }

} // namespace

TEST_CASE("by FLOPs, a weight is merged once executions * p exceed mn/(m+n)") {
  const Fixture<float> f;
  auto context = context_by_flops();
  // mn / (m + n) = 24 and p = 2; the copy of W0 costs one execution's worth more.
  for (const Index executions : {1, 5, 12}) {
    const Plan plan = ac::plan(context, f.product(), ac::Executions{executions});
    CHECK_FALSE(prepares(plan));
    CHECK(plan == ac::plan(context, f.product(), ac::Executions{1}));
    CHECK(plan.flops() == 2.0 * 2 * (60 * 40 + 100 * 5));
  }
  for (const Index executions : {15, 1000}) {
    const Plan plan = ac::plan(context, f.product(), ac::Executions{executions});
    CAPTURE(plan.text());
    CHECK(prepares(plan));
    CHECK(plan.flops() == 2.0 * 2 * 60 * 40);
    CHECK(plan.preparation_seconds() == 60 * 40 + 2.0 * 60 * 40 * 5);
    CHECK(plan.text().find("prepared once") != std::string::npos);
  }
}

TEST_CASE_TEMPLATE("a prepared product follows X, and the weight when told", Scalar, TEST_SCALARS) {
  Fixture<Scalar> f;
  auto context = context_by_flops();
  const ac::ScopedContext<TestBackend> use(context);
  auto product = ac::prepare(f.product(), ac::Executions{100});
  REQUIRE(prepares(product.plan()));
  product.evaluate(f.Y);
  CHECK_CLOSE(f.Y, f.value(), f.bound);
  f.X = random_stored<Scalar>(40, 2, 6);
  product.evaluate(f.Y);
  CHECK_CLOSE(f.Y, f.value(), f.bound);

  const Exact before = f.value();
  set_entries(f.W0, Scalar{2} * ac::to_host(f.W0));
  product.evaluate(f.Y); // what was prepared is used still
  CHECK_CLOSE(f.Y, before, f.bound);
  product.weight_changed();
  product.evaluate(f.Y);
  CHECK_CLOSE(f.Y, f.value(), f.bound);
}

TEST_CASE("chains of constant operands are made once, chains with X in every execution") {
  const Stored<double> A = random_stored<double>(12, 30, 1);
  const Stored<double> B = random_stored<double>(30, 8, 2);
  const Stored<double> C = random_stored<double>(8, 20, 3);
  const Stored<double> x = random_stored<double>(20, 1, 4);
  auto context = context_by_flops();
  const ac::ScopedContext<TestBackend> use(context);
  const auto chain = ac::lazy<TestBackend>(A) * B * C * x;
  CHECK(ac::plan(context, chain).flops() == 2.0 * (8 * 20 + 30 * 8 + 12 * 30));
  auto product = ac::prepare(chain, ac::Executions{10000});
  CAPTURE(product.plan().text());
  CHECK(product.plan().flops() == 2.0 * 12 * 20);
  Stored<double> y(12, 1);
  product.evaluate(y);
  CHECK_CLOSE(y, exact(A) * exact(B) * exact(C) * exact(x), rounding_bound<double>(60, 20000));
}

TEST_CASE("a prepared product refuses what it cannot do") {
  Fixture<double> f;
  CHECK_THROWS_WITH_AS((void)ac::prepare(f.product(), ac::Executions{0}),
                       doctest::Contains("at least 1"), ac::ArgumentError);
  auto product = ac::prepare(f.product(), ac::Executions{3});
  Stored<double> narrow(60, 1);
  CHECK_THROWS_WITH_AS(product.evaluate(narrow), doctest::Contains("60 x 1"), ac::ShapeError);
  auto square =
      ac::prepare(ac::lazy<TestBackend>(f.V) * transpose_of(f.V) * f.X, ac::Executions{3});
  CHECK_THROWS_WITH_AS(square.evaluate(f.X), doctest::Contains("overlaps"), ac::ArgumentError);
  auto taken = std::move(product);
  CHECK_THROWS_WITH_AS(product.evaluate(f.Y), doctest::Contains("moved from"), ac::ArgumentError);
  const ac::Plan plan = ac::prepare(f.product(), ac::Executions{3}).plan();
  CHECK(plan == taken.plan());
}
