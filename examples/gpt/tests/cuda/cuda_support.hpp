// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/cuda.hpp"
#include "model/trainer.hpp"
#include "tests/model_support.hpp"

#include <accrete/cuda.hpp>

#include <fake_cuda.hpp>

#include <vector>

namespace gpt::test {

using accrete::Cuda;

inline OptimizerConfig with_rate(double peak) {
  OptimizerConfig config;
  config.schedule.peak = peak;
  config.schedule.warmup = 5;
  config.schedule.decay_steps = 200;
  return config;
}

/// A model and its trainer on one batch that it learns by heart.
template <class Backend>
struct Training {
  static constexpr Index batch = 4, length = 8;

  explicit Training(const GptConfig& config, double peak = 1e-2)
      : model(config, 3),
        trainer(model, with_rate(peak), 100),
        tokens(random_tokens(batch * length, config.vocabulary, 1)),
        targets(random_tokens(batch * length, config.vocabulary, 2)) {}

  StepResult step() { return trainer.step(tokens, targets, batch, length); }
  std::vector<double> losses(int steps) {
    std::vector<double> result;
    for (int i = 0; i < steps; ++i) {
      result.push_back(step().loss);
    }
    return result;
  }

  Gpt<float, Backend> model;
  Trainer<float, Backend> trainer;
  std::vector<int> tokens, targets;
};

} // namespace gpt::test
