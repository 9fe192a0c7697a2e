// SPDX-License-Identifier: MIT
#include "model/gradient_check.hpp"
#include "model_support.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <string>

using namespace gpt;
using namespace gpt::test;

TEST_CASE("Gpt: every gradient of every method agrees with finite differences") {
  const Index batch = 2, length = 7;
  const auto tokens = random_tokens(batch * length, 11, 1);
  const auto targets = random_tokens(batch * length, 11, 2);
  for (const std::string& method : all_methods()) {
    for (const bool all_and_bias : {false, true}) {
      CAPTURE(method);
      GptConfig config = tiny_config(method, all_and_bias ? LayerChoice::all : LayerChoice::mlp);
      config.bias = all_and_bias;
      Gpt<double> model(config, 3);
      disturb(model, 0.2);

      const auto errors = check_gradients<double>(model, tokens, targets, batch, length);

      std::size_t exact = 0;
      model.for_each_parameter([&](const Parameter<double>& p) {
        exact += p.is_trained() && p.kind == accrete::GradientKind::exact ? 1 : 0;
      });
      CHECK(errors.size() == exact);
      CHECK(exact >= (all_and_bias ? 20U : 11U)); // embeddings, norms and biases
      for (const auto& error : errors) {
        CAPTURE(error.name);
        CHECK(error.relative < 1e-7);
      }
    }
  }
}

TEST_CASE("Gpt: a token changes no logit before it, to the last bit") {
  const Index batch = 2, length = 8;
  Gpt<float> model(tiny_config(), 3);
  auto tokens = random_tokens(batch * length, 11, 1);
  model.forward(tokens, {}, batch, length);
  const Matrix<float> before = copy(model.logits());
  for (Index t = 0; t < length; ++t) {
    auto changed = tokens;
    int& token = changed[static_cast<std::size_t>(t)];
    token = (token + 1) % 11;

    model.forward(changed, {}, batch, length);

    const Matrix<float> after = copy(model.logits());
    CHECK(after.leftCols(t) == before.leftCols(t));
    CHECK(after.col(t) != before.col(t));
    CHECK(after.rightCols(length) == before.rightCols(length)); // the other sequence
  }
}

TEST_CASE("Gpt: without weights the loss is log V") {
  Gpt<double> model(tiny_config(), 3);
  model.for_each_parameter([](const Parameter<double>& p) {
    if (p.name == "wte.weight") {
      std::fill_n(p.value.data, p.value.size(), 0.0);
    }
  });
  const auto tokens = random_tokens(8, 11, 1);
  CHECK(model.forward(tokens, tokens, 1, 8) == doctest::Approx(std::log(11.0)).epsilon(1e-14));
}

TEST_CASE("Gpt: gradients accumulate until they are cleared") {
  Gpt<double> model(tiny_config(), 3);
  const auto tokens = random_tokens(8, 11, 1);
  const auto norms = [&] {
    std::vector<double> values;
    model.for_each_parameter(
        [&](const Parameter<double>& p) { values.push_back(copy<double>(p.gradient).norm()); });
    return values;
  };
  model.forward(tokens, tokens, 1, 8);
  model.backward();
  const auto once = norms();
  model.forward(tokens, tokens, 1, 8);
  model.backward();
  const auto twice = norms();
  for (std::size_t i = 0; i < once.size(); ++i) {
    CHECK(twice[i] == doctest::Approx(2 * once[i]));
  }
  model.zero_gradients();
  for (const double norm : norms()) {
    CHECK(norm == 0);
  }
}

TEST_CASE("Gpt: bad input is refused with a reason") {
  Gpt<float> model(tiny_config(), 3);
  const std::vector<int> tokens(8, 1), unknown(8, 11);
  CHECK_THROWS_AS(model.forward(tokens, {}, 1, 9), accrete::ArgumentError);
  CHECK_THROWS_AS(model.forward(tokens, {}, 2, 8), accrete::ArgumentError);
  CHECK_THROWS_AS(model.forward(unknown, {}, 1, 8), accrete::ArgumentError);
  CHECK_THROWS_AS(model.forward(tokens, unknown, 1, 8), accrete::ArgumentError);
  model.forward(tokens, {}, 1, 8);
  CHECK_THROWS_AS(model.backward(), accrete::ArgumentError);
  GptConfig uneven = tiny_config();
  uneven.heads = 3;
  CHECK_THROWS_AS(Gpt<float>(uneven, 1), accrete::ArgumentError);
}

