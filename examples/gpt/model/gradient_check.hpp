// SPDX-License-Identifier: MIT
#pragma once

#include "model/gpt.hpp"

#include <cmath>
#include <random>

namespace gpt {

struct GradientCheckOptions {
  Index entries = 64; ///< per tensor, drawn at random; 0 for all of them
  std::uint64_t seed = 1;
};

/// How far a tensor's gradient is from finite differences.
struct GradientError {
  std::string name;
  Index entries = 0;   ///< that were compared
  double relative = 0; ///< |g - n| / (|g| + |n|) in the Euclidean norm; 0 where both vanish
};

/// Compares the explicit gradient of every trained tensor that is one of the loss with central
/// differences of fourth order, (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h, whose step is the
/// fifth root of the scalar's rounding unit: with double, errors of correct gradients lie below
/// 1e-9. Leaves parameters as they were and gradients at those of this batch. Costs four forward
/// passes an entry.
template <class Scalar>
std::vector<GradientError> check_gradients(Gpt<Scalar>& model, std::span<const int> tokens,
                                           std::span<const int> targets, Index batch, Index length,
                                           const GradientCheckOptions& options = {}) {
  model.zero_gradients();
  model.forward(tokens, targets, batch, length);
  model.backward();
  const auto step = static_cast<Scalar>(
      std::pow(static_cast<double>(std::numeric_limits<Scalar>::epsilon()), 0.2));
  std::vector<GradientError> errors;
  model.for_each_parameter([&](const Parameter<Scalar>& p) {
    if (!p.is_trained() || p.kind != accrete::GradientKind::exact) {
      return;
    }
    std::mt19937_64 random(tensor_seed(options.seed, p.name));
    const bool all = options.entries == 0 || options.entries >= p.value.size();
    GradientError error{p.name, all ? p.value.size() : options.entries, 0};
    double difference = 0, analytic = 0, numeric = 0;
    for (Index k = 0; k < error.entries; ++k) {
      const Index at =
          all ? k : static_cast<Index>(random() % static_cast<std::uint64_t>(p.value.size()));
      Scalar& entry = p.value(at % p.value.rows, at / p.value.rows);
      const Scalar kept = entry;
      const auto loss = [&](Scalar offset) {
        entry = kept + offset;
        return model.forward(tokens, targets, batch, length);
      };
      const double near = loss(step) - loss(-step);
      const double far = loss(2 * step) - loss(-2 * step);
      entry = kept;
      const double n = (8 * near - far) / (12 * static_cast<double>(step));
      const double g = p.gradient(at % p.value.rows, at / p.value.rows);
      difference += (g - n) * (g - n);
      analytic += g * g;
      numeric += n * n;
    }
    if (difference > 0) {
      error.relative = std::sqrt(difference) / (std::sqrt(analytic) + std::sqrt(numeric));
    }
    errors.push_back(error);
  });
  return errors;
}

} // namespace gpt
