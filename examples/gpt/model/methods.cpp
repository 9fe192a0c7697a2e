// SPDX-License-Identifier: MIT
#include "model/methods.hpp"

#include <accrete/methods/registry.hpp>

namespace gpt {
namespace {

std::vector<MethodEntry> all_entries() {
  std::vector<MethodEntry> entries;
  for (accrete::MethodInfo& info : accrete::methods()) {
    entries.push_back({info.description, std::move(info.options)});
  }
  return entries;
}

accrete::LayerSet layers_of(const GptConfig& config) {
  switch (config.method_layers) {
  case LayerChoice::mlp:
    return accrete::LayerSet::mlp;
  case LayerChoice::attention:
    return accrete::LayerSet::attention;
  case LayerChoice::all:
    return accrete::LayerSet::all;
  case LayerChoice::published:
    break;
  }
  return method_entry(config.method).description.layers;
}

} // namespace

const std::vector<MethodEntry>& method_entries() {
  static const std::vector<MethodEntry> entries = all_entries();
  return entries;
}

const MethodEntry& method_entry(const std::string& name) {
  for (const MethodEntry& entry : method_entries()) {
    if (entry.description.name == name) {
      return entry;
    }
  }
  (void)accrete::method(name); // says which there are
  throw accrete::ArgumentError("gpt: no method '" + name + "'");
}

bool has_layers(const GptConfig& config, accrete::LayerSet layers) {
  const accrete::LayerSet chosen = layers_of(config);
  return chosen == accrete::LayerSet::all || chosen == layers;
}

void GptConfig::validate() const {
  const auto require = [](bool holds, const std::string& text) {
    if (!holds) {
      throw accrete::ArgumentError("gpt: " + text);
    }
  };
  require(layers > 0 && heads > 0 && width > 0 && context > 0 && vocabulary > 0,
          "layers, heads, width, context and vocabulary must be positive");
  require(width % heads == 0, "the width " + std::to_string(width) +
                                  " must be a multiple of the number of heads " +
                                  std::to_string(heads));
  require(label_smoothing >= 0 && label_smoothing <= 1,
          "the label smoothing " + std::to_string(label_smoothing) + " must be between 0 and 1");
  accrete::check_settings(method, method_settings);
}

} // namespace gpt
