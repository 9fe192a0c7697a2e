// SPDX-License-Identifier: MIT
#include "function_model.hpp"
#include "stored.hpp"

#include <vector>

namespace ac = accrete;
using ac::Index;

TEST_CASE("a cost model is told how much memory the expression touches") {
  const Stored<double> W = random_stored<double>(30, 30, 1);
  const Stored<double> U = random_stored<double>(30, 2, 2);
  const Stored<double> V = random_stored<double>(30, 2, 3);
  const Stored<double> X = random_stored<double>(30, 7, 4);
  std::vector<Index> told;
  auto context = context_with([&](const ac::KernelCall& call) {
    told.push_back(call.working_set);
    return call.flops();
  });
  const auto all_are = [&](Index entries) {
    REQUIRE(!told.empty());
    for (const Index bytes : told) {
      CHECK(bytes == 8 * entries);
    }
    told.clear();
  };
  const auto weight = W + ac::outer<TestBackend>(U, V);
  static_cast<void>(ac::plan(context, weight * X));
  all_are(30 * 30 + 2 * 30 * 2 + 2 * 30 * 7);
  static_cast<void>(ac::plan(context, weight * X, ac::Executions{100}));
  all_are(30 * 30 + 2 * 30 * 2 + 2 * 30 * 7);
  // An operand that comes twice is read from the same memory.
  static_cast<void>(ac::plan(context, ac::lazy<TestBackend>(W) * W * X));
  all_are(30 * 30 + 2 * 30 * 7);
}
