// SPDX-License-Identifier: MIT
#pragma once

#include "model/storage.hpp"

namespace gpt {

/// What the model computes beside the library's products: static member templates over the scalar,
/// on storage of the backend; results are given their shape. On the host in host.hpp, on a GPU in
/// cuda.hpp.
///
///   embed(tokens, positions, ids, length, x)     x(:, n) = tokens(:, ids[n]) + positions(:, n mod
///                                                length)
///   embed_gradient(ids, length, dx, tokens, positions)
///                                                adds dx to the columns that were looked up
///   normalise(norm, x, y)                        y = weight (x - mean) / deviation + bias
///   add_and_normalise(norm, stream, branch, x, y)
///                                                x = stream + branch, then y from x
///   normalise_gradient(norm, x, dy, overwrite, dx)
///                                                adds to dx (or writes it) and to norm's gradients
///   gelu(x, y), gelu_gradient(x, dy)             y = x Phi(x); dy becomes dx
///   attention(...), attention_gradient(...)      those of CausalAttention
///   cross_entropy(logits, targets, smoothing, gradient)
///                                                the mean, and the gradient of that against
///                                                smoothed targets
///   squared_norm(views)                          of all of them together, in double
///
/// Sums are added in an order that depends on the shapes alone. What returns a number waits for a
/// device, nothing else does.
template <class Backend>
struct Operations;

/// Scales and shifts of a LayerNorm, and what its last forward pass leaves for backward.
template <class Scalar, class Backend>
struct Norm {
  Vector<Scalar, Backend> weight, weight_gradient;
  Vector<Scalar, Backend> bias, bias_gradient; // of no entries where there are no shifts
  Vector<Scalar, Backend> mean, inverse_deviation;
  Matrix<Scalar, Backend> partial; // sums over some of the tokens each

  static constexpr Scalar epsilon = Scalar(1e-5); // as in GPT-2
  [[nodiscard]] bool has_bias() const noexcept { return bias.size() != 0; }
};

} // namespace gpt
