// SPDX-License-Identifier: MIT
#pragma once

#include "model/parallel.hpp"

#include <cmath>
#include <span>
#include <vector>

namespace gpt {

/// Mean cross-entropy of softmax(logits) against one target a token, with its gradient.
template <class Scalar>
class CrossEntropy {
 public:
  /// logits V x N, N targets in [0, V). Returns the mean in nats and writes d(mean)/d(logits).
  /// The sum runs over tokens in their order, in double: it does not depend on the threads.
  double forward(const Matrix<Scalar>& logits, std::span<const int> targets,
                 Matrix<Scalar>& gradient) {
    const Index tokens = logits.cols();
    gradient.resize(logits.rows(), tokens);
    losses_.resize(static_cast<std::size_t>(tokens));
    const Scalar share = Scalar(1) / static_cast<Scalar>(tokens);
    parallel_for(tokens, [&](Index t) {
      const auto at = static_cast<std::size_t>(t);
      const auto scores = logits.col(t).array();
      auto probabilities = gradient.col(t).array();
      const Scalar largest = scores.maxCoeff();
      probabilities = (scores - largest).exp();
      const Scalar sum = probabilities.sum();
      losses_[at] = std::log(static_cast<double>(sum)) + static_cast<double>(largest) -
                    static_cast<double>(scores[targets[at]]);
      probabilities *= share / sum;
      probabilities[targets[at]] -= share;
    });
    double total = 0;
    for (const double loss : losses_) {
      total += loss;
    }
    return total / static_cast<double>(tokens);
  }

 private:
  std::vector<double> losses_;
};

} // namespace gpt
