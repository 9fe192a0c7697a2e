// SPDX-License-Identifier: MIT
#include "bfloat16_numerics.hpp"
#include "function_model.hpp"

#include <algorithm>

namespace ac = accrete;
using ac::Index;
using ac::Kernel;
using ac::KernelCall;

namespace {

/// By this model all is free but what U (Vᵀ x) consists of.
ac::Context<TestBackend> misled_context() {
  return context_with([](const KernelCall& call) {
    return call.kernel == Kernel::gemv && std::min(call.m, call.k) <= 5 ? 1e9 : 0.0;
  });
}

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

/// Whether the value of the expression is right, and was computed without a look for a plan.
template <class Node>
bool evaluates_unplanned(const Node& expression, const Exact& value, long double bound) {
  auto context = misled_context();
  const ac::ScopedContext<TestBackend> use(context);
  const Dense<double> y = expression;
  CHECK_CLOSE(y, value, bound);
  return context.plans().size() == 0;
}

} // namespace

TEST_CASE("a low-rank matrix times a column is evaluated from the right, without a search") {
  const Factors f(60, 40, 5);
  CHECK(evaluates_unplanned(f.matrix() * f.x, f.value(), f.bound()));
  const Factors back(40, 60, 5);
  CHECK(evaluates_unplanned(ac::outer<TestBackend>(back.V, back.U).transpose() * back.x,
                            back.value(), back.bound()));
  const Factors large(5000, 3000, 40); // more than one thread reads it
  CHECK(evaluates_unplanned(large.matrix() * large.x, large.value(), large.bound()));
}

TEST_CASE("its plan says the same") {
  const Factors f(60, 40, 5);
  auto context = misled_context();
  const ac::Plan& plan = ac::plan(context, f.matrix() * f.x);
  REQUIRE(plan.steps.size() == 2);
  const auto is_product = [](const ac::PlanStep& step, Index m, Index k) {
    return step.kernel == Kernel::gemv && step.m == m && step.n == 1 && step.k == k;
  };
  CHECK(is_product(plan.steps[0], 5, 40));
  CHECK(is_product(plan.steps[1], 60, 5));
}

TEST_CASE("other products with a low-rank matrix are left to the model") {
  const Factors two_columns(60, 40, 5, 2);
  CHECK_FALSE(evaluates_unplanned(two_columns.matrix() * two_columns.x, two_columns.value(),
                                  two_columns.bound()));
  const Factors high_rank(60, 4, 5);
  CHECK_FALSE(
      evaluates_unplanned(high_rank.matrix() * high_rank.x, high_rank.value(), high_rank.bound()));
  const Factors no_rank(60, 40, 0);
  CHECK_FALSE(evaluates_unplanned(no_rank.matrix() * no_rank.x, no_rank.value(), 0.0L));
  const Factors f(60, 40, 5);
  CHECK_FALSE(evaluates_unplanned(-2.0 * (f.matrix() * f.x), -2 * f.value(), 3 * f.bound()));
  CHECK_FALSE(evaluates_unplanned(f.x.transpose() * f.matrix().transpose(), f.value().transpose(),
                                  f.bound()));
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
  auto context = misled_context();
  const ac::ScopedContext<TestBackend> use(context);
  const Eigen::MatrixXf y = ac::outer<TestBackend>(U, V) * x;
  const long double size = wide(U).norm() * wide(V).norm() * wide(x).norm();
  CHECK((wide(y) - wide(U) * (wide(V).transpose() * wide(x))).norm() <=
        0x1p-9L * size + rounding_bound<float>(70 + 6 + 4, size));
  CHECK(context.plans().size() == 0);
}
