// SPDX-License-Identifier: MIT
// Random expressions, shapes, destinations and cost models against an evaluation that shares
// nothing with the library. RC_PARAMS="seed=… max_success=…" runs other or more cases.
#include "random_expression.hpp"

#include <rapidcheck.h>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using namespace random_expression;
using accrete::Kernel;
using accrete::Plan;
using accrete::PlanOperand;
using accrete::PlanStep;
using accrete::PlanTemporary;

namespace {

/// Positive, and anything but smooth: each plan is the cheapest for some seed. Whether a call adds
/// to its result makes no difference, so that the sum over a plan is what the planner minimised.
class ArbitraryModel final : public ac::CostModel {
 public:
  enum class Kind { flops, equal, random };
  ArbitraryModel(Kind kind, unsigned seed) : kind_(kind), seed_(seed) {}

  [[nodiscard]] double seconds(const ac::KernelCall& call) const override {
    if (call.kernel == Kernel::fill) {
      return 0.0;
    }
    if (kind_ == Kind::random) {
      unsigned hash = mix(seed_ + static_cast<unsigned>(call.kernel));
      for (const Index size : {call.m, call.n, call.k}) {
        hash = mix(hash ^ static_cast<unsigned>(size));
      }
      return std::exp2(-static_cast<double>(hash % 4096) / 256.0);
    }
    return kind_ == Kind::flops ? static_cast<double>(call.m * call.n * call.k) : 1.0;
  }

