// SPDX-License-Identifier: MIT
#pragma once

#include "app/checkpoint_store.hpp"
#include "app/options_json.hpp"
#include "app/text_data.hpp"
#include "model/gpt.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace gpt {

/// What a run needs beside its tensors to continue where it was: the contents of state.json.
struct TrainingState {
  RunOptions options;
  std::string vocabulary;
  std::string text_checksum;
  long step = 0;
  std::uint64_t batch_position = 0; ///< Of the random stream of the training batches.
  std::vector<LayerRank> ranks;     ///< Of the factored layers.
  double seconds = 0;
  double best_val_loss = std::numeric_limits<double>::infinity();

  void save(const fs::path& folder) const {
    OutputFile file(folder / state_file);
    file.write(json().dump(2) + "\n");
    file.finish();
  }

  /// @throws FileError when the file is missing, damaged or of another program
  static TrainingState load(const fs::path& folder) {
    const fs::path path = folder / state_file;
    const std::string text = InputFile(path).read_all();
    try {
      return from_json(nlohmann::json::parse(text));
    } catch (const nlohmann::json::exception& error) {
      throw FileError("reading the checkpoint '" + path.string() + "': " + error.what() +
                      "; the file is damaged or was written by another program");
    } catch (const accrete::ArgumentError& error) {
      throw FileError("reading the checkpoint '" + path.string() + "': " + error.what() +
                      "; the file was written by another version of this program");
    }
  }

  [[nodiscard]] nlohmann::ordered_json json() const {
    nlohmann::ordered_json json;
    json["format"] = format;
    json["step"] = step;
    json["options"] = to_json(options);
    json["data"] = {{"checksum", text_checksum}, {"vocabulary", bytes_of(vocabulary)}};
    json["random"] = {
        {"generator", "splitmix64"}, {"seed", options.seed}, {"batch_position", batch_position}};
    json["ranks"] = rank_json();
    json["seconds"] = seconds;
    json["best_val_loss"] = nullptr;
    if (best_val_loss < std::numeric_limits<double>::infinity()) {
      json["best_val_loss"] = best_val_loss;
    }
    return json;
  }

  /// Layer name to rank and columns (rank and buffer).
  [[nodiscard]] nlohmann::ordered_json rank_json() const {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    for (const LayerRank& layer : ranks) {
      json[layer.name] = {{"rank", layer.rank}, {"columns", layer.columns}};
    }
    return json;
  }

  /// A text whose bytes may be no UTF-8, as numbers.
  static std::vector<int> bytes_of(const std::string& text) {
    std::vector<int> bytes;
    for (const char c : text) {
      bytes.push_back(static_cast<unsigned char>(c));
    }
    return bytes;
  }

 private:
  static constexpr const char* format = "accrete-gpt-1";

  static TrainingState from_json(const nlohmann::json& json) {
    if (json.at("format").get<std::string>() != format) {
      throw accrete::ArgumentError("the format is " + json["format"].get<std::string>() + ", not " +
                                   format);
    }
    TrainingState state;
    state.step = json.at("step").get<long>();
    state.options = options_from_json(json.at("options"));
    state.text_checksum = json.at("data").at("checksum").get<std::string>();
    for (const int byte : json["data"].at("vocabulary").get<std::vector<int>>()) {
      state.vocabulary.push_back(static_cast<char>(byte));
    }
    state.options.model.vocabulary = static_cast<Index>(state.vocabulary.size());
    state.batch_position = json.at("random").at("batch_position").get<std::uint64_t>();
    for (const auto& [name, layer] : json.at("ranks").items()) {
      state.ranks.push_back({.name = name,
                             .rank = layer.at("rank").get<Index>(),
                             .columns = layer.at("columns").get<Index>()});
    }
    state.seconds = json.at("seconds").get<double>();
    if (!json.at("best_val_loss").is_null()) {
      state.best_val_loss = json["best_val_loss"].get<double>();
    }
    return state;
  }
};

} // namespace gpt
