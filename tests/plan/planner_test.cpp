// SPDX-License-Identifier: MIT
#include "comma_locale.hpp"
#include "function_model.hpp"
#include "stored.hpp"

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace ac = accrete;
using ac::Index;
using ac::Kernel;
using ac::KernelCall;

namespace {

/// Some materialised m x n temporary stands in the plan.
bool materialises(const ac::Plan& plan, Index rows, Index cols) {
  for (const auto& temporary : plan.temporaries) {
    if (temporary.rows == rows && temporary.cols == cols) {
      return true;
    }
  }
  return false;
}

template <class Scalar = float>
struct Update {
  Stored<Scalar> W0;
  Stored<Scalar> U;
  Stored<Scalar> V;
  Update(Index m, Index n, Index r)
      : W0(random_stored<Scalar>(m, n, 1)),
        U(random_stored<Scalar>(m, r, 2)),
        V(random_stored<Scalar>(n, r, 3)) {}
  auto weight() const { return W0 + ac::outer<TestBackend>(U, V); }
};

} // namespace

TEST_CASE("by FLOPs alone, merging wins exactly when p exceeds mn/(m+n)") {
  const Update<> w(60, 40, 5);
  auto context = context_by_flops();
  // mn / (m + n) = 24; forming W0 + U Vᵀ costs mn more for the copy of W0, nothing else.
  for (const Index p : {Index{1}, Index{8}, Index{24}}) {
    const Stored<float> X(40, p);
    const ac::Plan plan = ac::plan(context, w.weight() * X);
    CHECK_FALSE(materialises(plan, 60, 40));
    CHECK(plan.flops() == 2.0 * p * (60 * 40 + (60 + 40) * 5));
  }
  for (const Index p : {Index{30}, Index{100}}) {
    const Stored<float> X(40, p);
    const ac::Plan plan = ac::plan(context, w.weight() * X);
    CHECK(materialises(plan, 60, 40));
    CHECK(plan.flops() == 2.0 * 60 * 40 * 5 + 60 * 40 + 2.0 * p * 60 * 40);
  }
}

TEST_CASE("a chain is associated as the classical dynamic program does") {
  // 30x35 * 35x15 * 15x5 * 5x10 * 10x20 * 20x25: 15125 multiplications at the optimum
  // (Cormen et al., Introduction to Algorithms, section 15.2).
  const std::vector<Index> sizes = {30, 35, 15, 5, 10, 20, 25};
  std::vector<Stored<float>> m;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    m.emplace_back(sizes[i], sizes[i + 1]);
  }
  auto context = context_by_flops();
  const auto chain = ac::lazy<TestBackend>(m[0]) * m[1] * m[2] * m[3] * m[4] * m[5];
  CHECK(ac::plan(context, chain).flops() == 2.0 * 15125);
  // The order in which it was written does not matter.
  const auto nested =
      ac::lazy<TestBackend>(m[0]) * (m[1] * (m[2] * (m[3] * (ac::lazy<TestBackend>(m[4]) * m[5]))));
  CHECK(ac::plan(context, nested).flops() == 2.0 * 15125);
}

TEST_CASE("U Vᵀ X never forms U Vᵀ when the rank is small, and does when it is not") {
  auto context = context_by_flops();
  const Stored<float> X(40, 30);
  const Update<> small(60, 40, 3);
  CHECK_FALSE(
      materialises(ac::plan(context, ac::outer<TestBackend>(small.U, small.V) * X), 60, 40));
  const Update<> large(4, 5, 60);
  CHECK(materialises(
      ac::plan(context, ac::outer<TestBackend>(large.U, large.V) * Stored<float>(5, 30)), 4, 5));
}

TEST_CASE("products of two sums: each of the plans can be forced, and each is right") {
  const Update<double> a(12, 10, 2);
  const Update<double> b(10, 9, 3);
  const Stored<double> X = random_stored<double>(9, 4, 7);
  const Exact expected = (exact(a.W0) + exact(a.U) * exact(a.V).transpose()) *
                         (exact(b.W0) + exact(b.U) * exact(b.V).transpose()) * exact(X);
  struct Forced {
    const char* name;
    std::function<double(const KernelCall&)> seconds;
    bool merges_left;
    bool merges_right;
  };
  const auto copies = [](const KernelCall& c, Index m, Index n) {
    return c.kernel == Kernel::combine && c.m == m && c.n == n;
  };
  const std::vector<Forced> cases = {
      {"nothing merged",
       [](const KernelCall& c) { return c.kernel == Kernel::combine ? 1e9 : c.flops(); }, false,
       false},
      {"left merged",
       [=](const KernelCall& c) {
         return copies(c, 12, 10) ? 0.0
                                  : (c.kernel == Kernel::combine
                                         ? 1e9
                                         : (c.k == 2 && c.m * c.n != 120 ? 1e9 : c.flops()));
       },
       true, false},
      {"both merged",
       [=](const KernelCall& c) {
         return c.kernel == Kernel::combine || c.m * c.n == 120 || c.m * c.n == 90
                    ? 0.0
                    : (c.k == 2 || c.k == 3 ? 1e9 : c.flops());
       },
       true, true}};
  for (const Forced& forced : cases) {
    CAPTURE(forced.name);
    auto context = context_with(forced.seconds);
    const ac::ScopedContext<TestBackend> use(context);
    const auto expression = a.weight() * b.weight() * X;
    const ac::Plan& plan = ac::plan(context, expression);
    CAPTURE(plan.text());
    CHECK(materialises(plan, 12, 10) == forced.merges_left);
    CHECK(materialises(plan, 10, 9) == forced.merges_right);
    CHECK_CLOSE(expression.eval(), expected, rounding_bound<double>(60, expected.norm() * 100));
  }
}

