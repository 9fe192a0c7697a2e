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
  config.learning_rate = 1e-2;
  config.warmup = 5;
  config.decay_steps = 200;
  return config;
}

/// Checks from the second step on, with a small buffer.
GptConfig growing(WeightKind weights) {
  GptConfig config = tiny_config(weights);
  config.buffer = 3;
  config.warmup = 1;
  config.interval = 2;
  config.search_steps = 21;
  return config;
}

/// A model and its trainer on one batch that it learns by heart.
template <class Scalar>
struct Training {
  explicit Training(const GptConfig& config, std::uint64_t seed = 3)
      : model(config, seed),
        trainer(model, fast()),
        tokens(random_tokens(batch * length, 11, 1)),
        targets(random_tokens(batch * length, 11, 2)) {}

  StepResult step() { return trainer.step(tokens, targets, batch, length); }

  std::map<std::string, Matrix<Scalar>> tensors() {
    std::map<std::string, Matrix<Scalar>> result;
    model.for_each_parameter(
        [&](const Parameter<Scalar>& p) { result[p.name] = copy<Scalar>(p.value); });
    return result;
  }

  Gpt<Scalar> model;
  Trainer<Scalar> trainer;
  std::vector<int> tokens, targets;
};

} // namespace

TEST_CASE("OptimizerConfig: the learning rate follows nanoGPT's schedule") {
  OptimizerConfig config;
  CHECK(config.learning_rate_at(0) == doctest::Approx(1e-3 / 101));
  CHECK(config.learning_rate_at(99) == doctest::Approx(1e-3 * 100 / 101));
  CHECK(config.learning_rate_at(100) == doctest::Approx(1e-3));
  CHECK(config.learning_rate_at(1050) == doctest::Approx(5.5e-4));
  CHECK(config.learning_rate_at(2000) == doctest::Approx(1e-4));
  CHECK(config.learning_rate_at(9999) == doctest::Approx(1e-4));
  config.beta1 = 1;
  CHECK_THROWS_AS(config.validate(), accrete::ArgumentError);
}

TEST_CASE("Trainer: every kind of weight learns one batch by heart") {
  for (const WeightKind weights : weight_kinds) {
    CAPTURE(static_cast<int>(weights));
    Training<float> run(growing(weights));
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
  for (const WeightKind weights : weight_kinds) {
    CAPTURE(static_cast<int>(weights));
    Training<float> a(growing(weights)), b(growing(weights));
    for (int i = 0; i < 30; ++i) {
      const StepResult x = a.step(), y = b.step();
      CHECK(x.loss == y.loss);
      CHECK(x.grad_norm == y.grad_norm);
    }
    CHECK(a.tensors() == b.tensors());
    CHECK(a.tensors() != Training<float>(growing(weights), 4).tensors());
  }
}

TEST_CASE("Trainer: ranks grow, keep their buffer and never shrink") {
  Training<double> run(growing(WeightKind::inrank));
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
  Training<double> run(growing(WeightKind::inrank_efficient));
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

TEST_CASE("Trainer: growth changes no logit") {
  for (const WeightKind weights : {WeightKind::inrank, WeightKind::inrank_efficient}) {
    Training<float> run(growing(weights));
    for (int i = 0; i < 3; ++i) {
      run.step();
    }
    run.model.forward(run.tokens, {}, batch, length);
    const Matrix<float> before = copy(run.model.logits());

    run.model.for_each_factored([](const std::string&, auto& weight) {
      accrete::grow(weight.factors(), 4, accrete::init::orthogonal(0.1, 5));
      weight.fit_gradients();
    });

    run.model.forward(run.tokens, {}, batch, length);
    // The products gain summands that are exactly zero; only their blocking may change.
    CHECK((copy(run.model.logits()) - before).cwiseAbs().maxCoeff() <= 1e-6F);
  }
}

TEST_CASE("Trainer: a run continues from its saved state, to the last bit") {
  for (const WeightKind weights : weight_kinds) {
    CAPTURE(static_cast<int>(weights));
    Training<float> run(growing(weights));
    for (int i = 0; i < 25; ++i) {
      run.step();
    }

    const auto ranks = run.model.ranks();
    const auto tensors = run.tensors();
    std::map<std::string, Matrix<float>> states;
    std::map<std::string, std::vector<std::int64_t>> counts;
    run.trainer.for_each_state([&](const std::string& name, const auto& buffer) {
      if constexpr (is_count<decltype(buffer)>) {
        buffer.back() += name.ends_with(".frozen") ? 1 : 0;
        counts[name] = {buffer.begin(), buffer.end()};
      } else {
        states[name] = copy<float>(buffer);
      }
    });
    Training<float> resumed(growing(weights), 99); // whatever it starts from
    resumed.model.set_ranks(ranks);
    const auto restore = [](const Matrix<float>& from, accrete::View<float> to) {
      REQUIRE(from.rows() == to.rows);
      REQUIRE(from.cols() == to.cols);
      for (Index j = 0; j < to.cols; ++j) {
        for (Index i = 0; i < to.rows; ++i) {
          to(i, j) = from(i, j);
        }
      }
    };
    resumed.model.for_each_parameter(
        [&](const Parameter<float>& p) { restore(tensors.at(p.name), p.value); });
    resumed.trainer.for_each_state([&](const std::string& name, const auto& buffer) {
      if constexpr (is_count<decltype(buffer)>) {
        std::copy(counts.at(name).begin(), counts.at(name).end(), buffer.begin());
      } else {
        restore(states.at(name), buffer);
      }
    });
    resumed.trainer.set_step_count(25);

    for (int i = 0; i < 3; ++i) {
      CHECK(run.step().loss == resumed.step().loss);
    }
    CHECK(run.tensors() == resumed.tensors());
  }
}
