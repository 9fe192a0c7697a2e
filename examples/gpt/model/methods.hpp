// SPDX-License-Identifier: MIT
#pragma once

#include "model/config.hpp"

#include <accrete/accrete.hpp>
#include <accrete/methods/options.hpp>
#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/trained_weight.hpp>

#include <memory>
#include <string>
#include <vector>

namespace gpt {

template <class Scalar, class Backend>
using WeightPointer = std::unique_ptr<accrete::TrainedWeight<Scalar, Backend>>;

/// accrete::make_weight, compiled in methods_*.cpp: once a scalar type and backend, since it takes
/// long.
template <class Scalar, class Backend>
[[nodiscard]] WeightPointer<Scalar, Backend>
new_weight(const std::string& method, const accrete::MethodSettings& settings,
           const accrete::WeightPlace& place, const accrete::AdamWOptions& optimizer);

/// A method, as the program offers it.
struct MethodEntry {
  accrete::MethodDescription description;
  std::vector<accrete::MethodOption> options;
};

/// Those of the registry.
[[nodiscard]] const std::vector<MethodEntry>& method_entries();
/// @throws accrete::ArgumentError for a name that none has.
[[nodiscard]] const MethodEntry& method_entry(const std::string& name);

/// Whether the method has the attention's layers, or those of the multilayer perceptrons.
[[nodiscard]] bool has_layers(const GptConfig& config, accrete::LayerSet layers);

} // namespace gpt
