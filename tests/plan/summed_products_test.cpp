// SPDX-License-Identifier: MIT
#include "bfloat16_numerics.hpp"
#include "function_model.hpp"

#include <utility>
#include <vector>

namespace ac = accrete;
using ac::bfloat16;
using ac::Index;
using ac::Kernel;
using ac::PlanOperand;

namespace {

ac::PlanStep product(PlanOperand::Kind kind, int index, bool accumulate) {
  ac::PlanStep step;
  step.result = {kind, index};
  step.accumulate = accumulate;
  return step;
}

/// Kernels that only count what they are asked for.
template <bool can_sum>
struct CountingTable {
  static inline int sums = 0, products = 0;
  static inline float last_beta = -1;

  template <class Scalar>
  static bool sums_products(Index, Index) {
    return can_sum;
  }
  template <class... Arguments>
  static bool gemm_sum(Arguments&&...) {
    sums += can_sum ? 1 : 0;
    return can_sum;
  }
  template <class Device, class Left, class Right, class Result>
  static void gemm(Device&, float, const Left&, const Right&, float beta, const Result&) {
    ++products;
    last_beta = beta;
  }
  template <class... Arguments>
  static void gemv(Arguments&&...) {}
  template <class... Arguments>
  static void combine(Arguments&&...) {}
  template <class... Arguments>
  static void fill(Arguments&&...) {}
};

bool always(Index, Index) { return true; }
bool are_summed(bool (*sums)(Index, Index), Index rows, Index cols) {
  return sums != nullptr && sums(rows, cols);
}

struct NoOperands {
  using Stored = bfloat16;
  [[nodiscard]] ac::View<const bfloat16> left(const ac::PlanStep&) const { return {}; }
  [[nodiscard]] ac::View<const bfloat16> right(const ac::PlanStep&) const { return {}; }
};

} // namespace

TEST_CASE("products of one result are brought together, and nothing else is") {
  using Kind = PlanOperand::Kind;
  ac::Plan plan;
  plan.steps.push(product(Kind::destination, 0, false)); // D = ..
  plan.steps.push(product(Kind::temporary, 0, false));   // t0 = ..
  plan.steps.push(product(Kind::temporary, 1, false));   // t1 = ..
  plan.steps.push(product(Kind::temporary, 0, true));    // t0 += ..
  plan.steps.push(product(Kind::destination, 0, true));  // D += ..
  plan.steps.push(product(Kind::temporary, 2, false));   // t2 = ..
  plan.steps.push(product(Kind::destination, 0, true));  // D += ..
  const ac::RooflineModel model;
  ac::detail::SummedProducts(model, plan, always).run();
  const std::vector<std::pair<Kind, int>> expected = {
      {Kind::temporary, 1},   {Kind::temporary, 0},   {Kind::temporary, 0},  {Kind::temporary, 2},
      {Kind::destination, 0}, {Kind::destination, 0}, {Kind::destination, 0}};
  REQUIRE(plan.steps.size() == static_cast<Index>(expected.size()));
  for (Index s = 0; s < plan.steps.size(); ++s) {
    CHECK(plan.steps[s].result.kind == expected[static_cast<std::size_t>(s)].first);
    CHECK(plan.steps[s].result.index == expected[static_cast<std::size_t>(s)].second);
  }
  CHECK_FALSE(plan.steps[4].accumulate);

  CHECK(ac::detail::summed_products(plan, 1) == 2);
  CHECK(ac::detail::summed_products(plan, 4) == 3);
  CHECK(ac::detail::summed_products(plan, 3) == 1);
  plan.slots.push(7);
  plan.steps[6].slot_count = 1; // another coefficient
  CHECK(ac::detail::summed_products(plan, 4) == 2);
  plan.steps[4].kernel = Kernel::combine; // no product
  CHECK(ac::detail::summed_products(plan, 4) == 1);
}

TEST_CASE("a product that adds to another saves a pass over their result") {
  using Kind = PlanOperand::Kind;
  ac::Plan plan;
  for (const Index k : {100, 20, 3}) {
    ac::PlanStep step = product(Kind::destination, 0, k != 100);
    step.k = k;
    step.predicted_seconds = 1000;
    plan.steps.push(step);
  }
  const auto model =
      context_with([](const ac::KernelCall& call) { return 1 + static_cast<double>(call.k); });
  ac::detail::SummedProducts(model.cost_model(), plan, always).run();
  CHECK(plan.steps[1].predicted_seconds == 19);
  CHECK(plan.steps[2].predicted_seconds == 2);
}

TEST_CASE("a sum of products is one call of a backend that adds them up, and several of others") {
  using Kind = PlanOperand::Kind;
  const ac::PlanStep steps[] = {product(Kind::destination, 0, false),
                                product(Kind::destination, 0, true),
                                product(Kind::destination, 0, true)};
  int device = 0;
  const ac::View<float> result;
  using Summing = CountingTable<true>;
  ac::detail::run_steps<Summing>(device, steps, 3, NoOperands{}, 1.0F, 0.0F, result);
  CHECK(Summing::sums == 1);
  CHECK(Summing::products == 0);
  ac::detail::run_steps<Summing>(device, steps, 1, NoOperands{}, 1.0F, 0.5F, result);
  CHECK(Summing::sums == 1);
  CHECK(Summing::products == 1);
  CHECK(Summing::last_beta == 0.5F);
  using Plain = CountingTable<false>;
  ac::detail::run_steps<Plain>(device, steps, 3, NoOperands{}, 1.0F, 0.0F, result);
  CHECK(Plain::products == 3);
  CHECK(Plain::last_beta == 1.0F);
}

