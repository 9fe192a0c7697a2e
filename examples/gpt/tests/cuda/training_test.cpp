// SPDX-License-Identifier: MIT
// Training on the GPU of the tests, against training on the host.
#include "cuda_support.hpp"

#include <doctest/doctest.h>

using namespace gpt;
using namespace gpt::test;

TEST_CASE("cuda: every kind of weight learns what it learns on the host") {
  for (const WeightKind weights : weight_kinds) {
    for (unsigned seed = 0; seed < 3; ++seed) {
      CAPTURE(static_cast<int>(weights));
      CAPTURE(seed);
      fake_cuda::seed(seed);
      GptConfig config = growing(weights);
      config.bias = seed % 2 == 1;
      Training<accrete::Cpu> host(config);
      Training<Cuda> device(config);
      bool grew = false;
      for (int i = 0; i < 20; ++i) {
        const StepResult expected = host.step();
        const StepResult result = device.step();
        CHECK(result.loss == doctest::Approx(expected.loss).epsilon(1e-4));
        CHECK(result.grad_norm == doctest::Approx(expected.grad_norm).epsilon(1e-3));
        CHECK(result.rank_changes.size() == expected.rank_changes.size());
        grew = grew || !result.rank_changes.empty();
      }
      CHECK(grew == is_growing(weights));
    }
  }
}
