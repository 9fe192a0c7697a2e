// SPDX-License-Identifier: MIT
// The reference cases of parity/README.md, made with PyTorch.
#include "app/safetensors.hpp"
#include "model/trainer.hpp"
#include "model_support.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

using namespace gpt;

namespace {

const char* const cases[] = {"tiny", "tiny_bias", "tiny_low_rank"};

/// One reference file and a model of its shape with its weights.
template <class Scalar>
struct ReferenceCase {
  explicit ReferenceCase(const std::string& name)
      : file(fs::path(GPT_PARITY_FOLDER) / (name + ".safetensors")),
        batch(number("batch")),
        model(config(), 1) {
    model.for_each_parameter([&](const Parameter<Scalar>& p) {
      const Matrix<double> values = tensor(p.name, p.value.rows, p.value.cols);
      for (Index j = 0; j < p.value.cols; ++j) {
        for (Index i = 0; i < p.value.rows; ++i) {
          p.value(i, j) = static_cast<Scalar>(values(i, j));
        }
      }
    });
    tokens = integers("input.tokens");
    targets = integers("input.targets");
  }

  [[nodiscard]] Index number(const std::string& key) const {
    return std::stol(file.metadata().at(key));
  }

  [[nodiscard]] GptConfig config() const {
    GptConfig config;
    config.layers = number("layers");
    config.heads = number("heads");
    config.width = number("width");
    config.context = number("context");
    config.vocabulary = number("vocabulary");
    config.bias = file.metadata().at("bias") == "true";
    if (file.metadata().at("weights") == "low_rank") {
      config.method = "lora";
      config.method_settings["rank"] = std::int64_t{number("rank")};
      config.method_layers = LayerChoice::mlp;
    }
    return config;
  }

  [[nodiscard]] Matrix<double> tensor(const std::string& name, Index rows, Index cols) const {
    Matrix<double> result(rows, cols);
    file.read<double>(name, accrete::view_of(result));
    return result;
  }

  [[nodiscard]] std::vector<int> integers(const std::string& name) const {
    Eigen::Matrix<std::int64_t, Eigen::Dynamic, Eigen::Dynamic> values(model.config().context,
                                                                       batch);
    file.read<std::int64_t>(name, accrete::view_of(values));
    return {values.data(), values.data() + values.size()};
  }

  safetensors::Reader file;
  Index batch;
  Gpt<Scalar> model;
  std::vector<int> tokens, targets;
};

template <class Scalar>
Matrix<double> dense(accrete::View<const Scalar> view) {
  return test::copy(view).template cast<double>();
}

double relative_error(const Matrix<double>& value, const Matrix<double>& expected) {
  return (value - expected).norm() / expected.norm();
}

struct Tolerances {
  double logits, loss, gradients, losses;
};

template <class Scalar>
void check_forward_and_gradients(const std::string& name, const Tolerances& tolerance) {
  ReferenceCase<Scalar> reference(name);
  auto& model = reference.model;
  const double loss =
      model.forward(reference.tokens, reference.targets, reference.batch, model.config().context);
  model.backward();

  const auto expected =
      reference.tensor("expected.logits", model.logits().rows, model.logits().cols);
  CHECK(relative_error(dense(model.logits()), expected) < tolerance.logits);
  CHECK(loss ==
        doctest::Approx(reference.tensor("expected.loss", 1, 1)(0)).epsilon(tolerance.loss));
  model.for_each_parameter([&](const Parameter<Scalar>& p) {
    CAPTURE(p.name);
    CHECK(p.is_trained() == reference.file.contains("grad." + p.name));
    if (p.is_trained()) {
      const auto gradient = reference.tensor("grad." + p.name, p.value.rows, p.value.cols);
      CHECK(relative_error(dense<Scalar>(p.gradient), gradient) < tolerance.gradients);
    }
  });
}

template <class Scalar>
void check_ten_steps(const std::string& name, const Tolerances& tolerance) {
  ReferenceCase<Scalar> reference(name);
  auto& model = reference.model;
  OptimizerConfig config;
  config.schedule.peak = config.schedule.floor = 1e-3;
  config.schedule.warmup = 0;
  Trainer<Scalar> trainer(model, config);
  const auto losses = reference.tensor("expected.losses", 10, 1);
  const auto norms = reference.tensor("expected.gradient_norms", 10, 1);
  for (Index i = 0; i < 10; ++i) {
    const StepResult result =
        trainer.step(reference.tokens, reference.targets, reference.batch, model.config().context);
    CHECK(result.loss == doctest::Approx(losses(i)).epsilon(tolerance.losses));
    CHECK(result.grad_norm == doctest::Approx(norms(i)).epsilon(tolerance.losses));
  }
  if (std::is_same_v<Scalar, double>) {
    model.for_each_parameter([&](const Parameter<Scalar>& p) {
      CAPTURE(p.name);
      if (!p.is_trained()) {
        return;
      }
      const auto expected = reference.tensor("final." + p.name, p.value.rows, p.value.cols);
      // AdamW divides the keys' vanishing bias gradients by their own size.
      if (p.name.find("c_attn.bias") == std::string::npos) {
        CHECK(relative_error(dense<Scalar>(p.value), expected) < 1e-9);
      }
    });
  }
}

constexpr Tolerances float_tolerances{1e-5, 1e-6, 1e-6, 1e-5};
constexpr Tolerances double_tolerances{1e-12, 1e-12, 1e-12, 1e-11};

} // namespace

TEST_CASE("Parity: logits, loss and gradients of PyTorch in double") {
  for (const auto* name : cases) {
    CAPTURE(name);
    check_forward_and_gradients<double>(name, double_tolerances);
  }
}

TEST_CASE("Parity: logits, loss and gradients of PyTorch in float") {
  for (const auto* name : cases) {
    CAPTURE(name);
    check_forward_and_gradients<float>(name, float_tolerances);
  }
}

TEST_CASE("Parity: ten AdamW steps of PyTorch") {
  for (const auto* name : cases) {
    CAPTURE(name);
    check_ten_steps<double>(name, double_tolerances);
    check_ten_steps<float>(name, float_tolerances);
  }
}
