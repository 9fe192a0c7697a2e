// SPDX-License-Identifier: MIT
#include "function_model.hpp"
#include "stored.hpp"

namespace ac = accrete;
using ac::Index;
using ac::Plan;

namespace {

constexpr Index m = 14, n = 9, r = 3, p = 6;

template <class Scalar>
struct Fixture {
  Stored<Scalar> U = random_stored<Scalar>(m, r, 1);
  Stored<Scalar> V = random_stored<Scalar>(n, r, 2);
  Stored<Scalar> X = random_stored<Scalar>(n, p, 3);
  long double bound =
      rounding_bound<Scalar>(n + r + 2, 8 * exact(U).norm() * exact(V).norm() * exact(X).norm());
};

} // namespace

TEST_CASE_TEMPLATE("a chain that comes up twice is computed once", Scalar, TEST_SCALARS) {
  const Fixture<Scalar> f;
  const Stored<Scalar> P = random_stored<Scalar>(m, r, 8);
  auto context = context_by_flops();
  const ac::ScopedContext<TestBackend> use(context);
  const auto z = ac::lazy<TestBackend>(f.V).transpose() * f.X;
  const auto expression =
      ac::lazy<TestBackend>(f.U) * z + Scalar{2} * (ac::lazy<TestBackend>(P) * z);
  const Plan& plan = ac::plan(context, expression);
  CAPTURE(plan.text());
  CHECK(plan.steps.size() == 3);
  CHECK(plan.temporaries.size() == 1);
  const Stored<Scalar> Y = expression;
  CHECK_CLOSE(Y, (exact(f.U) + 2 * exact(P)) * exact(f.V).transpose() * exact(f.X), f.bound);

  // Equal shapes in other memory are no reason to share.
  const Stored<Scalar> other = random_stored<Scalar>(n, r, 9);
  const auto apart = ac::lazy<TestBackend>(f.U) * z +
                     Scalar{2} * (ac::lazy<TestBackend>(P) * (ac::transpose(other) * f.X));
  CHECK(ac::plan(context, apart).steps.size() == 4);
  const Stored<Scalar> Y2 = apart;
  CHECK_CLOSE(Y2,
              (exact(f.U) * exact(f.V).transpose() + 2 * exact(P) * exact(other).transpose()) *
                  exact(f.X),
              f.bound);
}