TEST_CASE("distribution of a sum inside a longer chain") {
  // U1 V1ᵀ (W X) costs a W X of full size; (V1ᵀ W) X is cheaper for small ranks, and only the
  // distributed form can reach it.
  const Stored<float> U1(100, 2), V1(100, 2), U2(100, 2), V2(100, 2), W(100, 100), X(100, 1000);
  auto context = context_by_flops();
  const auto expression = (ac::outer<TestBackend>(U1, V1) + ac::outer<TestBackend>(U2, V2)) * W * X;
  const double per_term = 2.0 * 2 * 100 * 100 + 2.0 * 2 * 100 * 1000 + 2.0 * 100 * 2 * 1000;
  CHECK(ac::plan(context, expression).flops() == 2 * per_term);
}

TEST_CASE("terms with an empty inner dimension vanish from the plan") {
  const Update<> w(6, 5, 0);
  auto context = context_by_flops();
  const ac::Plan plan = ac::plan(context, w.weight() * Stored<float>(5, 4));
  REQUIRE(plan.steps.size() == 1);
  CHECK(plan.steps[0].kernel == Kernel::gemm);
  const ac::Plan zero = ac::plan(context, ac::outer<TestBackend>(w.U, w.V) * Stored<float>(5, 4));
  REQUIRE(zero.steps.size() == 1);
  CHECK(zero.steps[0].kernel == Kernel::fill);
}

TEST_CASE("kernels follow the shape of the result") {
  const Update<> w(60, 40, 5);
  auto context = context_by_flops();
  for (const auto& step : ac::plan(context, w.weight() * Stored<float>(40, 1)).steps) {
    CHECK(step.kernel == Kernel::gemv);
  }
  for (const auto& step : ac::plan(context, w.weight() * Stored<float>(40, 8)).steps) {
    CHECK(step.kernel == Kernel::gemm);
  }
}

TEST_CASE(
    "plans are values: cached by shape, independent of coefficients, forgotten with the model") {
  const Update<> w(60, 40, 5);
  auto context = context_by_flops();
  const Stored<float> X(40, 8);
  const ac::Plan& first = ac::plan(context, 2.0F * (w.weight() * X));
  CHECK(&first == &ac::plan(context, 3.0F * (w.weight() * X)));
  CHECK(context.plans().size() == 1);
  const ac::Plan other = ac::plan(context, 2.0F * (w.weight() * Stored<float>(40, 9)));
  CHECK(context.plans().size() == 2);
  CHECK_FALSE(first == other);
  const ac::Plan before = first;
  context.set_cost_model(std::make_shared<ac::RooflineModel>());
  CHECK(context.plans().size() == 0);
  CHECK(before.steps.size() == 3);
}

TEST_CASE("temporaries that are never alive together share memory") {
  std::vector<Stored<float>> m(5, on_backend(Dense<float>::Identity(32, 32)));
  auto context = context_by_flops();
  const auto chain = ac::lazy<TestBackend>(m[0]) * m[1] * m[2] * m[3] * m[4];
  const ac::Plan& plan = ac::plan(context, chain);
  CHECK(plan.temporaries.size() == 3);
  CHECK(plan.workspace_scalars == 2 * 32 * 32);
  CHECK(equal_entries(chain.eval(), Dense<float>::Identity(32, 32)));
}

TEST_CASE("explain shows plans that differ between one column and many") {
  const Update<> w(768, 768, 32);
  ac::Context<TestBackend> context;
  std::vector<std::string> texts;
  for (const Index p : {Index{1}, Index{8}, Index{1024}}) {
    const Stored<float> X(768, p);
    const ac::Explanation explanation = ac::explain(context, w.weight() * X);
    CHECK(explanation.backend == TestBackend::name);
    CHECK(explanation.text().find("MFLOP") != std::string::npos);
    CHECK(materialises(explanation.plan, 768, 768) == (p == 1024));
    CHECK(explanation.plan.steps.front().kernel == (p == 1   ? Kernel::gemv
                                                    : p == 8 ? Kernel::gemm
                                                             : Kernel::combine));
    texts.push_back(explanation.text());
  }
  CHECK(texts[0] != texts[1]);
  CHECK(texts[1] != texts[2]);
}

