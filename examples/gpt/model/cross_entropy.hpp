// SPDX-License-Identifier: MIT
#pragma once

#include "model/operations/host.hpp"

#include <span>

namespace gpt {

/// Mean cross-entropy of softmax(logits) against one target a token, with its gradient.
template <class Scalar, class Backend = accrete::Cpu>
class CrossEntropy {
 public:
  using Storage = Matrix<Scalar, Backend>;

  /// logits V x N, N targets in [0, V). Returns the mean in nats and writes d(mean)/d(logits).
  double forward(const Storage& logits, std::span<const int> targets, Storage& gradient) {
    return Operations<Backend>::template cross_entropy<Scalar>(logits, targets, gradient);
  }
};

} // namespace gpt
