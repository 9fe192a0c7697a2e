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

  /// logits V x N, N targets in [0, V). Returns the mean in nats and writes the gradient by the
  /// logits of the mean against softer targets: `smoothing` of the probability lies on all V alike,
  /// the rest on the target.
  double forward(const Storage& logits, std::span<const int> targets, Storage& gradient,
                 double smoothing = 0) {
    return Operations<Backend>::template cross_entropy<Scalar>(logits, targets, smoothing,
                                                               gradient);
  }
};

} // namespace gpt
