// SPDX-License-Identifier: MIT
#pragma once

#include "app/text_data.hpp"
#include "model/finite.hpp"
#include "model/gpt.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

namespace gpt {

/// Chooses among logits: softmax at a temperature over the `top_k` likeliest (0: all of them).
/// Temperature 0 takes the likeliest. `uniform` is in [0, 1).
[[nodiscard]] inline int choose_token(std::span<const double> logits, double temperature, int top_k,
                                      double uniform) {
  std::vector<std::pair<double, int>> ranked;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    ranked.emplace_back(-logits[i], static_cast<int>(i));
  }
  std::sort(ranked.begin(), ranked.end());
  if (temperature <= 0) {
    return ranked.front().second;
  }
  if (top_k > 0 && static_cast<std::size_t>(top_k) < ranked.size()) {
    ranked.resize(static_cast<std::size_t>(top_k));
  }
  double sum = 0;
  const double best = ranked.front().first;
  for (auto& [weight, token] : ranked) {
    weight = std::exp((best - weight) / temperature);
    sum += weight;
  }
  double left = uniform * sum;
  for (const auto& [weight, token] : ranked) {
    left -= weight;
    if (left < 0) {
      return token;
    }
  }
  return ranked.back().second;
}

/// Continues a text one token at a time; the model sees the last `context` of them.
template <class Scalar>
class Sampler {
 public:
  Sampler(Gpt<Scalar>& model, double temperature, int top_k, std::uint64_t seed)
      : model_(model), temperature_(temperature), top_k_(top_k), random_(seed, 3) {}

  /// @throws accrete::ArgumentError for an empty prompt, which the model cannot continue
  void start(std::span<const Token> prompt) {
    if (prompt.empty()) {
      throw accrete::ArgumentError("sample: the prompt is empty; give at least one character");
    }
    history_.assign(prompt.begin(), prompt.end());
  }

  /// @throws accrete::NumericError when the model's logits are not finite
  int next() {
    const auto context = static_cast<std::size_t>(model_.config().context);
    if (history_.size() > context) {
      history_.erase(history_.begin(),
                     history_.begin() + static_cast<std::ptrdiff_t>(history_.size() - context));
    }
    const auto length = static_cast<Index>(history_.size());
    model_.forward(history_, {}, 1, length);
    const accrete::View<const Scalar> logits = model_.logits();
    if (!all_finite(logits.columns(logits.cols - 1, 1))) {
      throw accrete::NumericError(
          "sample: the model's logits are not finite; its training diverged");
    }
    std::vector<double> last(static_cast<std::size_t>(logits.rows));
    for (Index i = 0; i < logits.rows; ++i) {
      last[static_cast<std::size_t>(i)] = static_cast<double>(logits(i, logits.cols - 1));
    }
    history_.push_back(choose_token(last, temperature_, top_k_, random_.uniform()));
    return history_.back();
  }

 private:
  Gpt<Scalar>& model_;
  double temperature_;
  int top_k_;
  RandomStream random_;
  std::vector<int> history_;
};

} // namespace gpt
