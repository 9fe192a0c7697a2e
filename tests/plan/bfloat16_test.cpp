// SPDX-License-Identifier: MIT
#include "bfloat16_numerics.hpp"
#include "function_model.hpp"

#include <memory>

namespace ac = accrete;
using ac::bfloat16;
using ac::Index;

namespace {

using RowMajor = Eigen::Matrix<bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// W0 + U Vᵀ and an operand, m x n, rank r, p columns.
struct Case {
  Stored W0, U, V, X;
  Case(Index m, Index n, Index r, Index p)
      : W0(stored(m, n, 1)), U(stored(m, r, 2)), V(stored(n, r, 3)), X(stored(n, p, 4)) {}
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
    const Stored A = stored(90, 130, 1);
    const Stored X = stored(130, p, 2);
    const RowMajor B = A;
    const Exact expected = wide(A) * wide(X);
    // One product, no intermediate result: nothing is rounded to bfloat16.
    const long double bound = rounding_bound<float>(130 + 2, wide(A).norm() * wide(X).norm());
    Eigen::MatrixXf Y = ac::lazy<TestBackend>(A) * X;
    CHECK((wide(Y) - expected).norm() <= bound);
    Y = ac::lazy<TestBackend>(B) * X;
    CHECK((wide(Y) - expected).norm() <= bound);
    const Eigen::MatrixXf Z = ac::lazy<TestBackend>(X).transpose() * B.transpose();
    CHECK((wide(Z) - expected.transpose()).norm() <= bound);
  }
}

TEST_CASE("sums of bfloat16 products, assigned and accumulated, whichever plan is chosen") {
  for (const Index p : {1, 8, 70}) {
    const Case c(64, 48, 6, p);
    for (const double per_call : {0.0, 1e9}) {
      ac::Context<TestBackend> context(std::make_shared<FixedPrice>(per_call));
      const ac::ScopedContext<TestBackend> scope(context);
      Eigen::MatrixXf Y = c.weight() * c.X;
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
  const Eigen::MatrixXf Y = W * c.X;
  CHECK((wide(Y) - weight * wide(c.X)).norm() <= c.bound());
  auto prepared = ac::prepare(W * c.X, ac::Executions{1000000000});
  Eigen::MatrixXf made_once(40, 9);
  prepared.evaluate(made_once);
  CHECK((wide(made_once) - weight * wide(c.X)).norm() <= c.bound());
  const Stored G = stored(40, 9, 7);
  const Eigen::MatrixXf back = W.transpose() * G;
  CHECK((wide(back) - weight.transpose() * wide(G)).norm() <= c.bound());
}

TEST_CASE("the plan of bfloat16 operands counts two bytes an entry and says so") {
  const Case c(64, 48, 6, 8);
  ac::Context<TestBackend> context(std::make_shared<FixedPrice>(0.0));
  const ac::Explanation explanation = ac::explain(context, c.weight() * c.X);
  CHECK(explanation.plan.scalar == ac::ScalarType::bfloat);
  CHECK(explanation.text().find("bfloat16") != std::string::npos);
  const Stored empty(48, 0);
  const Stored none(64, 0);
  const Eigen::MatrixXf Y = ac::outer<TestBackend>(none, empty) * c.X;
  CHECK(Y.norm() == 0);
}
