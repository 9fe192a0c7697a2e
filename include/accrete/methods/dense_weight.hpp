// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grad/gradients.hpp>
#include <accrete/methods/start.hpp>
#include <accrete/optim/adamw.hpp>

#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// For optimizers of what does not decay, or decays by itself.
[[nodiscard]] inline AdamWOptions without_decay(AdamWOptions options) {
  options.weight_decay = 0;
  return options;
}

/// W <- (1 - η λ) W
template <class Scalar, class Backend>
void decay_weight(Matrix<Scalar, Backend>& weight, double learning_rate, double weight_decay) {
  if (weight_decay > 0) {
    const auto keep = static_cast<Scalar>(1 - learning_rate * weight_decay);
    const auto values = view_of(weight);
    Kernels<Backend>::combine(Context<Backend>::current().device(), keep, values.as_const(),
                              Scalar{0}, values);
  }
}

/// Shows an optimizer's state under `prefix`.
template <class Optimizer, class Scalar, class Backend>
void visit_optimizer(Optimizer& optimizer, const std::string& prefix,
                     StateVisitor<Scalar, Backend>& visitor) {
  optimizer.visit_state([&](const char* name, const auto& buffer) {
    if constexpr (requires { visitor.tensor(prefix, buffer); }) {
      visitor.tensor(prefix + name, buffer);
    } else {
      visitor.counts(prefix + name, buffer);
    }
  });
}

} // namespace detail

/// A matrix W that is trained as it is, by AdamW.
template <class WeightScalar, class WeightBackend = Cpu>
class DenseWeight : public TrainedWeight<WeightScalar, WeightBackend> {
  using Base = TrainedWeight<WeightScalar, WeightBackend>;

 public:
  using typename Base::Backend;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Scalar;
  using typename Base::Storage;

  DenseWeight(Storage weight, const AdamWOptions& optimizer)
      : weight_(std::move(weight)),
        gradient_(detail::zero_matrix<Scalar, Backend>(weight_.rows(), weight_.cols())),
        optimizer_(weight_.rows(), weight_.cols(), optimizer) {}

  [[nodiscard]] Index rows() const override { return weight_.rows(); }
  [[nodiscard]] Index cols() const override { return weight_.cols(); }

  void forward(const Storage& x, Storage& y) override { noalias(y) = lazy(weight_) * x; }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    const auto g = gradients(lazy(weight_) * x, dy);
    noalias(gradient_) += g.base;
    noalias(dx) = g.X;
  }

  /// In one product with the bias, where the backend has that.
  void forward_with_bias(const Storage& x, ViewOn<const Scalar, Backend> bias,
                         Storage& y) override {
    if constexpr (has_bias_products) {
      if (y.rows() != rows() || y.cols() != x.cols()) {
        y = Storage(rows(), x.cols());
      }
      Kernels<Backend>::template gemm_bias<Scalar>(device(), Scalar{1}, view_of(weight_),
                                                   view_of(x), bias, view_of(y));
    } else {
      Base::forward_with_bias(x, bias, y);
    }
  }
  void backward_with_bias(const Storage& x, const Storage& dy, Storage& dx,
                          ViewOn<Scalar, Backend> bias_gradient) override {
    if constexpr (has_bias_products) {
      Kernels<Backend>::template gemm_bias_gradient<Scalar>(
          device(), view_of(dy), view_of(x).transposed(), view_of(gradient_), bias_gradient);
      noalias(dx) = gradients(lazy(weight_) * x, dy).X;
    } else {
      Base::backward_with_bias(x, dy, dx, bias_gradient);
    }
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    visitor(Parameter{"weight", view_of(weight_), view_of(gradient_)});
  }
  void step(const StepInfo& info) override {
    optimizer_.step(weight_, gradient_, info.learning_rate, info.gradient_scale);
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    detail::visit_optimizer(optimizer_, "weight.", visitor);
  }
  [[nodiscard]] double flops() const override { return 6.0 * static_cast<double>(rows() * cols()); }

 private:
  static constexpr bool has_bias_products = requires(
      Device<Backend>& device, ViewOn<const Scalar, Backend> a, ViewOn<Scalar, Backend> c) {
    Kernels<Backend>::template gemm_bias<Scalar>(device, Scalar{1}, a, a, a, c);
    Kernels<Backend>::template gemm_bias_gradient<Scalar>(device, a, a, c, c);
  };
  static Device<Backend>& device() { return Context<Backend>::current().device(); }

 protected:
  Storage weight_, gradient_;
  AdamW<Scalar, Backend> optimizer_;
};

ACCRETE_END_NAMESPACE
