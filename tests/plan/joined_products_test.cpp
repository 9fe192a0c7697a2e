// SPDX-License-Identifier: MIT
#include "function_model.hpp"
#include "numerics.hpp"

#include <string>

namespace ac = accrete;
using ac::Index;
using ac::Kernel;
using ac::KernelCall;
using ac::Plan;
using ac::PlanStep;

namespace {

constexpr Index m = 31;
constexpr Index n = 20;
constexpr Index r = 5;
constexpr Index p = 7;

/// Calls cost 1, copies of operands nothing, and W0 + U Vᵀ is never formed.
ac::Context<TestBackend> joining_context() {
  return context_with([](const KernelCall& call) {
    return call.m * call.n == m * n ? 1e3 : call.kernel == Kernel::combine ? 0.0 : 1.0;
  });
}
/// The same, but a copy costs as much as joining saves.
ac::Context<TestBackend> copies_cost() {
  return context_with([](const KernelCall& call) { return call.m * call.n == m * n ? 1e3 : 1.0; });
}

Index count(const Plan& plan, Kernel kernel) {
  Index found = 0;
  for (const PlanStep& step : plan.steps) {
    found += step.kernel == kernel ? 1 : 0;
  }
  return found;
}

template <class Scalar>
struct Fixture {
  Dense<Scalar> base_and_u = random_matrix<Scalar>(m, n + r, 1);
  Dense<Scalar> V = random_matrix<Scalar>(n, r, 2);
  Dense<Scalar> X = random_matrix<Scalar>(n, p, 3);
  Dense<Scalar> Y = random_matrix<Scalar>(m, p, 4);
  long double bound = rounding_bound<Scalar>(n + 2 * r + 4, 400);

  auto W0() const { return base_and_u.leftCols(n); }
  auto U() const { return base_and_u.rightCols(r); }
  auto weight(Scalar s) const {
    return ac::lazy<TestBackend>(W0()) + s * ac::outer<TestBackend>(U(), V);
  }
  Exact value(long double s) const { return exact(W0()) + s * exact(U()) * exact(V).transpose(); }
};

} // namespace

TEST_CASE_TEMPLATE("W0 X + s U (Vᵀ X) is one product where W0 and U lie side by side", Scalar,
                   TEST_SCALARS) {
  Fixture<Scalar> f;
  auto context = joining_context();
  const ac::ScopedContext<TestBackend> use(context);
  for (const Scalar s : {Scalar{1}, Scalar{-0.7}}) {
    const auto expression = f.weight(s) * f.X;
    const Plan& plan = ac::plan(context, expression);
    CAPTURE(plan.text());
    CHECK(count(plan, Kernel::gemm) == 2);
    CHECK(count(plan, Kernel::combine) == 1);
    CHECK(plan.steps.back().k == n + r);
    CHECK(plan.text().find("[A B] * [t2 t1]") != std::string::npos);
    const Exact before = exact(f.Y);
    f.Y -= expression;
    CHECK_CLOSE(f.Y, before - f.value(s) * exact(f.X), f.bound);
  }
}

TEST_CASE_TEMPLATE("the mirror image, Xᵀ (W0 + s U Vᵀ)ᵀ, is joined too", Scalar, TEST_SCALARS) {
  const Fixture<Scalar> f;
  auto context = joining_context();
  const ac::ScopedContext<TestBackend> use(context);
  const auto expression = ac::lazy<TestBackend>(f.X).transpose() * f.weight(Scalar{3}).transpose();
  const Plan& plan = ac::plan(context, expression);
  CAPTURE(plan.text());
  CHECK(count(plan, Kernel::gemm) == 2);
  CHECK(plan.text().find("[t2 t1] * [B D]") != std::string::npos);
  const Dense<Scalar> Y = expression;
  CHECK_CLOSE(Y, exact(f.X).transpose() * f.value(3).transpose(), f.bound);
}

TEST_CASE("with Z in spare rows below X nothing is copied, unless Z has a coefficient") {
  const Fixture<double> f;
  Dense<double> XZ = random_matrix<double>(n + r, p, 5);
  const auto X = XZ.topRows(n);
  const auto Z = XZ.bottomRows(r);
  auto context = copies_cost();
  const ac::ScopedContext<TestBackend> use(context);
  for (const double s : {1.0, 0.5, 1.0}) {
    const auto expression =
        ac::lazy<TestBackend>(f.W0()) * X + s * (ac::lazy<TestBackend>(f.U()) * Z);
    const Plan& plan = ac::plan(context, expression);
    CAPTURE(plan.text());
    CHECK(plan.steps.size() == (s == 1.0 ? 1 : 2));
    CHECK(plan.temporaries.empty());
    const Dense<double> Y = expression;
    CHECK_CLOSE(Y, exact(f.W0()) * exact(X) + s * exact(f.U()) * exact(Z), f.bound);
  }
}

