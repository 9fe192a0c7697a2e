// SPDX-License-Identifier: MIT
#pragma once

#include "model/methods.hpp"
#include "model/trainer.hpp"

#include <accrete/matrix/host_copy.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace gpt::test {

template <class Scalar = double>
Matrix<Scalar> random_matrix(Index rows, Index cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  return Matrix<Scalar>::NullaryExpr(
      rows, cols, [&](Index, Index) { return static_cast<Scalar>(normal(random)); });
}

inline GptConfig tiny_config(const std::string& method = "full",
                             LayerChoice layers = LayerChoice::published) {
  GptConfig config;
  config.layers = 2;
  config.heads = 2;
  config.width = 16;
  config.context = 8;
  config.vocabulary = 11;
  config.method = method;
  config.method_layers = layers;
  return config;
}

/// A small model under which everything that a method does now and then happens within a few steps.
inline GptConfig busy_config(const std::string& method,
                             LayerChoice layers = LayerChoice::published) {
  GptConfig config = tiny_config(method, layers);
  config.method_settings = accrete::detail::frequent_settings(method_entry(method).options, 6);
  if (config.method_settings.contains("search-steps")) {
    config.method_settings["search-steps"] = std::int64_t{21};
  }
  if (method.rfind("inrank", 0) == 0) {
    config.method_settings["buffer"] = std::int64_t{3};
    config.method_settings["warmup"] = std::int64_t{1};
    config.method_settings["interval"] = std::int64_t{2};
  }
  return config;
}

/// Names of all methods; under a sanitizer, where every one of them takes long, of some.
inline std::vector<std::string> all_methods() {
#ifdef __SANITIZE_ADDRESS__
  return {"full", "low-rank", "inrank", "inrank-efficient", "relora", "galore", "dlrt"};
#endif
  std::vector<std::string> names;
  for (const MethodEntry& entry : method_entries()) {
    names.emplace_back(entry.description.name);
  }
  return names;
}

/// What a checkpoint keeps of a trainer beside shapes and parameters.
template <class Scalar, class Backend = accrete::Cpu>
class KeptState : public accrete::StateVisitor<Scalar, Backend> {
 public:
  explicit KeptState(Trainer<Scalar, Backend>& trainer) {
    trainer.visit_state(*this);
    restores_ = true;
  }
  void tensor(const std::string& name, accrete::ViewOn<Scalar, Backend> values) override {
    if (restores_) {
      const Matrix<Scalar>& kept = tensors.at(name);
      REQUIRE(kept.rows() == values.rows);
      REQUIRE(kept.cols() == values.cols);
      accrete::Kernels<Backend>::upload(current_device<Backend>(), kept.data(), values);
    } else {
      tensors[name] = accrete::to_host(values.as_const());
    }
  }
  void counts(const std::string& name, std::span<std::int64_t> values) override {
    if (restores_) {
      REQUIRE(kept_counts.at(name).size() == values.size());
      std::copy(kept_counts.at(name).begin(), kept_counts.at(name).end(), values.begin());
    } else {
      kept_counts[name] = {values.begin(), values.end()};
    }
  }
  void number(const std::string& name, double& value) override {
    if (restores_) {
      value = numbers.at(name);
    } else {
      numbers[name] = value;
    }
  }

  std::map<std::string, Matrix<Scalar>> tensors;
  std::map<std::string, std::vector<std::int64_t>> kept_counts;
  std::map<std::string, double> numbers;

 private:
  bool restores_ = false;
};

template <class Scalar>
Matrix<Scalar> copy(accrete::View<const Scalar> view) {
  Matrix<Scalar> result(view.rows, view.cols);
  for (Index j = 0; j < view.cols; ++j) {
    for (Index i = 0; i < view.rows; ++i) {
      result(i, j) = view(i, j);
    }
  }
  return result;
}

/// All tensors by name.
template <class Scalar>
std::map<std::string, Matrix<Scalar>> tensors_of(Gpt<Scalar>& model) {
  std::map<std::string, Matrix<Scalar>> result;
  model.for_each_parameter(
      [&](const Parameter<Scalar>& p) { result[p.name] = copy<Scalar>(p.value); });
  return result;
}

/// Adds numbers of the given deviation to every trained tensor: away from the start, where some
/// gradients vanish.
template <class Model>
void disturb(Model& model, double deviation) {
  unsigned seed = 0;
  model.for_each_parameter([&](const auto& p) {
    if (!p.is_trained()) {
      return;
    }
    const auto noise = random_matrix(p.value.rows, p.value.cols, ++seed);
    for (Index j = 0; j < noise.cols(); ++j) {
      for (Index i = 0; i < noise.rows(); ++i) {
        p.value(i, j) +=
            static_cast<std::remove_cvref_t<decltype(p.value(0, 0))>>(deviation * noise(i, j));
      }
    }
  });
}

inline std::vector<int> random_tokens(Index count, Index vocabulary, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int> tokens(static_cast<std::size_t>(count));
  for (int& token : tokens) {
    token = static_cast<int>(random() % static_cast<unsigned>(vocabulary));
  }
  return tokens;
}

/// |gradient - finite differences of `function`| / (sum of both norms), over all entries of `x`.
/// `function()` reads `x`; fourth-order central differences.
template <class Entries, class Function>
double gradient_error(Entries& x, const Matrix<double>& gradient, const Function& function) {
  const double step = 1e-3;
  Matrix<double> numeric(x.rows(), x.cols());
  for (Index i = 0; i < x.size(); ++i) {
    double& entry = x.data()[i];
    const double kept = entry;
    const auto at = [&](double offset) {
      entry = kept + offset;
      return function();
    };
    const double near = at(step) - at(-step);
    const double far = at(2 * step) - at(-2 * step);
    entry = kept;
    numeric.data()[i] = (8 * near - far) / (12 * step);
  }
  return (gradient - numeric).norm() / (gradient.norm() + numeric.norm());
}

} // namespace gpt::test
