// SPDX-License-Identifier: MIT
#include "bfloat16_numerics.hpp"
#include "function_model.hpp"

namespace ac = accrete;
using ac::Index;
using ac::Kernel;

namespace {

struct Factors {
  Dense<double> U, V, x;
  Factors(Index m, Index n, Index r, Index p = 1)
      : U(random_matrix<double>(m, r, 1)),
        V(random_matrix<double>(n, r, 2)),
        x(random_matrix<double>(n, p, 3)) {}
  [[nodiscard]] auto matrix() const { return ac::outer<TestBackend>(U, V); }
  [[nodiscard]] Exact value() const { return exact(U) * (exact(V).transpose() * exact(x)); }
  [[nodiscard]] long double bound() const {
    return rounding_bound<double>(V.rows() + V.cols() + 4, U.norm() * V.norm() * x.norm());
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
    CHECK_CLOSE(Dense<double>(f.matrix() * f.x), f.value(), f.bound());
  }
}

TEST_CASE("a low-rank matrix times a column in any memory, assigned and accumulated") {
  const Factors f(30, 30, 4);
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> U = f.U;
  const Dense<double> wide = f.x.transpose().replicate(3, 1);
  const Dense<double> start = random_matrix<double>(30, 1, 5);
  Dense<double> y = start;
  y += ac::outer<TestBackend>(U, f.V) * wide.row(1).transpose();
  CHECK_CLOSE(y, exact(start) + f.value(), 2 * f.bound() + rounding_bound<double>(1, y.norm()));
  y = start;
  ac::noalias(y) -= f.matrix() * f.x;
  CHECK_CLOSE(y, exact(start) - f.value(), 2 * f.bound() + rounding_bound<double>(1, y.norm()));
  y = f.x;
  y = f.matrix() * y;
  CHECK_CLOSE(y, f.value(), f.bound());
}

TEST_CASE("a low-rank matrix of bfloat16 times a column rounds only Vᵀ x to bfloat16") {
  const Stored U = stored(50, 6, 1);
  const Stored V = stored(70, 6, 2);
  const Stored x = stored(70, 1, 3);
  const Eigen::MatrixXf y = ac::outer<TestBackend>(U, V) * x;
  const long double size = wide(U).norm() * wide(V).norm() * wide(x).norm();
  CHECK((wide(y) - wide(U) * (wide(V).transpose() * wide(x))).norm() <=
        0x1p-9L * size + rounding_bound<float>(70 + 6 + 4, size));
}
