// SPDX-License-Identifier: MIT
#pragma once

#include "model/parallel.hpp"
#include "model/parameter.hpp"

#include <cmath>
#include <string>

namespace gpt {

/// Normalisation of every token to mean 0 and variance 1, then a learned scale and shift
/// (Ba, Kiros, Hinton: Layer Normalization, 2016). Epsilon 1e-5 as in GPT-2.
template <class Scalar>
class LayerNorm {
 public:
  /// `width` scales at one; shifts at zero where `with_bias`.
  LayerNorm(Index width, bool with_bias)
      : weight(Vector<Scalar>::Ones(width)),
        weight_gradient(Vector<Scalar>::Zero(width)),
        bias(Vector<Scalar>::Zero(with_bias ? width : 0)),
        bias_gradient(bias) {}

  /// y = weight * (x - mean) / deviation + bias, token by token.
  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) {
    prepare(x, y);
    parallel_for(x.cols(), [&](Index t) { normalise(x, t, y); });
  }

  /// The same of a residual sum: x = stream + branch, then y from x. One pass over memory.
  void forward(const Matrix<Scalar>& stream, const Matrix<Scalar>& branch, Matrix<Scalar>& x,
               Matrix<Scalar>& y) {
    x.resize(stream.rows(), stream.cols());
    prepare(x, y);
    parallel_for(x.cols(), [&](Index t) {
      x.col(t) = stream.col(t) + branch.col(t);
      normalise(x, t, y);
    });
  }

  /// dx += gradient with respect to x (dx = where `overwrite`), and the parameters' gradients.
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx,
                bool overwrite = false) {
    const Index width = x.rows();
    const Index pieces = (x.cols() + piece - 1) / piece;
    partial_.setZero((has_bias() ? 2 : 1) * width, pieces);
    if (overwrite) {
      dx.resize(width, x.cols());
    }
    parallel_pieces(x.cols(), piece, [&](Index first, Index size) {
      auto sums = partial_.col(first / piece).array();
      for (Index t = first; t < first + size; ++t) {
        const auto centred = (x.col(t).array() - mean_[t]) * inverse_deviation_[t];
        const auto scaled = dy.col(t).array() * weight.array();
        const Scalar along_mean = scaled.mean();
        const Scalar along_x = (scaled * centred).mean();
        const auto gradient = (scaled - along_mean - centred * along_x) * inverse_deviation_[t];
        if (overwrite) {
          dx.col(t).array() = gradient;
        } else {
          dx.col(t).array() += gradient;
        }
        sums.head(width) += dy.col(t).array() * centred;
        if (has_bias()) {
          sums.tail(width) += dy.col(t).array();
        }
      }
    });
    for (Index i = 0; i < pieces; ++i) {
      weight_gradient += partial_.col(i).head(width);
      if (has_bias()) {
        bias_gradient += partial_.col(i).tail(width);
      }
    }
  }

  template <class Function>
  void for_each_parameter(const std::string& name, const Function& function) {
    using accrete::view_of;
    function(Parameter<Scalar>{name + ".weight", view_of(weight), view_of(weight_gradient), false});
    if (has_bias()) {
      function(Parameter<Scalar>{name + ".bias", view_of(bias), view_of(bias_gradient), false});
    }
  }

  [[nodiscard]] bool has_bias() const noexcept { return bias.size() != 0; }

  Vector<Scalar> weight, weight_gradient;
  Vector<Scalar> bias, bias_gradient;

 private:
  static constexpr Index piece = 64;
  static constexpr Scalar epsilon = Scalar(1e-5);

  void prepare(const Matrix<Scalar>& x, Matrix<Scalar>& y) {
    y.resize(x.rows(), x.cols());
    mean_.resize(x.cols());
    inverse_deviation_.resize(x.cols());
  }

  void normalise(const Matrix<Scalar>& x, Index t, Matrix<Scalar>& y) {
    const auto column = x.col(t).array();
    const Scalar mean = column.mean();
    const Scalar variance = (column - mean).square().mean();
    const Scalar inverse = Scalar(1) / std::sqrt(variance + epsilon);
    mean_[t] = mean;
    inverse_deviation_[t] = inverse;
    if (has_bias()) {
      y.col(t).array() = (column - mean) * inverse * weight.array() + bias.array();
    } else {
      y.col(t).array() = (column - mean) * inverse * weight.array();
    }
  }

  Vector<Scalar> mean_, inverse_deviation_;
  Matrix<Scalar> partial_;
};

} // namespace gpt
