// SPDX-License-Identifier: MIT
#pragma once

#include "model/methods.hpp"
#include "model/parameter.hpp"
#include "model/storage.hpp"

#include <accrete/backend/bias.hpp>

#include <string>
#include <utility>

namespace gpt {

/// y = W x + b, with a W that a method of accrete/methods trains.
template <class Scalar, class Backend = accrete::Cpu>
class Linear {
 public:
  using Storage = Matrix<Scalar, Backend>;
  using Weight = accrete::TrainedWeight<Scalar, Backend>;

  Linear(std::string name, WeightPointer<Scalar, Backend> weight, bool with_bias)
      : name_(std::move(name)),
        weight_(std::move(weight)),
        bias_(constant_vector<Scalar, Backend>(with_bias ? weight_->rows() : 0, Scalar(0))),
        bias_gradient_(constant_vector<Scalar, Backend>(bias_.size(), Scalar(0))) {}

  /// Where the method takes it, this layer's weight gets the outputs of `previous`, which comes
  /// before it in forward passes and after it in backward passes, and must stay where it is.
  void follow(Linear& previous) {
    if (weight_->takes_previous_output()) {
      previous_ = &previous;
      previous.has_follower_ = true;
    }
  }

  void forward(const Storage& x, Storage& y) {
    using accrete::view_of;
    if (bias_.size() != 0 && is_alone()) {
      weight_->forward_with_bias(x, view_of(bias_).as_const(), y);
      return;
    }
    weight_->forward(x, y);
    if (previous_ != nullptr) {
      weight_->add_previous(previous_->output_, y);
    }
    if (has_follower_) {
      set_shape(output_, y.rows(), y.cols());
      set_shape(output_gradient_, y.rows(), y.cols());
      accrete::noalias(output_) = accrete::lazy(y);
    }
    if (bias_.size() != 0) {
      accrete::add_to_columns<Backend, Scalar>(current_device<Backend>(), view_of(bias_),
                                               view_of(y));
    }
  }

  /// Adds to the parameters' gradients; dx is overwritten.
  void backward(const Storage& x, const Storage& dy, Storage& dx) {
    using accrete::view_of;
    if (bias_.size() != 0 && is_alone()) {
      weight_->backward_with_bias(x, dy, dx, view_of(bias_gradient_));
      return;
    }
    if (bias_.size() != 0) {
      accrete::Kernels<Backend>::template add_row_sums<Scalar>(
          current_device<Backend>(), view_of(dy), view_of(bias_gradient_));
    }
    if (has_follower_) {
      accrete::noalias(output_gradient_) += accrete::lazy(dy); // to the follower's part
      backward_weight(x, output_gradient_, dx);
    } else {
      backward_weight(x, dy, dx);
    }
  }

  template <class Function>
  void for_each_parameter(const Function& function) {
    using Tensor = Parameter<Scalar, Backend>;
    weight_->visit_parameters([&](const typename Weight::Parameter& p) {
      function(Tensor{name_ + "." + p.name, p.value, p.gradient, true, p.kind});
    });
    for_each_plain(function);
  }
  /// The parameters that no method trains.
  template <class Function>
  void for_each_plain(const Function& function) {
    using accrete::view_of;
    if (bias_.size() != 0) {
      function(Parameter<Scalar, Backend>{name_ + ".bias", view_of(bias_), view_of(bias_gradient_),
                                          false});
    }
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Weight& weight() noexcept { return *weight_; }
  [[nodiscard]] const Weight& weight() const noexcept { return *weight_; }
  /// FLOPs of forward and backward for one token.
  [[nodiscard]] double flops() const {
    return weight_->flops() + 6.0 * static_cast<double>(bias_.size());
  }

 private:
  /// Nothing comes between the weight's product and the bias.
  [[nodiscard]] bool is_alone() const noexcept { return previous_ == nullptr && !has_follower_; }

  void backward_weight(const Storage& x, const Storage& dy, Storage& dx) {
    weight_->backward(x, dy, dx);
    if (previous_ != nullptr) {
      weight_->previous_gradient(previous_->output_, dy, previous_->output_gradient_);
    }
  }

  std::string name_;
  WeightPointer<Scalar, Backend> weight_;
  Vector<Scalar, Backend> bias_, bias_gradient_;
  Linear* previous_ = nullptr;
  bool has_follower_ = false;
  Storage output_, output_gradient_; // where a follower takes them
};

} // namespace gpt
