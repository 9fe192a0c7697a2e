// SPDX-License-Identifier: MIT
// The registry makes every method, which takes long to compile: once for all tests.
#include "methods/method_support.hpp"

#include <accrete/methods/registry.hpp>

namespace method_test {

std::unique_ptr<Weight> make_at(const std::string& method, const MethodSettings& settings,
                                const accrete::WeightPlace& where,
                                const accrete::AdamWOptions& optimizer) {
  return accrete::make_weight<double, TestBackend>(method, settings, where, optimizer);
}

} // namespace method_test
