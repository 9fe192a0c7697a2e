// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/host.hpp"
#include "model/parameter.hpp"

#include <string>

namespace gpt {

/// Normalisation of every token to mean 0 and variance 1, then a learned scale and shift
/// (Ba, Kiros, Hinton: Layer Normalization, 2016).
template <class Scalar, class Backend = accrete::Cpu>
class LayerNorm : public Norm<Scalar, Backend> {
 public:
  using Storage = Matrix<Scalar, Backend>;

  /// `width` scales at one; shifts at zero where `with_bias`.
  LayerNorm(Index width, bool with_bias) {
    const auto vector = [](Index size, Scalar value) {
      return constant_vector<Scalar, Backend>(size, value);
    };
    this->weight = vector(width, Scalar(1));
    this->weight_gradient = vector(width, Scalar(0));
    this->bias = vector(with_bias ? width : 0, Scalar(0));
    this->bias_gradient = vector(with_bias ? width : 0, Scalar(0));
  }

  /// y = weight * (x - mean) / deviation + bias, token by token.
  void forward(const Storage& x, Storage& y) {
    Operations<Backend>::template normalise<Scalar>(*this, x, y);
  }

  /// The same of a residual sum: x = stream + branch, then y from x.
  void forward(const Storage& stream, const Storage& branch, Storage& x, Storage& y) {
    Operations<Backend>::template add_and_normalise<Scalar>(*this, stream, branch, x, y);
  }

  /// dx += gradient with respect to x (dx = where `overwrite`), and the parameters' gradients.
  void backward(const Storage& x, const Storage& dy, Storage& dx, bool overwrite = false) {
    Operations<Backend>::template normalise_gradient<Scalar>(*this, x, dy, overwrite, dx);
  }

  template <class Function>
  void for_each_parameter(const std::string& name, const Function& function) {
    using accrete::view_of;
    using Tensor = Parameter<Scalar, Backend>;
    function(
        Tensor{name + ".weight", view_of(this->weight), view_of(this->weight_gradient), false});
    if (this->has_bias()) {
      function(Tensor{name + ".bias", view_of(this->bias), view_of(this->bias_gradient), false});
    }
  }
};

} // namespace gpt