 private:
  Kind kind_;
  unsigned seed_;
};

std::shared_ptr<const ArbitraryModel> draw_model() {
  // The last kind is the most likely one and the first the simplest counterexample.
  const int kind = std::min(*rc::gen::inRange(0, 8).as("model: 0 FLOPs, 1 equal, else random"), 2);
  const auto seed = *rc::gen::arbitrary<unsigned>().as("seed of the model");
  return std::make_shared<ArbitraryModel>(static_cast<ArbitraryModel::Kind>(kind), seed);
}

// What must hold of every plan.

struct Shape {
  Index rows;
  Index cols;
  bool operator==(const Shape&) const = default;
};

Shape shape_of(const Plan& plan, const PlanOperand& operand) {
  switch (operand.kind) {
  case PlanOperand::Kind::input:
    RC_ASSERT(operand.index >= 0 && operand.index < plan.inputs.size());
    return {plan.inputs[operand.index].rows, plan.inputs[operand.index].cols};
  case PlanOperand::Kind::temporary:
    RC_ASSERT(operand.index >= 0 && operand.index < plan.temporaries.size());
    return {plan.temporaries[operand.index].rows, plan.temporaries[operand.index].cols};
  case PlanOperand::Kind::destination:
    return {plan.rows, plan.cols};
  case PlanOperand::Kind::none:
    break;
  }
  return {-1, -1};
}

void check_shapes(const Plan& plan) {
  for (const PlanStep& step : plan.steps) {
    RC_ASSERT((shape_of(plan, step.result) == Shape{step.m, step.n}));
    const bool product = step.kernel == Kernel::gemm || step.kernel == Kernel::gemv;
    if (product) {
      RC_ASSERT((shape_of(plan, step.left) == Shape{step.m, step.k}));
      RC_ASSERT((shape_of(plan, step.right) == Shape{step.k, step.n}));
      RC_ASSERT((step.kernel == Kernel::gemv) == (step.m == 1 || step.n == 1));
    } else if (step.kernel == Kernel::combine) {
      RC_ASSERT((shape_of(plan, step.left) == Shape{step.m, step.n}));
    }
    RC_ASSERT(step.first_coefficient >= 0 && step.coefficient_count >= 0);
    RC_ASSERT(step.first_coefficient + step.coefficient_count <= plan.coefficients.size());
  }
}

/// Every result is written before it is added to or read; the value ends in the destination, whose
/// first step alone may overwrite, or `+=` would forget the old value or count it twice. What is
/// prepared reads nothing that is not.
void check_order(const Plan& plan) {
  std::vector<bool> written(static_cast<std::size_t>(plan.temporaries.size()));
  bool destination = false;
  for (const bool prepared : {true, false}) {
    for (const PlanStep& step : plan.steps) {
      if (step.prepared != prepared) {
        continue;
      }
      for (const PlanOperand* operand : {&step.left, &step.right}) {
        RC_ASSERT(operand->kind != PlanOperand::Kind::destination);
        if (operand->kind == PlanOperand::Kind::temporary) {
          RC_ASSERT(written[static_cast<std::size_t>(operand->index)]);
          RC_ASSERT_FALSE(*operand == step.result);
        }
      }
      if (step.result.kind == PlanOperand::Kind::destination) {
        RC_ASSERT(step.accumulate == destination);
        RC_ASSERT_FALSE(step.prepared);
        destination = true;
      } else {
        RC_ASSERT(step.result.kind == PlanOperand::Kind::temporary);
        const auto result = static_cast<std::size_t>(step.result.index);
        RC_ASSERT(step.accumulate == written[result]);
        written[result] = true;
      }
    }
  }
  RC_ASSERT(destination == (plan.rows > 0 && plan.cols > 0));
  RC_ASSERT(std::all_of(written.begin(), written.end(), [](bool is) { return is; }));
}

/// Lifetimes are found here again, from the steps: temporaries lie apart that are needed at the
/// same time.
void check_memory(const Plan& plan) {
  const Index count = plan.temporaries.size();
  std::vector<std::pair<Index, Index>> alive(static_cast<std::size_t>(count), {-1, -1});
  for (Index s = 0; s < plan.steps.size(); ++s) {
    const PlanStep& step = plan.steps[s];
    for (const PlanOperand* operand : {&step.left, &step.right, &step.result}) {
      if (operand->kind == PlanOperand::Kind::temporary) {
        auto& [first, last] = alive[static_cast<std::size_t>(operand->index)];
        first = step.prepared ? 0 : first < 0 ? s : first;
        last = step.prepared ? plan.steps.size() - 1 : std::max(last, s);
      }
    }
  }
  const auto end = [](const PlanTemporary& t) { return t.offset + t.rows * t.cols; };
  for (Index i = 0; i < count; ++i) {
    const PlanTemporary& a = plan.temporaries[i];
    const auto [a_first, a_last] = alive[static_cast<std::size_t>(i)];
    RC_ASSERT(a.offset >= 0);
    RC_ASSERT(a.first_step == a_first && a.last_step == a_last);
    RC_ASSERT(end(a) <= plan.workspace_scalars);
    for (Index j = 0; j < i; ++j) {
      const PlanTemporary& b = plan.temporaries[j];
      const auto [b_first, b_last] = alive[static_cast<std::size_t>(j)];
      const bool together = a_first <= b_last && b_first <= a_last;
      RC_ASSERT((!together || end(a) <= b.offset || end(b) <= a.offset));
    }
  }
}

/// Steps prepared once, in all plans of a property.
int prepared_steps = 0;

void check_plan(const Plan& plan, const Expected& expected) {
  for (const PlanStep& step : plan.steps) {
    prepared_steps += step.prepared ? 1 : 0;
  }
  RC_ASSERT(plan.rows == expected.rows);
  RC_ASSERT(plan.cols == expected.cols);
  check_shapes(plan);
  check_order(plan);
  check_memory(plan);
}

/// Cost of the best association of a chain, by the textbook recurrence; cost(m, n, k) is that of
/// one product. `sizes` are the rows of the first factor and the columns of each.
template <class Cost>
double least_cost(const std::vector<Index>& sizes, const Cost& cost) {
  const std::size_t count = sizes.size() - 1;
  std::vector<std::vector<double>> best(count, std::vector<double>(count, 0.0));
  for (std::size_t length = 2; length <= count; ++length) {
    for (std::size_t i = 0; i + length <= count; ++i) {
      const std::size_t j = i + length - 1;
      best[i][j] = std::numeric_limits<double>::infinity();
      for (std::size_t k = i; k < j; ++k) {
        const double product = cost(sizes[i], sizes[j + 1], sizes[k + 1]);
        best[i][j] = std::min(best[i][j], best[i][k] + best[k + 1][j] + product);
      }
    }
  }
  return best[0][count - 1];
}

double least_flops(const std::vector<Index>& sizes) {
  return least_cost(sizes,
                    [](Index m, Index n, Index k) { return 2.0 * static_cast<double>(m * n * k); });
}

// One case: an expression of a type that the seed stands for, and everything else drawn.

enum class Assignment { set, add, subtract };

template <class Scalar>
using Target = ac::MatrixView<Scalar, TestBackend>;

/// Each entry may err by eps for each rounding on its way, relative to the same expression over
/// absolute values: this holds for every association and distribution (Higham, Accuracy and
/// Stability of Numerical Algorithms, section 3.5).
template <class Scalar, class Matrix>
void check_value(const Matrix& computed, const Expected& expected, const Exact& old, double sign,
                 double keep) {
  const Dense<Scalar> actual = ac::to_host(computed);
  for (Index i = 0; i < expected.rows; ++i) {
    for (Index j = 0; j < expected.cols; ++j) {
      const long double before = keep * old(i, j);
      const long double value = before + sign * expected.value(i, j);
      const long double bound = static_cast<long double>(expected.roundings() + 4) *
                                std::numeric_limits<Scalar>::epsilon() *
                                (expected.magnitude(i, j) + std::abs(before));
      const long double error = std::abs(static_cast<long double>(actual(i, j)) - value);
      if (!(error <= bound)) {
        std::ostringstream text;
        text << "entry (" << i << ", " << j << ") is " << actual(i, j) << " instead of " << value
             << "; the bound is " << bound;
        RC_FAIL(text.str());
      }
    }
  }
}

/// Leaves workspace that was never written full of NaN.
template <class Scalar>
void poison(ac::Context<TestBackend>& context) {
  constexpr Index count = Index{1} << 14;
  ac::detail::Frame<TestBackend> frame(context.device().workspace());
  ac::Kernels<TestBackend>::fill(context.device(), std::numeric_limits<Scalar>::quiet_NaN(),
                                 frame.matrix<Scalar>(count, 1));
}

template <class Destination, class Node>
void assign(Destination& target, const Node& node, Assignment assignment) {
  switch (assignment) {
  case Assignment::set:
    target = node;
    break;
  case Assignment::add:
    target += node;
    break;
  case Assignment::subtract:
    target -= node;
    break;
  }
}

/// A block anywhere in the memory of the operands or behind it.
template <class Scalar>
Target<Scalar> draw_target(Operands<Scalar>& operands, Index rows, Index cols) {
  const Index stride = rows + *rc::gen::inRange(0, 4).as("rows around the destination");
  const Index last = operands.used();
  const Index back = *rc::gen::inRange<Index>(0, last + 1).as("scalars of operands overlapped");
  return TestBackend::matrix_view(
      ac::ViewOn<Scalar, TestBackend>{operands.data() + last - back, rows, cols, stride});
}

/// The plan, and the value assigned to a destination anywhere.
template <class Scalar, class Node>
void check_evaluation(ac::Context<TestBackend>& context, Operands<Scalar>& operands,
                      const Node& node, const Expected& expected) {
  const Plan& plan = ac::plan(context, node);
  RC_LOG() << "C = " << expected.text << "\n" << plan.text();
  check_plan(plan, expected);
  const auto assignment = static_cast<Assignment>(*rc::gen::inRange(0, 3).as("=, += or -="));
  Target<Scalar> target = draw_target(operands, expected.rows, expected.cols);
  const Exact old = exact(target);
  const Dense<Scalar> before = operands.memory();
  const Stored<Scalar> written = ac::in_order(node);
  check_value<Scalar>(written, expected, old, 1.0, 0.0);
  poison<Scalar>(context);
  assign(target, node, assignment);
  check_value<Scalar>(target, expected, old, assignment == Assignment::subtract ? -1.0 : 1.0,
                      assignment == Assignment::set ? 0.0 : 1.0);
  RC_ASSERT(operands.unchanged_outside(before, ac::view_of(target)));
}

template <class Scalar, unsigned seed, int leaves, bool chain>
void check_expression() {
  const auto model = draw_model();
  const auto other_model = draw_model();
  ac::Context<TestBackend> context(model);
  ac::Context<TestBackend> twin(model);
  ac::Context<TestBackend> other(other_model);
  const ac::ScopedContext<TestBackend> scope(context);

  Operands<Scalar> operands(
      *rc::gen::arbitrary<unsigned>().as("seed of the entries"),
      [](const char* name, int choices) { return *rc::gen::inRange(0, choices).as(name); });
  const Index rows = operands.size("rows");
  const Index cols = operands.size("cols");
  const auto [node, expected] = build<seed, leaves, 3, chain>(operands, rows, cols);

  check_evaluation(context, operands, node, expected);
  const Plan& plan = ac::plan(context, node);
  RC_ASSERT(&plan == &ac::plan(context, node));
  RC_ASSERT(plan == ac::plan(twin, node));
  // No other plan of the same expression is cheaper by this model. The search prices each product
  // by itself: what is shared afterwards may save another plan more.
  if (std::all_of(plan.inputs.begin(), plan.inputs.end(),
                  [](const ac::PlanInput& input) { return input.alias_of < 0; })) {
    double foreign = 0.0;
    for (const PlanStep& step : ac::plan(other, node).steps) {
      foreign += model->seconds(step.call(plan.scalar));
    }
    RC_ASSERT(plan.predicted_seconds() <= foreign * (1 + 1e-12));
  }
  if constexpr (chain) {
    const double least = least_flops(expected.sizes);
    if (expected.sizes.size() < 4) {
      RC_ASSERT(plan.flops() >= least); // a longer chain may share a product
    }
    ac::Context<TestBackend> by_flops(
        std::make_shared<ArbitraryModel>(ArbitraryModel::Kind::flops, 0));
    RC_ASSERT(ac::plan(by_flops, node).flops() <= least);
  }
}

/// weight * X for many executions: X changes in between.
template <class Scalar, unsigned seed, int leaves>
void check_prepared() {
  const auto model = draw_model();
  ac::Context<TestBackend> context(model);
  const ac::ScopedContext<TestBackend> scope(context);
  Operands<Scalar> operands(
      *rc::gen::arbitrary<unsigned>().as("seed of the entries"),
      [](const char* name, int choices) { return *rc::gen::inRange(0, choices).as(name); });
  const Index rows = operands.size("rows");
  const Index inner = operands.size("inner size");
  const Index cols = operands.size("cols");
  const auto built = build<seed, leaves, 2, false>(operands, rows, inner);
  const auto& weight = built.node; // clang 14 captures no structured bindings
  const Expected& expected = built.expected;
  Stored<Scalar> X = random_stored<Scalar>(inner, cols, 1);
  const Index count = 1 + *rc::gen::inRange<Index>(0, 50).as("executions");

  auto product = ac::prepare(weight * X, ac::Executions{count});
  RC_LOG() << "W = " << expected.text << "\n" << product.plan().text();
  Stored<Scalar> Y(rows, cols);
  const auto check = [&] {
    Y = on_backend(Dense<Scalar>::Constant(rows, cols, std::numeric_limits<Scalar>::quiet_NaN()));
    product.evaluate(Y);
    const Exact x = exact(X);
    const Expected value = product_of(expected, {inner, cols, x, x.cwiseAbs(), 0, 1, {}, "X"});
    check_value<Scalar>(Y, value, Exact::Zero(rows, cols), 1.0, 0.0);
  };
  check_plan(product.plan(), product_of(expected, {inner, cols, exact(X), exact(X), 0, 1, {}, ""}));
  check();
  poison<Scalar>(context);
  X = random_stored<Scalar>(inner, cols, 2);
  check();
  check();
}

using Check = void (*)();

template <class Scalar, bool chain, unsigned... seeds>
constexpr std::array<Check, sizeof...(seeds)> checks(std::integer_sequence<unsigned, seeds...>) {
  // Scalars get different expressions: the compile time of one scalar, the variety of two.
  constexpr unsigned first = (sizeof(Scalar) == 4 ? 1000 : 2000) + (chain ? 500 : 0);
  return {&check_expression<Scalar, first + seeds, 2 + static_cast<int>(seeds % 6), chain>...};
}

template <class Scalar, unsigned... seeds>
constexpr std::array<Check, sizeof...(seeds)>
prepared_checks(std::integer_sequence<unsigned, seeds...>) {
  return {&check_prepared<Scalar, (sizeof(Scalar) == 4 ? 3000 : 3500) + seeds,
                          2 + static_cast<int>(seeds % 5)>...};
}

template <class Property>
void check_property(const std::string& name, int cases, const Property& property) {
  rc::detail::TestMetadata metadata;
  metadata.id = name;
  metadata.description = name;
  rc::detail::TestParams params;
  params.seed = 1; // the same cases in every run
  // Each case makes a context, with handles and a workspace on a device.
  params.maxSuccess = ac::is_host_backend<TestBackend> ? cases : cases / 10;
  if (std::getenv("RC_PARAMS") != nullptr) {
    params = rc::detail::configuration().testParams;
  }
  const auto result = rc::detail::checkTestable(property, metadata, params);
  std::ostringstream text;
  rc::detail::printResultMessage(result, text);
  CHECK_MESSAGE(result.template is<rc::detail::SuccessResult>(), text.str());
}

} // namespace