TEST_CASE("the same type and shapes with operands elsewhere are another plan") {
  const Fixture<double> f;
  const Dense<double> elsewhere = random_matrix<double>(m, n + r, 8);
  auto context = joining_context();
  const ac::ScopedContext<TestBackend> use(context);
  for (const Dense<double>* of_u : {&f.base_and_u, &elsewhere, &f.base_and_u}) {
    const auto U = of_u->rightCols(r);
    const auto expression = (ac::lazy<TestBackend>(f.W0()) + ac::outer<TestBackend>(U, f.V)) * f.X;
    CHECK(count(ac::plan(context, expression), Kernel::gemm) == (of_u == &elsewhere ? 3 : 2));
    const Dense<double> Y = expression;
    CHECK_CLOSE(Y, (exact(f.W0()) + exact(U) * exact(f.V).transpose()) * exact(f.X), f.bound);
  }
}

TEST_CASE("a temporary in the place of X moves instead of being copied") {
  const Fixture<double> f;
  const Dense<double> A = random_matrix<double>(n, n, 6);
  auto context = joining_context();
  const ac::ScopedContext<TestBackend> use(context);
  const auto expression = f.weight(2.0) * (ac::lazy<TestBackend>(A) * f.X);
  const Plan& plan = ac::plan(context, expression);
  CAPTURE(plan.text());
  CHECK(count(plan, Kernel::combine) == 0);
  CHECK(count(plan, Kernel::gemm) == 3);
  CHECK(plan.workspace_scalars < 2 * (n + r) * p);
  const Dense<double> Y = expression;
  CHECK_CLOSE(Y, f.value(2) * exact(A) * exact(f.X), f.bound * 20);
}

TEST_CASE("products stay apart where the model, the memory or another reader says so") {
  const Fixture<double> f;
  const auto products = [](const Plan& plan) { return count(plan, Kernel::gemm); };
  auto context = joining_context();
  // A copy that costs as much as a product.
  auto copying = copies_cost();
  CHECK(products(ac::plan(copying, f.weight(1.0) * f.X)) == 3);
  // U elsewhere, before W0, or with another stride.
  const Dense<double> W0 = f.W0();
  const Dense<double> U = f.U();
  CHECK(products(ac::plan(context, (W0 + ac::outer<TestBackend>(U, f.V)) * f.X)) == 3);
  const auto left = f.base_and_u.leftCols(r);
  const auto right = f.base_and_u.rightCols(n);
  CHECK(products(ac::plan(context, (right + ac::outer<TestBackend>(left, f.V)) * f.X)) == 3);
  // W0 has a coefficient that U has not.
  CHECK(products(ac::plan(
            context, (3.0 * ac::lazy<TestBackend>(f.W0()) + ac::outer<TestBackend>(f.U(), f.V)) *
                         f.X)) == 3);
  // Both have one, of their own.
  const auto two =
      (3.0 * ac::lazy<TestBackend>(f.W0()) + 2.0 * ac::outer<TestBackend>(f.U(), f.V)) * f.X;
  CHECK(products(ac::plan(context, two)) == 3);
  // Z is needed once more, and could not be scaled.
  const Dense<double> B = random_matrix<double>(m, r, 8);
  const auto both = f.weight(2.0) * f.X + ac::lazy<TestBackend>(B) * ac::transpose(f.V) * f.X;
  CHECK(products(ac::plan(context, both)) == 4);
}

TEST_CASE_TEMPLATE("a chain that comes up twice is computed once", Scalar, TEST_SCALARS) {
  const Fixture<Scalar> f;
  const Dense<Scalar> P = random_matrix<Scalar>(m, r, 8);
  auto context = context_by_flops();
  const ac::ScopedContext<TestBackend> use(context);
  const auto z = ac::lazy<TestBackend>(f.V).transpose() * f.X;
  const Dense<Scalar> U = f.U();
  const auto expression = ac::lazy<TestBackend>(U) * z + Scalar{2} * (ac::lazy<TestBackend>(P) * z);
  const Plan& plan = ac::plan(context, expression);
  CAPTURE(plan.text());
  CHECK(plan.steps.size() == 3);
  CHECK(plan.temporaries.size() == 1);
  const Dense<Scalar> Y = expression;
  CHECK_CLOSE(Y, (exact(U) + 2 * exact(P)) * exact(f.V).transpose() * exact(f.X), f.bound);

  // Equal shapes in other memory are no reason to share.
  const Dense<Scalar> other = random_matrix<Scalar>(n, r, 9);
  const auto apart = ac::lazy<TestBackend>(U) * z +
                     Scalar{2} * (ac::lazy<TestBackend>(P) * (ac::transpose(other) * f.X));
  CHECK(ac::plan(context, apart).steps.size() == 4);
  const Dense<Scalar> Y2 = apart;
  CHECK_CLOSE(Y2,
              (exact(U) * exact(f.V).transpose() + 2 * exact(P) * exact(other).transpose()) *
                  exact(f.X),
              f.bound);
}
