// SPDX-License-Identifier: MIT
#pragma once

#include "app/options_json.hpp"
#include "app/run_options.hpp"
#include "app/terminal.hpp"
#include "app/text_data.hpp"
#include "model/gpt.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gpt {

/// Rank of each factored layer by name; empty where no layer is factored.
[[nodiscard]] inline std::map<std::string, Index> rank_map(const std::vector<LayerRank>& ranks) {
  std::map<std::string, Index> map;
  for (const LayerRank& layer : ranks) {
    map[layer.name] = layer.rank;
  }
  return map;
}

/// "  rank 8/10.5/12": least, mean and greatest; nothing where no layer is factored.
[[nodiscard]] inline std::string rank_text(const std::vector<LayerRank>& ranks) {
  if (ranks.empty()) {
    return "";
  }
  Index least = ranks.front().rank;
  Index most = least;
  double sum = 0;
  for (const LayerRank& layer : ranks) {
    least = std::min(least, layer.rank);
    most = std::max(most, layer.rank);
    sum += static_cast<double>(layer.rank);
  }
  return text_of("  rank %ld/%.1f/%ld", static_cast<long>(least),
                 sum / static_cast<double>(ranks.size()), static_cast<long>(most));
}

/// The effective settings of a run, a name and a text a line.
class SettingsTable {
 public:
  void add(std::string name, std::string text) {
    rows_.emplace_back(std::move(name), std::move(text));
  }

  void add_run(const RunOptions& options, const TextData& text, long step) {
    const GptConfig& model = options.model;
    add("data", options.data + ": " + grouped(static_cast<double>(text.train().size())) +
                    " characters to train on, " +
                    grouped(static_cast<double>(text.validation().size())) + " to validate on");
    add("vocabulary", std::to_string(model.vocabulary) + " characters");
    add("model", text_of("%ld layers, %ld heads, width %ld, context %ld, %s, %s",
                         static_cast<long>(model.layers), static_cast<long>(model.heads),
                         static_cast<long>(model.width), static_cast<long>(model.context),
                         model.bias ? "with biases" : "no biases",
                         std::string(word_of(options.dtype)).c_str()));
    add("method", method_text(model));
    add("training",
        text_of("%ld steps of %ld sequences, seed %llu%s", options.steps,
                static_cast<long>(options.batch), static_cast<unsigned long long>(options.seed),
                step > 0 ? text_of(", resumed after step %ld", step).c_str() : ""));
    add("optimizer",
        text_of("AdamW, rate %g to %g after %ld warm-up steps, betas %g %g, weight "
                "decay %g, clip %g",
                options.optimizer.schedule.peak, options.optimizer.schedule.floor,
                static_cast<long>(options.optimizer.schedule.warmup), options.adamw.beta1,
                options.adamw.beta2, options.adamw.weight_decay, options.optimizer.clip));
  }

  void print() const {
    std::size_t width = 0;
    for (const auto& [name, text] : rows_) {
      width = std::max(width, name.size());
    }
    for (const auto& [name, text] : rows_) {
      std::printf("%-*s  %s\n", static_cast<int>(width), name.c_str(), text.c_str());
    }
    std::fflush(stdout);
  }

 private:
  static std::string method_text(const GptConfig& model) {
    const accrete::MethodDescription& method = method_entry(model.method).description;
    std::string text = std::string(method.name) + ": " + method.summary;
    const bool mlp = has_layers(model, accrete::LayerSet::mlp);
    const bool attention = has_layers(model, accrete::LayerSet::attention);
    if (mlp || attention) {
      text += mlp && attention ? "; all linear layers"
                               : (mlp ? "; the layers of the MLPs" : "; the attention's layers");
    }
    for (const auto& [name, value] : model.method_settings) {
      text += ", " + name + " " + value_json(value).dump();
    }
    return text;
  }

  std::vector<std::pair<std::string, std::string>> rows_;
};

} // namespace gpt