TEST_CASE_TEMPLATE("random expressions have the value of their definition, whatever the cost model",
                   Scalar, TEST_SCALARS) {
  static constexpr auto table = checks<Scalar, false>(std::make_integer_sequence<unsigned, 36>{});
  check_property("expressions", 4000, [] {
    const auto which = *rc::gen::inRange<std::size_t>(0, table.size()).as("type of the expression");
    table[which]();
  });
}

TEST_CASE_TEMPLATE("prepared products have the value of their definition as X changes", Scalar,
                   TEST_SCALARS) {
  static constexpr auto table = prepared_checks<Scalar>(std::make_integer_sequence<unsigned, 10>{});
  prepared_steps = 0;
  check_property("prepared", 1000, [] {
    const auto which = *rc::gen::inRange<std::size_t>(0, table.size()).as("type of the weight");
    table[which]();
  });
  CHECK(prepared_steps > 100);
}

TEST_CASE_TEMPLATE("random chains are associated with the least FLOPs", Scalar, TEST_SCALARS) {
  static constexpr auto table = checks<Scalar, true>(std::make_integer_sequence<unsigned, 6>{});
  check_property("chains", 1000, [] {
    const auto which = *rc::gen::inRange<std::size_t>(0, table.size()).as("type of the chain");
    table[which]();
  });
}

