// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <accrete/methods/trained_weight.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace gpt {

/// One tensor of a model, as its owner sees it.
template <class Scalar, class Backend = accrete::Cpu>
struct Parameter {
  std::string name;
  accrete::ViewOn<Scalar, Backend> value;
  accrete::ViewOn<Scalar, Backend> gradient; // without data where the tensor is frozen
  /// Weight decay applies: matrices, not scales, shifts and biases.
  bool decay = false;
  accrete::GradientKind kind = accrete::GradientKind::exact;

  [[nodiscard]] bool is_trained() const noexcept { return gradient.data != nullptr; }
};

/// A tensor's own seed: reordering tensors or changing one leaves the numbers of the others.
inline std::uint64_t tensor_seed(std::uint64_t seed, const std::string& name) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325U ^ (seed * 0x9e3779b97f4a7c15U);
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U; // Fowler, Noll and Vo
  }
  return hash;
}

} // namespace gpt
