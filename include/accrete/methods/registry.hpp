// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/adarankgrad.hpp>
#include <accrete/methods/apollo.hpp>
#include <accrete/methods/attention_low_rank.hpp>
#include <accrete/methods/cola.hpp>
#include <accrete/methods/compressed.hpp>
#include <accrete/methods/cr_net.hpp>
#include <accrete/methods/dlrt.hpp>
#include <accrete/methods/dora.hpp>
#include <accrete/methods/dynamic_rank.hpp>
#include <accrete/methods/extrapolated.hpp>
#include <accrete/methods/factorised.hpp>
#include <accrete/methods/ffsplit.hpp>
#include <accrete/methods/fira.hpp>
#include <accrete/methods/full_rank.hpp>
#include <accrete/methods/galore.hpp>
#include <accrete/methods/glrl.hpp>
#include <accrete/methods/inrank.hpp>
#include <accrete/methods/ldadam.hpp>
#include <accrete/methods/lora.hpp>
#include <accrete/methods/lora_muon.hpp>
#include <accrete/methods/loro.hpp>
#include <accrete/methods/low_rank.hpp>
#include <accrete/methods/mest.hpp>
#include <accrete/methods/oialr.hpp>
#include <accrete/methods/options.hpp>
#include <accrete/methods/powerpropagation.hpp>
#include <accrete/methods/relora.hpp>
#include <accrete/methods/sltrain.hpp>
#include <accrete/methods/spectron.hpp>
#include <accrete/methods/sst.hpp>
#include <accrete/methods/switchlora.hpp>
#include <accrete/methods/welore.hpp>

#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// All methods. A new one is a header of its own, and a name here.
using Methods =
    std::tuple<FullRank, LowRank, Factorised, AttentionLowRank, GreedyLowRank, InRank,
               InRankEfficient, LoRA, DoRA, ReLoRA, SwitchLoRA, GaLore, Fira, AdaRankGrad, APOLLO,
               APOLLOMini, LDAdam, SST, OIALR, DLRT, LORO, Spectron, LoRAMuon, CoLA, CRNet, WeLore,
               FFSplit, DynamicRank, SLTrain, Compressed, Powerpropagation, MEST, Extrapolated>;

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

namespace detail {

/// Options of a method with these settings.
template <class Entry>
typename Entry::Options options_of(const MethodSettings& settings) {
  typename Entry::Options options;
  OptionWriter writer(Entry::description.name, settings);
  options.visit(writer);
  writer.finish();
  return options;
}

/// Calls function(entry) for the named method. @throws ArgumentError when there is none.
template <class Function>
void with_method(const std::string& name, const Function& function) {
  bool found = false;
  for_each_method([&]<class Entry>(const Entry& entry) {
    if (name == Entry::description.name) {
      found = true;
      function(entry);
    }
  });
  if (!found) {
    (void)method(name); // says which there are
  }
}

} // namespace detail

/// @throws ArgumentError for a name or a setting that does not exist or is outside its domain.
inline void check_settings(const std::string& name, const MethodSettings& settings) {
  detail::with_method(
      name, [&]<class Entry>(const Entry&) { (void)detail::options_of<Entry>(settings); });
}

/// A weight under the named method. AdamW's options are those of its parameters.
/// @throws ArgumentError as check_settings(), RankError for a rank that the place has not room for.
template <class Scalar, class Backend = Cpu>
[[nodiscard]] std::unique_ptr<TrainedWeight<Scalar, Backend>>
make_weight(const std::string& name, const MethodSettings& settings, const WeightPlace& place,
            const AdamWOptions& optimizer = {}) {
  std::unique_ptr<TrainedWeight<Scalar, Backend>> weight;
  detail::with_method(name, [&]<class Entry>(const Entry&) {
    weight = std::make_unique<typename Entry::template Weight<Scalar, Backend>>(
        place, detail::options_of<Entry>(settings), optimizer);
  });
  return weight;
}

ACCRETE_END_NAMESPACE