TEST_CASE("Gpt: sizes are those that nanoGPT reports") {
  GptConfig config;
  config.vocabulary = 65;
  Gpt<float> small(config, 1);
  CHECK(small.parameter_count() == 795904);
  CHECK(small.flops_per_token(64) == 6.0 * 795904 + 12.0 * 4 * 128 * 64);

  config.method = "low-rank";
  config.method_settings["rank"] = std::int64_t{16};
  config.method_layers = LayerChoice::mlp;
  Gpt<float> low_rank(config, 1);
  CHECK(low_rank.parameter_count() == 795904 - 4 * 2 * (128 * 512 - 16 * (128 + 512)));
  for (const LayerRank& layer : low_rank.ranks()) {
    CHECK(layer.rank == 16);
    CHECK(layer.columns == 16);
  }
}

TEST_CASE("Gpt: the factored start has the variance of the dense one") {
  GptConfig config;
  config.vocabulary = 5;
  for (const char* method : {"low-rank", "inrank-efficient"}) {
    config.method = method;
    Gpt<double> model(config, 1);
    const auto tensors = tensors_of(model);
    for (const LayerRank& layer : model.ranks()) {
      const Matrix<double> dense =
          tensors.at(layer.name + ".weight_u") * tensors.at(layer.name + ".weight_v").transpose();
      const bool ends_branch = layer.name.find("c_proj") != std::string::npos;
      const double deviation = 0.02 / (ends_branch ? std::sqrt(8.0) : 1.0);
      CHECK(std::sqrt(dense.squaredNorm() / static_cast<double>(dense.size())) ==
            doctest::Approx(deviation).epsilon(0.1));
    }
  }
}

TEST_CASE("Gpt: InRank starts as the dense model, to the last bit") {
  const auto tokens = random_tokens(16, 11, 1);
  Gpt<float> dense(tiny_config(), 3);
  Gpt<float> inrank(tiny_config("inrank", LayerChoice::all), 3);
  dense.forward(tokens, {}, 2, 8);
  inrank.forward(tokens, {}, 2, 8);
  CHECK(copy(dense.logits()) == copy(inrank.logits()));
}

TEST_CASE("Gpt: low-rank weights of full rank compute and learn what dense ones do") {
  const auto tokens = random_tokens(16, 11, 1);
  Gpt<double> dense(tiny_config(), 3);
  GptConfig config = tiny_config("low-rank", LayerChoice::mlp);
  config.method_settings["rank"] = config.width;
  Gpt<double> low_rank(config, 3);
  std::map<std::string, Parameter<double>> of_dense;
  dense.for_each_parameter([&](const Parameter<double>& p) { of_dense[p.name] = p; });
  low_rank.for_each_parameter([&](const Parameter<double>& p) {
    const bool is_u = p.name.ends_with(".weight_u");
    if (!is_u && !p.name.ends_with(".weight_v")) {
      return;
    }
    const std::string name = p.name.substr(0, p.name.rfind('_'));
    const Matrix<double> w = copy<double>(of_dense.at(name).value);
    Matrix<double> factor = Matrix<double>::Identity(p.value.rows, p.value.cols);
    if (w.rows() > w.cols() ? is_u : !is_u) { // W = W I, or I W
      factor = is_u ? w : Matrix<double>(w.transpose());
    }
    Eigen::Map<Matrix<double>>(p.value.data, p.value.rows, p.value.cols) = factor;
  });

  const double loss = dense.forward(tokens, tokens, 2, 8);
  const double low_rank_loss = low_rank.forward(tokens, tokens, 2, 8);
  dense.backward();
  low_rank.backward();

  CHECK(low_rank_loss == doctest::Approx(loss).epsilon(1e-14));
  CHECK((copy(low_rank.logits()) - copy(dense.logits())).norm() < 1e-13);
  std::map<std::string, Parameter<double>> of_factors;
  low_rank.for_each_parameter([&](const Parameter<double>& p) { of_factors[p.name] = p; });
  // dU = dW V, dV = dWᵀ U.
  const auto expected = [&](const std::string& name) -> Matrix<double> {
    const std::string whole = name.substr(0, name.find("weight") + 6);
    const Matrix<double> gradient = copy<double>(of_dense.at(whole).gradient);
    if (name.ends_with("weight_u")) {
      return gradient * copy<double>(of_factors.at(whole + "_v").value);
    }
    if (name.ends_with("weight_v")) {
      return gradient.transpose() * copy<double>(of_factors.at(whole + "_u").value);
    }
    return gradient;
  };
  for (const auto& entry : of_factors) {
    const std::string& name = entry.first;
    CAPTURE(name);
    CHECK((copy<double>(entry.second.gradient) - expected(name)).norm() <
          1e-12 * expected(name).norm());
  }
}
