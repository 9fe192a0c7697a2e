// SPDX-License-Identifier: MIT
#include "model/gradient_check.hpp"
#include "model_support.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace gpt;
using gpt::test::random_tokens;

namespace {

GptConfig tiny(WeightKind weights = WeightKind::full) {
  GptConfig config;
  config.layers = 2;
  config.heads = 2;
  config.width = 16;
  config.context = 8;
  config.vocabulary = 11;
  config.weights = weights;
  return config;
}

} // namespace

TEST_CASE("Gpt: every gradient agrees with finite differences") {
  const Index batch = 2, length = 7;
  const auto tokens = random_tokens(batch * length, 11, 1);
  const auto targets = random_tokens(batch * length, 11, 2);
  for (const bool bias : {false, true}) {
    GptConfig config = tiny();
    config.bias = bias;
    Gpt<double> model(config, 3);
    // Away from the start, where some gradients are zero and others tiny.
    model.for_each_parameter([](const Parameter<double>& p) {
      accrete::Device<accrete::Cpu> device;
      Matrix<double> noise(p.value.rows, p.value.cols);
      accrete::Kernels<accrete::Cpu>::fill_normal(device, 7, 0.2, accrete::view_of(noise));
      for (Index j = 0; j < noise.cols(); ++j) {
        for (Index i = 0; i < noise.rows(); ++i) { p.value(i, j) += noise(i, j); }
      }
    });

    const auto errors = check_gradients<double>(model, tokens, targets, batch, length);

    CHECK(errors.size() == (bias ? 28U : 15U));
    for (const auto& error : errors) {
      CAPTURE(error.name);
      CHECK(error.relative < 1e-7);
    }
  }
}

TEST_CASE("Gpt: a token changes no logit before it, to the last bit") {
  const Index batch = 2, length = 8;
  Gpt<float> model(tiny(), 3);
  auto tokens = random_tokens(batch * length, 11, 1);
  model.forward(tokens, {}, batch, length);
  const auto view = model.logits();
  const Matrix<float> before = Eigen::Map<const Matrix<float>>(view.data, view.rows, view.cols);
  for (Index t = 0; t < length; ++t) {
    auto changed = tokens;
    int& token = changed[static_cast<std::size_t>(t)];
    token = (token + 1) % 11;

    model.forward(changed, {}, batch, length);

    const auto now = model.logits();
    const Eigen::Map<const Matrix<float>> after(now.data, now.rows, now.cols);
    CHECK(after.leftCols(t) == before.leftCols(t));
    CHECK(after.col(t) != before.col(t));
    CHECK(after.rightCols(length) == before.rightCols(length)); // the other sequence
  }
}

TEST_CASE("Gpt: without weights the loss is log V") {
  Gpt<double> model(tiny(), 3);
  model.for_each_parameter([](const Parameter<double>& p) {
    if (p.name == "wte.weight") { std::fill_n(p.value.data, p.value.size(), 0.0); }
  });
  const auto tokens = random_tokens(8, 11, 1);
  CHECK(model.forward(tokens, tokens, 1, 8) == doctest::Approx(std::log(11.0)).epsilon(1e-14));
}

TEST_CASE("Gpt: gradients accumulate until they are cleared") {
  Gpt<double> model(tiny(), 3);
  const auto tokens = random_tokens(8, 11, 1);
  const auto norms = [&] {
    std::vector<double> values;
    model.for_each_parameter([&](const Parameter<double>& p) {
      values.push_back(Eigen::Map<const Vector<double>>(p.gradient.data, p.gradient.size()).norm());
    });
    return values;
  };
  model.forward(tokens, tokens, 1, 8);
  model.backward();
  const auto once = norms();
  model.forward(tokens, tokens, 1, 8);
  model.backward();
  const auto twice = norms();
  for (std::size_t i = 0; i < once.size(); ++i) { CHECK(twice[i] == doctest::Approx(2 * once[i])); }
  model.zero_gradients();
  for (const double norm : norms()) { CHECK(norm == 0); }
}

TEST_CASE("Gpt: bad input is refused with a reason") {
  Gpt<float> model(tiny(), 3);
  const std::vector<int> tokens(8, 1), unknown(8, 11);
  CHECK_THROWS_AS(model.forward(tokens, {}, 1, 9), accrete::ArgumentError);
  CHECK_THROWS_AS(model.forward(tokens, {}, 2, 8), accrete::ArgumentError);
  CHECK_THROWS_AS(model.forward(unknown, {}, 1, 8), accrete::ArgumentError);
  CHECK_THROWS_AS(model.forward(tokens, unknown, 1, 8), accrete::ArgumentError);
  model.forward(tokens, {}, 1, 8);
  CHECK_THROWS_AS(model.backward(), accrete::ArgumentError);
  GptConfig uneven = tiny();
  uneven.heads = 3;
  CHECK_THROWS_AS(Gpt<float>(uneven, 1), accrete::ArgumentError);
}
