// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/plan/calibrate.hpp>

#include <memory>

namespace ac = accrete;

TEST_CASE("a calibrated context plans and predicts with what was measured") {
  ac::Context<ac::Cpu> context;
  const auto model = std::make_shared<ac::MeasuredModel>(ac::calibrate(context));
  context.set_cost_model(model);
  const ac::ScopedContext<ac::Cpu> scope(context);

  const Dense<float> W0 = random_matrix<float>(512, 512, 1);
  const Dense<float> U = random_matrix<float>(512, 16, 2);
  const Dense<float> V = random_matrix<float>(512, 16, 3);
  const Dense<float> x = random_matrix<float>(512, 1, 4);
  const ac::Plan& plan = ac::plan((W0 + ac::outer(U, V)) * x);
  double expected = 0;
  for (const ac::PlanStep& step : plan.steps) {
    ac::KernelCall call = step.call(plan.scalar);
    call.working_set = (512 * 512 + 2 * 512 * 16 + 2 * 512) * 4; // operands and result
    expected += model->seconds(call);
  }
  CHECK(plan.predicted_seconds() / expected == doctest::Approx(1));
  CHECK(plan.steps.size() == 3); // never forms U Vᵀ for one column
  // Ten times the work takes longer on any machine.
  using ac::ScalarType;
  for (const auto scalar : {ScalarType::bfloat, ScalarType::float32, ScalarType::float64}) {
    CHECK(model->seconds({ac::Kernel::gemm, 1024, 1024, 256, false, scalar}) >
          model->seconds({ac::Kernel::gemm, 256, 256, 64, false, scalar}));
  }
  const auto seconds = [&](ac::Kernel kernel, ScalarType scalar) {
    return model->seconds({kernel, 512, 24, 512, false, scalar});
  };
  for (const ac::Kernel kernel : {ac::Kernel::gemm, ac::Kernel::gemv, ac::Kernel::combine}) {
    CHECK(seconds(kernel, ScalarType::bfloat) !=
          seconds(kernel, ScalarType::float32)); // each scalar is measured
    CHECK(seconds(kernel, ScalarType::float32) != seconds(kernel, ScalarType::float64));
  }
}
