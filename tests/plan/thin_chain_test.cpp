// SPDX-License-Identifier: MIT
#include "bfloat16_numerics.hpp"
#include "function_model.hpp"
#include "stored.hpp"

namespace ac = accrete;
using ac::Index;
using ac::Kernel;

namespace {

struct Factors {
  Stored<double> U, V, x;
  Factors(Index m, Index n, Index r, Index p = 1)
      : U(random_stored<double>(m, r, 1)),
        V(random_stored<double>(n, r, 2)),
        x(random_stored<double>(n, p, 3)) {}
  [[nodiscard]] auto matrix() const { return ac::outer<TestBackend>(U, V); }
  [[nodiscard]] Exact value() const { return exact(U) * (exact(V).transpose() * exact(x)); }
  [[nodiscard]] long double bound() const {
    return rounding_bound<double>(V.rows() + V.cols() + 4,
                                  exact(U).norm() * exact(V).norm() * exact(x).norm());
  }
};

} // namespace

TEST_CASE("a low-rank matrix times a column is evaluated from the right") {
  const auto is_product = [](const ac::PlanStep& step, Index m, Index k) {
    return step.kernel == Kernel::gemv && step.m == m && step.n == 1 && step.k == k;
  };
  for (const Factors& f : {Factors(60, 40, 5), Factors(40, 60, 5), Factors(5000, 3000, 40)}) {
    const ac::Plan& plan = ac::plan(f.matrix() * f.x);
    CAPTURE(plan.text());
    REQUIRE(plan.steps.size() == 2);
    CHECK(is_product(plan.steps[0], f.V.cols(), f.V.rows()));
    CHECK(is_product(plan.steps[1], f.U.rows(), f.U.cols()));
    CHECK_CLOSE(Stored<double>(f.matrix() * f.x), f.value(), f.bound());
  }
}

TEST_CASE("a low-rank matrix times a column in any memory, assigned and accumulated") {
  const Factors f(30, 30, 4);
  const Stored<double> U_rows = on_backend(ac::to_host(f.U).transpose());
  const Stored<double> wide = on_backend(ac::to_host(f.x).transpose().replicate(3, 1));
  const Stored<double> start = random_stored<double>(30, 1, 5);
  Stored<double> y = start;
  y +=
      ac::outer<TestBackend>(transpose_of(U_rows), f.V) * transpose_of(block_of(wide, 1, 0, 1, 30));
  CHECK_CLOSE(y, exact(start) + f.value(),
              2 * f.bound() + rounding_bound<double>(1, exact(y).norm()));
  y = start;
  ac::noalias(y) -= f.matrix() * f.x;
  CHECK_CLOSE(y, exact(start) - f.value(),
              2 * f.bound() + rounding_bound<double>(1, exact(y).norm()));
  y = f.x;
  y = f.matrix() * y;
  CHECK_CLOSE(y, f.value(), f.bound());
}

TEST_CASE("a low-rank matrix of bfloat16 times a column rounds only Vᵀ x to bfloat16") {
  const Stored<ac::bfloat16> U = stored_bfloat16(50, 6, 1);
  const Stored<ac::bfloat16> V = stored_bfloat16(70, 6, 2);
  const Stored<ac::bfloat16> x = stored_bfloat16(70, 1, 3);
  const Stored<float> y = ac::outer<TestBackend>(U, V) * x;
  const long double size = wide(U).norm() * wide(V).norm() * wide(x).norm();
  CHECK((wide(y) - wide(U) * (wide(V).transpose() * wide(x))).norm() <=
        0x1p-9L * size + rounding_bound<float>(70 + 6 + 4, size));
}
