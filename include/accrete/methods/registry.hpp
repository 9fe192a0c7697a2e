// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/cola.hpp>
#include <accrete/methods/cr_net.hpp>
#include <accrete/methods/dora.hpp>
#include <accrete/methods/full_rank.hpp>
#include <accrete/methods/galore.hpp>
#include <accrete/methods/inrank.hpp>
#include <accrete/methods/lora.hpp>
#include <accrete/methods/lora_muon.hpp>
#include <accrete/methods/loro.hpp>
#include <accrete/methods/low_rank.hpp>
#include <accrete/methods/options.hpp>
#include <accrete/methods/relora.hpp>
#include <accrete/methods/sltrain.hpp>
#include <accrete/methods/spectron.hpp>

#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// All methods. A new one is a header of its own, and a name here.
using Methods =
    std::tuple<FullRank, LowRank, InRank, InRankEfficient, LoRA, ReLoRA, GaLore, CoLA,
                           CRNet, DoRA, Spectron, LoRAMuon, LORO, SLTrain>;

/// Calls function(entry) for each method.
template <class Function>
void for_each_method(const Function& function) {
  std::apply([&](const auto&... entry) { (function(entry), ...); }, Methods{});
}

} // namespace detail

/// A method and what can be set of it.
struct MethodInfo {
  MethodDescription description;
  std::vector<MethodOption> options;
};

/// All methods, in the order of the registry.
[[nodiscard]] inline std::vector<MethodInfo> methods() {
  std::vector<MethodInfo> all;
  detail::for_each_method([&]<class Entry>(const Entry&) {
    detail::OptionCollector collector;
    typename Entry::Options options;
    options.visit(collector);
    all.push_back({Entry::description, collector.take()});
  });
  return all;
}

/// @throws ArgumentError for a name that no method has.
[[nodiscard]] inline MethodInfo method(const std::string& name) {
  std::string known;
  for (MethodInfo& info : methods()) {
    if (info.description.name == name) {
      return std::move(info);
    }
    known += std::string(known.empty() ? "" : ", ") + info.description.name;
  }
  ACCRETE_THROW ArgumentError("there is no method '" + name + "'; choose one of " + known);
}

/// A weight under the named method. AdamW's options are those of its parameters.
/// @throws ArgumentError for a name or a setting that does not exist or is outside its domain,
/// RankError for a rank that the place has not room for.
template <class Scalar, class Backend = Cpu>
[[nodiscard]] std::unique_ptr<TrainedWeight<Scalar, Backend>>
make_weight(const std::string& name, const MethodSettings& settings, const WeightPlace& place,
            const AdamWOptions& optimizer = {}) {
  std::unique_ptr<TrainedWeight<Scalar, Backend>> weight;
  detail::for_each_method([&]<class Entry>(const Entry&) {
    if (name == Entry::description.name) {
      typename Entry::Options options;
      detail::OptionWriter writer(Entry::description.name, settings);
      options.visit(writer);
      writer.finish();
      weight = std::make_unique<typename Entry::template Weight<Scalar, Backend>>(place, options,
                                                                                 optimizer);
    }
  });
  if (weight == nullptr) {
    (void)method(name); // says which there are
  }
  return weight;
}

ACCRETE_END_NAMESPACE
