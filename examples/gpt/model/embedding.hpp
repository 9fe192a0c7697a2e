// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/host.hpp"
#include "model/parameter.hpp"

#include <span>

namespace gpt {

/// Token and position embeddings. The token matrix is also the output head (tied weights), whose
/// products the model computes; here are the lookups and their scatter.
template <class Scalar, class Backend = accrete::Cpu>
class Embedding {
 public:
  using Storage = Matrix<Scalar, Backend>;

  Embedding(Index width, Index vocabulary, Index context)
      : tokens(zeros<Scalar, Backend>(width, vocabulary)),
        tokens_gradient(zeros<Scalar, Backend>(width, vocabulary)),
        positions(zeros<Scalar, Backend>(width, context)),
        positions_gradient(zeros<Scalar, Backend>(width, context)) {}

  /// x(:, n) = tokens(:, ids[n]) + positions(:, n mod length).
  void forward(std::span<const int> ids, Index length, Storage& x) const {
    Operations<Backend>::template embed<Scalar>(tokens, positions, ids, length, x);
  }

  /// Adds dx to the columns that were looked up.
  void backward(std::span<const int> ids, Index length, const Storage& dx) {
    Operations<Backend>::template embed_gradient<Scalar>(ids, length, dx, tokens_gradient,
                                                         positions_gradient);
  }

  template <class Function>
  void for_each_parameter(const Function& function) {
    using accrete::view_of;
    using Tensor = Parameter<Scalar, Backend>;
    function(Tensor{"wte.weight", view_of(tokens), view_of(tokens_gradient), true});
    function(Tensor{"wpe.weight", view_of(positions), view_of(positions_gradient), true});
  }

  Storage tokens, tokens_gradient;       // C x V
  Storage positions, positions_gradient; // C x context
};

} // namespace gpt
