// SPDX-License-Identifier: MIT
#include "model/trainer.hpp"
#include "model_support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

using namespace gpt;
using namespace gpt::test;

namespace {

constexpr Index batch = 4, length = 8;

OptimizerConfig fast() {
  OptimizerConfig config;
  config.schedule.peak = 1e-2;
  config.schedule.warmup = 5;
  config.schedule.decay_steps = 200;
  config.schedule.restart_warmup = 3;
  return config;
}

/// A model and its trainer on one batch that it learns by heart.
template <class Scalar>
struct Training {
  explicit Training(const GptConfig& config, std::uint64_t seed = 3)
      : model(config, seed),
        trainer(model, fast(), 200),
        tokens(random_tokens(batch * length, 11, 1)),
        targets(random_tokens(batch * length, 11, 2)) {}

  StepResult step() { return trainer.step(tokens, targets, batch, length); }

  std::map<std::string, Matrix<Scalar>> tensors() { return tensors_of(model); }

  Gpt<Scalar> model;
  Trainer<Scalar> trainer;
  std::vector<int> tokens, targets;
};

} // namespace

TEST_CASE("OptimizerConfig: gradients are clipped as torch does, options are checked") {
  OptimizerConfig config;
  CHECK(config.clip_factor(0.5) == 1);
  CHECK(config.clip_factor(4) == doctest::Approx(0.25));
  config.clip = 0;
  CHECK(config.clip_factor(4) == 1);
  config.clip = -1;
  CHECK_THROWS_AS(config.validate(), accrete::ArgumentError);
}

TEST_CASE("Trainer: every method learns one batch by heart") {
  for (const std::string& method : all_methods()) {
    CAPTURE(method);
    Training<float> run(busy_config(method));
    const double first = run.step().loss;
    double last = first;
    for (int i = 0; i < 150; ++i) {
      last = run.step().loss;
    }
    CHECK(first == doctest::Approx(std::log(11.0)).epsilon(0.02));
    CHECK(last < 0.5 * first);
  }
}

TEST_CASE("Trainer: one seed gives one run, to the last bit") {
  for (const std::string& method : all_methods()) {
    CAPTURE(method);
    Training<float> a(busy_config(method)), b(busy_config(method));
    for (int i = 0; i < 30; ++i) {
      const StepResult x = a.step(), y = b.step();
      CHECK(x.loss == y.loss);
      CHECK(x.grad_norm == y.grad_norm);
    }
    CHECK(a.tensors() == b.tensors());
    CHECK(a.tensors() != Training<float>(busy_config(method), 4).tensors());
  }
}

TEST_CASE("Trainer: ranks grow, keep their buffer and never shrink") {
  Training<double> run(busy_config("inrank"));
  auto before = run.model.ranks();
  bool grew = false;
  for (int i = 0; i < 60; ++i) {
    const StepResult result = run.step();
    const auto after = run.model.ranks();
    std::size_t changed = 0;
    for (std::size_t k = 0; k < after.size(); ++k) {
      CHECK(after[k].rank >= before[k].rank);
      CHECK(after[k].columns == after[k].rank + 3);
      CHECK(after[k].columns <= 8); // half the width
      changed += after[k].rank != before[k].rank;
    }
    CHECK(result.rank_changes.size() == changed);
    grew = grew || changed > 0;
    before = after;
  }
  CHECK(grew);
}

TEST_CASE("Trainer: the rank search ends with the buffer's columns gone") {
  Training<double> run(busy_config("inrank-efficient"));
  for (int i = 0; i < 20; ++i) {
    run.step();
  }
  for (const LayerRank& layer : run.model.ranks()) {
    CHECK(layer.columns == layer.rank + 3);
  }

  const StepResult last = run.step();

  CHECK(last.rank_changes.size() == 4);
  const auto found = run.model.ranks();
  for (const LayerRank& layer : found) {
    CHECK(layer.columns == layer.rank);
  }
  for (int i = 0; i < 10; ++i) {
    CHECK(std::isfinite(run.step().loss));
    CHECK(run.model.ranks().front().rank == found.front().rank);
  }
}

TEST_CASE("Trainer: after a restart the learning rate warms up again") {
  GptConfig config = busy_config("relora");
  config.method_settings["warm-start"] = 0.05; // of 200 steps
  Training<double> run(config);
  std::vector<double> rates;
  for (int i = 0; i < 20; ++i) {
    rates.push_back(run.step().learning_rate);
  }
  const auto smooth = [](int step) { return accrete::CosineSchedule(fast().schedule).at(step); };
  // In the library this is compiled otherwise, with other roundings.
  const auto same = [](double rate) { return doctest::Approx(rate).epsilon(1e-14); };
  CHECK(rates[9] == same(smooth(9)));
  // Dense for 10 steps, then a restart every 6.
  for (const std::size_t restart : {10U, 16U}) {
    const double then = smooth(static_cast<int>(restart) + 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(rates[restart + i] == doctest::Approx(then * static_cast<double>(i + 1) / 4));
    }
    CHECK(rates[restart + 3] == same(then));
  }
}

TEST_CASE("Trainer: a run continues from its saved state, to the last bit") {
  for (const std::string& method : all_methods()) {
    CAPTURE(method);
    Training<float> run(busy_config(method));
    for (int i = 0; i < 25; ++i) {
      run.step();
    }

    const auto shapes = run.model.shapes();
    const auto tensors = run.tensors();
    KeptState<float> state(run.trainer);
    Training<float> resumed(busy_config(method)); // the same seed: methods draw from it
    resumed.step();
    resumed.model.set_shapes(shapes);
    resumed.model.for_each_parameter([&](const Parameter<float>& p) {
      const Matrix<float>& from = tensors.at(p.name);
      REQUIRE(from.rows() == p.value.rows);
      REQUIRE(from.cols() == p.value.cols);
      for (Index j = 0; j < from.cols(); ++j) {
        for (Index i = 0; i < from.rows(); ++i) {
          p.value(i, j) = from(i, j);
        }
      }
    });
    resumed.trainer.visit_state(state);
    resumed.trainer.set_step_count(25);

    for (int i = 0; i < 9; ++i) {
      CHECK(run.step().loss == resumed.step().loss);
    }
    CHECK(run.tensors() == resumed.tensors());
  }
}

TEST_CASE("Trainer: shapes that a model does not have are refused") {
  Training<float> run(busy_config("inrank"));
  const LayerShapes shapes = run.model.shapes();
  CHECK(shapes.size() == 4);
  LayerShapes other = shapes;
  other.begin()->second.begin()->second = 1000;
  CHECK_THROWS_AS(run.model.set_shapes(other), accrete::RankError);
  other = shapes;
  other.erase(other.begin());
  CHECK_THROWS_AS(run.model.set_shapes(other), accrete::ArgumentError);
  other = shapes;
  other["h.9.mlp.c_fc"]["columns"] = 3;
  CHECK_THROWS_AS(run.model.set_shapes(other), accrete::ArgumentError);
}
