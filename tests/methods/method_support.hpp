// SPDX-License-Identifier: MIT
#pragma once

#include "test_backend.hpp"

#include <accrete/methods/options.hpp>
#include <accrete/methods/trained_weight.hpp>
#include <accrete/optim/adamw.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace method_test {

using accrete::Index;
using Mat = Eigen::MatrixXd;
using Weight = accrete::TrainedWeight<double, TestBackend>;
using Parameter = accrete::WeightParameter<double, TestBackend>;
using accrete::MethodSettings;

inline Mat random_matrix(Index rows, Index cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  return Mat::NullaryExpr(rows, cols, [&](Index, Index) { return normal(random); });
}

inline accrete::WeightPlace place(Index rows, Index cols, Index layer = 0) {
  accrete::WeightPlace result;
  result.rows = rows;
  result.cols = cols;
  result.deviation = 0.3;
  result.seed = 7;
  result.layer = layer;
  result.layers = layer + 1;
  return result;
}

/// accrete::make_weight; compiled in make_weight.cpp.
[[nodiscard]] std::unique_ptr<Weight> make_at(const std::string& method,
                                              const MethodSettings& settings,
                                              const accrete::WeightPlace& where,
                                              const accrete::AdamWOptions& optimizer = {});

inline std::unique_ptr<Weight> make(const std::string& method, const MethodSettings& settings,
                                    Index rows, Index cols,
                                    const accrete::AdamWOptions& optimizer = {}, Index layer = 0) {
  return make_at(method, settings, place(rows, cols, layer), optimizer);
}

/// All parameters, by name.
inline std::map<std::string, Mat> parameters_of(Weight& weight) {
  std::map<std::string, Mat> result;
  weight.visit_parameters(
      [&](const Parameter& p) { result[p.name] = Mat(accrete::to_host(p.value.as_const())); });
  return result;
}
/// The gradients of those trained, by name.
inline std::map<std::string, Mat> gradients_of(Weight& weight) {
  std::map<std::string, Mat> result;
  weight.visit_parameters([&](const Parameter& p) {
    if (p.is_trained()) {
      result[p.name] = Mat(accrete::to_host(p.gradient.as_const()));
    }
  });
  return result;
}
inline void set_parameter(Weight& weight, const std::string& name, const Mat& value) {
  weight.visit_parameters([&](const Parameter& p) {
    if (p.name == name) {
      write<double>(p.value, value);
    }
  });
}

inline Mat forward(Weight& weight, const Mat& x) {
  const auto input = on_backend(x);
  Stored<double> y(weight.rows(), x.cols());
  weight.forward(input, y);
  return Mat(accrete::to_host(y));
}
/// W as the weight computes it: W times the identity.
inline Mat dense_of(Weight& weight) {
  return forward(weight, Mat::Identity(weight.cols(), weight.cols()));
}

/// One batch: X, the output of the layer before where a weight takes it, and dY of the loss
/// 1/2 |Y - T|² / p.
struct Batch {
  Mat x, target, previous;

  Batch(Index rows, Index cols, Index samples, unsigned seed)
      : x(random_matrix(cols, samples, seed)),
        target(random_matrix(rows, samples, seed + 1)),
        previous(random_matrix(rows, samples, seed + 1000)) {}

  [[nodiscard]] double loss(const Mat& y) const {
    return 0.5 * (y - target).squaredNorm() / static_cast<double>(x.cols());
  }
  [[nodiscard]] Mat upstream(const Mat& y) const {
    return (y - target) / static_cast<double>(x.cols());
  }
};

/// Y, with the part of the layer before.
inline Mat forward(Weight& weight, const Batch& batch) {
  const auto input = on_backend(batch.x);
  Stored<double> y(weight.rows(), batch.x.cols());
  weight.forward(input, y);
  if (weight.takes_previous_output()) {
    weight.add_previous(on_backend(batch.previous), y);
  }
  return Mat(accrete::to_host(y));
}

/// What a batch gives beside the gradients of the parameters; dprevious is empty where the weight
/// takes none.
struct Passes {
  double loss;
  Mat dx, dprevious;
};

/// Forward and backward; adds to the gradients.
inline Passes accumulate(Weight& weight, const Batch& batch) {
  const Mat y = forward(weight, batch);
  const auto x = on_backend(batch.x);
  const auto dy = on_backend(batch.upstream(y));
  Stored<double> dx(weight.cols(), batch.x.cols());
  weight.backward(x, dy, dx);
  Passes passes{batch.loss(y), Mat(accrete::to_host(dx)), Mat()};
  if (weight.takes_previous_output()) {
    Stored<double> dprevious(weight.rows(), batch.x.cols());
    weight.previous_gradient(on_backend(batch.previous), dy, dprevious);
    passes.dprevious = Mat(accrete::to_host(dprevious));
  }
  return passes;
}

