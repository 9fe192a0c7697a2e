// SPDX-License-Identifier: MIT
#pragma once

#include "model/config.hpp"
#include "model/initial_weights.hpp"
#include "model/operations/host.hpp"
#include "model/weights.hpp"

#include <string>
#include <type_traits>
#include <utility>

namespace gpt {

/// The state of a factored layer, as Gpt::ranks reports it.
struct LayerRank {
  std::string name;
  Index rank = 0;     ///< the rank that a growing layer has found; otherwise all its columns
  Index columns = 0;  ///< of each factor: rank and buffer
  Index capacity = 0; ///< columns that it can have without moving
  Index rows = 0, cols = 0;
};

/// y = W x + b, with a W that is dense or factored.
template <class Scalar, class Backend = accrete::Cpu>
class Linear {
 public:
  using Dense = DenseWeight<Scalar, Backend>;
  using Storage = Matrix<Scalar, Backend>;

  /// W rows x cols of the given kind, with the variance of N(0, deviation^2); b zero.
  Linear(std::string name, const InitialWeight& initial, bool with_bias)
      : name_(std::move(name)),
        weight_(initial_weight<Scalar, Backend>(initial, name_)),
        bias_(constant_vector<Scalar, Backend>(with_bias ? initial.rows : 0, Scalar(0))),
        bias_gradient_(constant_vector<Scalar, Backend>(bias_.size(), Scalar(0))) {}

  void forward(const Storage& x, Storage& y) {
    std::visit([&](auto& weight) { weight.forward(x, y); }, weight_);
    if (bias_.size() != 0) {
      Operations<Backend>::template add_bias<Scalar>(bias_, y);
    }
  }

  /// Adds to the parameters' gradients; dx is overwritten.
  void backward(const Storage& x, const Storage& dy, Storage& dx) {
    std::visit([&](auto& weight) { weight.backward(x, dy, dx); }, weight_);
    if (bias_.size() != 0) {
      Operations<Backend>::template bias_gradient<Scalar>(dy, bias_gradient_);
    }
  }

  template <class Function>
  void for_each_parameter(const Function& function) {
    std::visit([&](auto& weight) { weight.for_each_parameter(name_, function); }, weight_);
    if (bias_.size() != 0) {
      using accrete::view_of;
      function(Parameter<Scalar, Backend>{name_ + ".bias", view_of(bias_), view_of(bias_gradient_),
                                          false});
    }
  }

  /// Calls function(FactoredWeight&) when the weight is factored.
  template <class Function>
  void if_factored(const Function& function) {
    visit_factored(weight_, function);
  }
  template <class Function>
  void if_factored(const Function& function) const {
    visit_factored(weight_, function);
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Index parameter_count() const {
    return std::visit([](const auto& weight) { return weight.parameter_count(); }, weight_) +
           bias_.size();
  }
  /// FLOPs of forward and backward for one token.
  [[nodiscard]] double flops() const {
    return std::visit([](const auto& weight) { return weight.flops(); }, weight_) +
           6.0 * static_cast<double>(bias_.size());
  }

 private:
  template <class Weight, class Function>
  static void visit_factored(Weight& any, const Function& function) {
    std::visit(
        [&](auto& weight) {
          if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(weight)>, Dense>) {
            function(weight);
          }
        },
        any);
  }

  std::string name_;
  AnyWeight<Scalar, Backend> weight_;
  Vector<Scalar, Backend> bias_, bias_gradient_;
};

} // namespace gpt
