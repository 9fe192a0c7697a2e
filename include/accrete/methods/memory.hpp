// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/trained_weight.hpp>

#include <cstdint>
#include <span>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Scalars that a weight keeps from step to step.
struct WeightMemory {
  Index parameters = 0; ///< trained and frozen
  Index gradients = 0;
  Index state = 0; ///< of optimizers and of the method, without counters

  [[nodiscard]] Index total() const noexcept { return parameters + gradients + state; }
};

namespace detail {

/// Adds up what is visited.
template <class Scalar, class Backend>
class StateSize final : public StateVisitor<Scalar, Backend> {
 public:
  void tensor(const std::string& /*name*/, ViewOn<Scalar, Backend> values) override {
    scalars_ += values.size();
  }
  void counts(const std::string& /*name*/, std::span<std::int64_t> values) override {
    counters_ += static_cast<Index>(values.size());
  }
  void number(const std::string& /*name*/, double& /*value*/) override { ++counters_; }

  [[nodiscard]] Index scalars() const noexcept { return scalars_; }
  /// Counts and numbers, of eight bytes each.
  [[nodiscard]] Index counters() const noexcept { return counters_; }

 private:
  Index scalars_ = 0, counters_ = 0;
};

} // namespace detail

/// What `weight` keeps now: it changes where a method grows, merges or goes from one phase to the
/// next.
template <class Scalar, class Backend>
[[nodiscard]] WeightMemory memory_of(TrainedWeight<Scalar, Backend>& weight) {
  WeightMemory memory;
  weight.visit_parameters([&](const WeightParameter<Scalar, Backend>& parameter) {
    memory.parameters += parameter.value.size();
    memory.gradients += parameter.is_trained() ? parameter.gradient.size() : 0;
  });
  detail::StateSize<Scalar, Backend> state;
  weight.visit_state(state);
  memory.state = state.scalars();
  return memory;
}

ACCRETE_END_NAMESPACE