TEST_CASE("a sum in a chain costs no more than merged, applied term by term or multiplied out") {
  check_property("sums", 3000, [] {
    const auto model = draw_model();
    ac::Context<TestBackend> context(model);
    const auto draw = [](const char* name) { return *rc::gen::inRange<Index>(1, 40).as(name); };
    const Index l = draw("l");
    const Index m = draw("m");
    const Index n = draw("n");
    const Index p = draw("p");
    const Index r = draw("rank");
    const auto product = [&](Index rows, Index cols, Index inner) {
      const Kernel kernel = rows == 1 || cols == 1 ? Kernel::gemv : Kernel::gemm;
      return model->seconds({kernel, rows, cols, inner, false, ac::ScalarType::float64});
    };
    const auto chain = [&](std::vector<Index> sizes) { return least_cost(sizes, product); };
    // W + U Vᵀ as one matrix, at its place in the chain.
    const auto merged = [&](Index rows, Index cols) {
      return model->seconds({Kernel::combine, rows, cols, 1, false, ac::ScalarType::float64}) +
             product(rows, cols, r);
    };
    const auto check = [&](const auto& expression, std::initializer_list<double> others) {
      const Plan& plan = ac::plan(context, expression);
      RC_LOG() << plan.text();
      RC_ASSERT(plan.predicted_seconds() <= std::min(others) * (1 + 1e-12));
    };
    const auto update = [&](const Stored<double>& W) {
      return W + ac::outer<TestBackend>(Stored<double>(W.rows(), r), Stored<double>(W.cols(), r));
    };
    const Stored<double> A(l, m);
    const Stored<double> B(m, n);
    const Stored<double> C(n, p);
    check(update(A) * B * C,
          {chain({l, m, n, p}) + chain({l, r, m, n, p}), merged(l, m) + chain({l, m, n, p}),
           product(m, p, n) + product(l, p, m) + chain({l, r, m, p})});
    check(ac::lazy<TestBackend>(A) * update(B) * C,
          {chain({l, m, n, p}) + chain({l, m, r, n, p}), merged(m, n) + chain({l, m, n, p})});
    check(ac::lazy<TestBackend>(A) * B * update(C),
          {chain({l, m, n, p}) + chain({l, m, n, r, p}), merged(n, p) + chain({l, m, n, p}),
           product(l, n, m) + product(l, p, n) + chain({l, n, r, p})});
  });
}
