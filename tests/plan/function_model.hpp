// SPDX-License-Identifier: MIT
#pragma once

#include "numerics.hpp"
#include "test_backend.hpp"

#include <functional>
#include <memory>
#include <utility>

/// A model that is any function, to force each branch of the planner.
class FunctionModel final : public accrete::CostModel {
 public:
  explicit FunctionModel(std::function<double(const accrete::KernelCall&)> seconds)
      : seconds_(std::move(seconds)) {}
  [[nodiscard]] double seconds(const accrete::KernelCall& call) const override {
    return seconds_(call);
  }

 private:
  std::function<double(const accrete::KernelCall&)> seconds_;
};

inline accrete::Context<TestBackend>
context_with(std::function<double(const accrete::KernelCall&)> seconds) {
  return accrete::Context<TestBackend>(std::make_shared<FunctionModel>(std::move(seconds)));
}
inline accrete::Context<TestBackend> context_by_flops() {
  return context_with([](const accrete::KernelCall& call) { return call.flops(); });
}