TEST_CASE("what it costs to add to a result counts in the choice") {
  const Update<> w(60, 40, 5);
  const Stored<float> X(40, 8);
  for (const bool dear : {false, true}) {
    // W0 X is written, U (Vᵀ X) adds to it; the merged weight needs no such step.
    auto context = context_with([=](const KernelCall& call) {
      return call.flops() + (dear && call.accumulate && call.n == 8 ? 1e9 : 0.0);
    });
    CHECK(materialises(ac::plan(context, w.weight() * X), 60, 40) == dear);
    // The same below another product.
    const Stored<float> A(30, 60);
    CHECK(materialises(ac::plan(context, ac::lazy<TestBackend>(A) * (w.weight() * X)), 60, 40) ==
          dear);
  }
}

TEST_CASE("what costs more than the best plan so far is not searched to its end") {
  const Update<> w(300, 300, 8);
  const Stored<float> X(300, 20);
  int calls = 0;
  auto context = context_with([&](const KernelCall& call) {
    ++calls;
    return ac::RooflineModel{}.seconds(call);
  });
  CHECK(ac::plan(context, w.weight() * w.weight() * w.weight() * X).steps.size() == 9);
  CHECK(calls < 400); // 765 when every part is searched
}

TEST_CASE("there is a plan even by a model that predicts no finite time") {
  const Update<> w(6, 5, 2);
  const Stored<float> X = random_stored<float>(5, 3, 4);
  const Dense<float> expected =
      (ac::to_host(w.W0) + ac::to_host(w.U) * ac::to_host(w.V).transpose()) * ac::to_host(X);
  for (const double seconds :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()}) {
    auto context = context_with([&](const KernelCall&) { return seconds; });
    const ac::ScopedContext<TestBackend> scope(context);
    CHECK((ac::to_host(w.weight() * X) - expected).norm() <= 1e-5F * expected.norm());
  }
}

TEST_CASE("a plan as JSON") {
  const Stored<float> A(3, 4);
  const Stored<float> B(4, 2);
  auto context = context_with([](const KernelCall&) { return 0.25; });
  CHECK(
      ac::plan(context, 2.0f * (ac::lazy<TestBackend>(A) * B)).json() ==
      R"({"rows": 3, "cols": 2, "scalar": "float", )"
      R"("operands": [{"name": "A", "rows": 3, "cols": 4}, {"name": "B", "rows": 4, "cols": 2}], )"
      R"("temporaries": [], "workspace_bytes": 0, )"
      R"("steps": [{"kernel": "gemm", "result": "result", "left": "A", "right": "B", )"
      R"("m": 3, "n": 2, "k": 4, "coefficients": [1], "accumulate": false, "prepared": false, )"
      R"("flops": 48, "bytes": 104, "predicted_seconds": 0.25}], )"
      R"("flops": 48, "bytes": 104, "predicted_seconds": 0.25, "preparation_seconds": 0})");
  const Stored<float> C(2, 5);
  const ac::Plan chain = ac::plan(context, ac::lazy<TestBackend>(A) * B * C);
  CHECK(chain.json().find(R"("temporaries": [{"name": "t1", "rows": )") != std::string::npos);
}

TEST_CASE("plans as text and JSON do not depend on the locale") {
  const Stored<float> A(3, 4);
  const Stored<float> B(4, 2);
  const Stored<float> C(2, 5);
  auto context = context_with([](const KernelCall&) { return 0.25; });
  const ac::Plan plan = ac::plan(context, ac::lazy<TestBackend>(A) * B * C);
  const std::string json = plan.json();
  const std::string text = plan.text();
  const CommaLocale locale;
  CHECK(plan.json() == json);
  CHECK(plan.text() == text);
  CHECK(text.find("250000.0") != std::string::npos);
}

TEST_CASE("a plan stays where it is until 4096 others were made") {
  auto context = context_with([](const KernelCall&) { return 0.25; });
  const Stored<float> rows = on_backend(Dense<float>::Zero(2, 6000));
  const Stored<float> B(3, 2);
  const auto plan_for = [&](Index cols) -> const ac::Plan& {
    return ac::plan(context, ac::lazy<TestBackend>(B) * columns_of(rows, 0, cols));
  };
  Index made = 0;
  while (made < 1000) {
    static_cast<void>(plan_for(++made));
  }
  const ac::Plan& plan = plan_for(++made);
  const std::string text = plan.text();
  for (int others = 0; others < 4095; ++others) {
    static_cast<void>(plan_for(++made));
  }
  CHECK(&plan_for(1001) == &plan);
  CHECK(plan.text() == text);
  CHECK(context.plans().size() == 4096);
  static_cast<void>(plan_for(1)); // long gone: made anew, the oldest goes
  CHECK(context.plans().size() == 4096);
  CHECK(plan_for(1002).cols == 1002);
}