/// The same where gradients are those of this batch alone. Returns the loss, and dX where it is
/// wanted.
inline double backward(Weight& weight, const Batch& batch, Mat* dx_out = nullptr) {
  accrete::zero_gradients(weight);
  const Passes passes = accumulate(weight, batch);
  if (dx_out != nullptr) {
    *dx_out = passes.dx;
  }
  return passes.loss;
}

/// One whole training step; returns the loss before it.
inline double train(Weight& weight, const Batch& batch, const accrete::StepInfo& info) {
  const double loss = backward(weight, batch);
  weight.step(info);
  weight.after_step(info);
  return loss;
}

inline accrete::StepInfo step_info(std::int64_t step, double rate = 1e-2,
                                   std::int64_t total_steps = 100) {
  accrete::StepInfo info;
  info.step = step;
  info.total_steps = total_steps;
  info.learning_rate = rate;
  return info;
}

/// Textbook AdamW of a dense matrix, for oracles.
class DenseAdamW {
 public:
  explicit DenseAdamW(const accrete::AdamWOptions& options = {}) : options_(options) {}

  /// The corrected direction m / (sqrt(v) + epsilon).
  Mat direction(const Mat& gradient) {
    if (first.size() == 0) {
      first = second = Mat::Zero(gradient.rows(), gradient.cols());
    }
    ++steps;
    first = options_.beta1 * first + (1 - options_.beta1) * gradient;
    second = options_.beta2 * second + (1 - options_.beta2) * gradient.cwiseAbs2();
    const double t = static_cast<double>(steps);
    const Mat m = first / (1 - std::pow(options_.beta1, t));
    const Mat v = second / (1 - std::pow(options_.beta2, t));
    return m.array() / (v.array().sqrt() + options_.epsilon);
  }
  void step(Mat& parameter, const Mat& gradient, double rate) {
    const Mat d = direction(gradient);
    parameter = (1 - rate * options_.weight_decay) * parameter - rate * d;
  }

  Mat first, second;
  int steps = 0;

 private:
  accrete::AdamWOptions options_;
};

/// |a - b| relative to |b|, Frobenius.
inline double difference(const Mat& a, const Mat& b) {
  return (a - b).norm() / (b.norm() > 0 ? b.norm() : 1.0);
}

/// Everything that a checkpoint keeps of a weight.
class Snapshot : public accrete::StateVisitor<double, TestBackend> {
 public:
  explicit Snapshot(Weight& weight) {
    weight.visit_shape([&](const char* name, std::int64_t& n) { numbers_[name] = n; });
    parameters_ = parameters_of(weight);
    weight.visit_state(*this);
    restores_ = true;
  }
  void restore(Weight& weight) {
    weight.visit_shape([&](const char* name, std::int64_t& n) { n = numbers_.at(name); });
    for (const auto& [name, value] : parameters_) {
      set_parameter(weight, name, value);
    }
    weight.visit_state(*this);
  }

  void tensor(const std::string& name, StoredView<double> values) override {
    if (restores_) {
      const Mat& kept = tensors_.at(name);
      REQUIRE(kept.rows() == values.rows);
      REQUIRE(kept.cols() == values.cols);
      write<double>(values, kept);
    } else {
      REQUIRE(tensors_.count(name) == 0);
      tensors_[name] = Mat(accrete::to_host(values.as_const()));
    }
  }
  void counts(const std::string& name, std::span<std::int64_t> values) override {
    if (restores_) {
      const auto& kept = counts_.at(name);
      REQUIRE(kept.size() == values.size());
      std::copy(kept.begin(), kept.end(), values.begin());
    } else {
      REQUIRE(counts_.count(name) == 0);
      counts_[name] = {values.begin(), values.end()};
    }
  }
  void number(const std::string& name, double& value) override {
    if (restores_) {
      value = reals_.at(name);
    } else {
      reals_[name] = value;
    }
  }

  /// A tensor of the state.
  [[nodiscard]] const Mat& at(const std::string& name) const { return tensors_.at(name); }
  /// Scalars of the state's tensors.
  [[nodiscard]] Index state_size() const {
    Index size = 0;
    for (const auto& entry : tensors_) {
      size += entry.second.size();
    }
    return size;
  }

 private:
  bool restores_ = false;
  std::map<std::string, std::int64_t> numbers_;
  std::map<std::string, Mat> parameters_, tensors_;
  std::map<std::string, std::vector<std::int64_t>> counts_;
  std::map<std::string, double> reals_;
};

} // namespace method_test
