// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <accrete/error.hpp>
#include <accrete/methods/options.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <string>

namespace gpt {

/// Which linear layers a method has; the others are dense.
enum class LayerChoice : unsigned char {
  published, ///< those that the method's authors take
  mlp,       ///< the two of each multilayer perceptron
  attention, ///< the two of each attention
  all
};

struct GptConfig {
  Index layers = 4;
  Index heads = 4;
  Index width = 128;
  Index context = 64;
  Index vocabulary = 0;
  bool bias = false;
  std::string method = "full";             ///< of accrete/methods/registry.hpp
  accrete::MethodSettings method_settings; ///< those that are not to keep their defaults
  LayerChoice method_layers = LayerChoice::published;
  /// Share of the probability that training asks for in all characters alike. The classifier's
  /// targets are then those of LORT (arXiv 2403.00250); losses are told without it.
  double label_smoothing = 0;

  /// Throws accrete::ArgumentError when a field is outside its domain.
  void validate() const;
};

} // namespace gpt
