// SPDX-License-Identifier: MIT
#include "bfloat16_numerics.hpp"
#include "function_model.hpp"
#include "stored.hpp"

#include <memory>

namespace ac = accrete;
using ac::bfloat16;
using ac::Index;

namespace {

using Bfloat16 = Stored<bfloat16>;

/// W0 + U Vᵀ and an operand, m x n, rank r, p columns.
struct Case {
  Bfloat16 W0, U, V, X;
  Case(Index m, Index n, Index r, Index p)
      : W0(stored_bfloat16(m, n, 1)),
        U(stored_bfloat16(m, r, 2)),
        V(stored_bfloat16(n, r, 3)),
        X(stored_bfloat16(n, p, 4)) {}
  [[nodiscard]] auto weight() const { return W0 + ac::outer<TestBackend>(U, V); }
  [[nodiscard]] Exact value() const { return (wide(W0) + wide(U) * wide(V).transpose()) * wide(X); }
  /// Half a unit of bfloat16, 2^-9, for each of the roundings of intermediate results, times what
  /// they are multiplied by, and float rounding of the rest.
  [[nodiscard]] long double bound() const {
    const long double update = wide(U).norm() * wide(V).norm();
    const long double size = (wide(W0).norm() + update) * wide(X).norm();
    return 0x1p-8L * size + rounding_bound<float>(W0.cols() + U.cols() + 4, size);
  }
};

class FixedPrice final : public ac::CostModel {
 public:
  explicit FixedPrice(double per_call) : per_call_(per_call) {}
  [[nodiscard]] double seconds(const ac::KernelCall& call) const override {
    return per_call_ + call.flops();
  }

 private:
  double per_call_;
};

} // namespace

TEST_CASE("bfloat16 operands give a float value, summed in float") {
  for (const Index p : {1, 2, 5, 70}) {
    const Bfloat16 A = stored_bfloat16(90, 130, 1);
    const Bfloat16 X = stored_bfloat16(130, p, 2);
    const Bfloat16 A_rows = on_backend(ac::to_host(A).transpose());
    const Exact expected = wide(A) * wide(X);
    // One product, no intermediate result: nothing is rounded to bfloat16.
    const long double bound = rounding_bound<float>(130 + 2, wide(A).norm() * wide(X).norm());
    Stored<float> Y = ac::lazy<TestBackend>(A) * X;
    CHECK((wide(Y) - expected).norm() <= bound);
    Y = ac::lazy<TestBackend>(transpose_of(A_rows)) * X;
    CHECK((wide(Y) - expected).norm() <= bound);
    const Stored<float> Z = ac::lazy<TestBackend>(X).transpose() * A_rows;
    CHECK((wide(Z) - expected.transpose()).norm() <= bound);
  }
}

TEST_CASE("sums of bfloat16 products, assigned and accumulated, whichever plan is chosen") {
  for (const Index p : {1, 8, 70}) {
    const Case c(64, 48, 6, p);
    for (const double per_call : {0.0, 1e9}) {
      ac::Context<TestBackend> context(std::make_shared<FixedPrice>(per_call));
      const ac::ScopedContext<TestBackend> scope(context);
      Stored<float> Y = c.weight() * c.X;
      CHECK((wide(Y) - c.value()).norm() <= c.bound());
      Y += 0.25F * (c.weight() * c.X);
      CHECK((wide(Y) - 1.25L * c.value()).norm() <= 2 * c.bound());
      Y -= c.weight() * c.X;
      CHECK((wide(Y) - 0.25L * c.value()).norm() <= 4 * c.bound());
    }
  }
}

TEST_CASE("a cumulative update of bfloat16 matrices multiplies with a float scale") {
  const Case c(40, 60, 5, 9);
  ac::CumulativeUpdate<bfloat16, TestBackend> W(c.W0,
                                                ac::LowRankMatrix<bfloat16, TestBackend>(c.U, c.V));
  W.set_scale(0.3F);
  const Exact weight =
      wide(c.W0) + static_cast<long double>(0.3F) * wide(c.U) * wide(c.V).transpose();
  const Stored<float> Y = W * c.X;
  CHECK((wide(Y) - weight * wide(c.X)).norm() <= c.bound());
  auto prepared = ac::prepare(W * c.X, ac::Executions{1000000000});
  Stored<float> made_once(40, 9);
  prepared.evaluate(made_once);
  CHECK((wide(made_once) - weight * wide(c.X)).norm() <= c.bound());
  const Bfloat16 G = stored_bfloat16(40, 9, 7);
  const Stored<float> back = W.transpose() * G;
  CHECK((wide(back) - weight.transpose() * wide(G)).norm() <= c.bound());
}

TEST_CASE("the plan of bfloat16 operands counts two bytes an entry and says so") {
  const Case c(64, 48, 6, 8);
  ac::Context<TestBackend> context(std::make_shared<FixedPrice>(0.0));
  const ac::Explanation explanation = ac::explain(context, c.weight() * c.X);
  CHECK(explanation.plan.scalar == ac::ScalarType::bfloat);
  CHECK(explanation.text().find("bfloat16") != std::string::npos);
  const Bfloat16 empty(48, 0);
  const Bfloat16 none(64, 0);
  const Stored<float> Y = ac::outer<TestBackend>(none, empty) * c.X;
  CHECK(exact(Y).norm() == 0);
}