TEST_CASE("W0 X and U Z of bfloat16 matrices are made one after the other") {
  const Stored W0 = stored(96, 80, 1);
  const Stored U = stored(96, 5, 2);
  const Stored V = stored(80, 5, 3);
  const Stored X = stored(80, 40, 4);
  const auto by_flops = [](const ac::KernelCall& call) { return call.flops(); };
  ac::Context<TestBackend> context = context_with(by_flops);
  const ac::ScopedContext<TestBackend> scope(context);
  const auto weight = [&](float base) {
    return base * ac::lazy<TestBackend>(W0) + ac::outer<TestBackend>(U, V);
  };
  const ac::Plan plan = ac::plan(context, (W0 + ac::outer<TestBackend>(U, V)) * X);
  REQUIRE(plan.steps.size() == 3);
  // Elsewhere the steps stay as they are written: W0 X, Vᵀ X, U Z.
  const bool together = are_summed(ac::detail::summing<TestBackend, bfloat16>(), 96, 40);
  CHECK((plan.steps[0].result.kind == PlanOperand::Kind::temporary) == together);
  CHECK(ac::detail::summed_products(plan, 1) == (together ? 2 : 1));
  // The coefficient of one product goes to Vᵀ X.
  const ac::Plan scaled =
      ac::plan(context, (ac::lazy<TestBackend>(W0) + 0.5F * ac::outer<TestBackend>(U, V)) * X);
  CHECK(scaled.steps[0].slot_count == (together ? 1 : 0));
  CHECK(ac::detail::summed_products(scaled, 1) == (together ? 2 : 1));
  // One that only W0 has stays.
  CHECK(ac::detail::summed_products(ac::plan(context, weight(0.25F) * X), 1) == 1);

  for (const float base : {1.0F, 0.25F}) {
    const Exact expected =
        (static_cast<long double>(base) * wide(W0) + wide(U) * wide(V).transpose()) * wide(X);
    const long double size = (wide(W0).norm() + wide(U).norm() * wide(V).norm()) * wide(X).norm();
    Eigen::MatrixXf Y = weight(base) * X;
    const long double bound = 0x1p-8L * size + rounding_bound<float>(90, size);
    CHECK((wide(Y) - expected).norm() <= bound);
    Y += 0.5F * (weight(base) * X);
    CHECK((wide(Y) - 1.5L * expected).norm() <= 2 * bound);
  }
}

TEST_CASE_TEMPLATE("W0 X and U Z are made one after the other where their sum is large", Scalar,
                   TEST_SCALARS) {
  const auto by_flops = [](const ac::KernelCall& call) { return call.flops(); };
  ac::Context<TestBackend> context = context_with(by_flops);
  const ac::ScopedContext<TestBackend> scope(context);
  const auto W0 = random_matrix<Scalar>(420, 430, 1);
  const auto U = random_matrix<Scalar>(420, 5, 2);
  const auto V = random_matrix<Scalar>(430, 5, 3);
  for (const Index columns : {Index{9}, Index{200}}) {
    CAPTURE(columns);
    const auto X = random_matrix<Scalar>(430, columns, 4);
    const auto Y = (Scalar{0.5} * ac::outer<TestBackend>(U, V) + W0) * X;
    const ac::Plan plan = ac::plan(context, Y);
    REQUIRE(plan.steps.size() == 3);
    const bool together = are_summed(ac::detail::summing<TestBackend, Scalar>(), 420, columns);
    CHECK(plan.steps[0].result.kind == PlanOperand::Kind::temporary);
    CHECK(plan.steps[0].slot_count == (together ? 1 : 0));
    CHECK(ac::detail::summed_products(plan, 1) == (together ? 2 : 1));
    const auto product_flops = [&](Index k) {
      return by_flops({Kernel::gemm, 420, columns, k, false, sizeof(Scalar)});
    };
    CHECK(plan.steps[1].predicted_seconds + plan.steps[2].predicted_seconds ==
          doctest::Approx(product_flops(together ? 430 + 5 - 1 : 430 + 5)));
    const Exact expected = (exact(W0) + 0.5L * exact(U) * exact(V).transpose()) * exact(X);
    const long double size =
        (exact(W0).norm() + exact(U).norm() * exact(V).norm()) * exact(X).norm();
    Dense<Scalar> result = Y;
    CHECK_CLOSE(result, expected, rounding_bound<Scalar>(445, size));
    result -= Scalar{2} * Y;
    CHECK_CLOSE(result, -expected, 3 * rounding_bound<Scalar>(445, size));
  }
}
