// SPDX-License-Identifier: MIT
#pragma once

#include "app/checkpoint_store.hpp"
#include "app/options_json.hpp"
#include "app/text_data.hpp"
#include "model/gpt.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
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
  LayerShapes shapes;               ///< Of the layers.
  double seconds = 0;
  std::optional<double> best_val_loss;
  /// Of the step whose evaluation an interrupt cut short; else null.
  nlohmann::ordered_json unevaluated_record;

  void save(const fs::path& folder) const {
    OutputFile file(folder / state_file);
    file.write(json().dump(2) + "\n");
    file.finish();
  }

  /// @throws FileError when the file is missing, damaged or of another program
  static TrainingState load(const fs::path& folder) {
    const fs::path path = folder / state_file;
    const std::string text = InputFile(path).read_all();
    const std::string operation = "reading the checkpoint '" + path.string() + "': ";
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("format") || json["format"] != format) {
      throw FileError(operation + "it has not the format " + format +
                      "; the file is damaged or was written by another program or version");
    }
    try {
      return from_json(json);
    } catch (const accrete::Error& error) {
      throw FileError(operation + "the file is damaged: " + error.what() +
                      "; use an earlier checkpoint");
    }
  }

  [[nodiscard]] nlohmann::ordered_json json() const {
    nlohmann::ordered_json json;
    json["format"] = format;
    json["step"] = step;
    json["options"] = to_json(options);
    json["data"] = {{"checksum", text_checksum}, {"vocabulary", bytes_of(vocabulary)}};
    json["random"] = {
        {"generator", generator}, {"seed", options.seed}, {"batch_position", batch_position}};
    json["shapes"] = shapes;
    json["seconds"] = seconds;
    json["best_val_loss"] = nullptr;
    if (best_val_loss) {
      json["best_val_loss"] = *best_val_loss;
    }
    json["unevaluated_record"] = unevaluated_record;
    return json;
  }

  /// As numbers: a byte may be no UTF-8.
  static std::vector<int> bytes_of(const std::string& text) {
    std::vector<int> bytes;
    for (const char c : text) {
      bytes.push_back(static_cast<unsigned char>(c));
    }
    return bytes;
  }

 private:
  static constexpr const char* generator = "splitmix64";
  static constexpr const char* format = "accrete-gpt-3";

  static void require(bool holds, const std::string& fault) {
    if (!holds) {
      throw FieldError(fault);
    }
  }

  static TrainingState from_json(const nlohmann::json& json) {
    TrainingState state;
    state.options = options_from_json(field(json, "options"));
    state.step = number_field<long>(json, "step", {0, most_steps});
    state.read_data(field(json, "data"));
    state.read_random(field(json, "random"));
    state.read_shapes(field(json, "shapes"));
    state.seconds = number_field<double>(json, "seconds", {0, 1e9});
    if (!field(json, "best_val_loss").is_null()) {
      state.best_val_loss = number_field<double>(json, "best_val_loss");
    }
    state.unevaluated_record = field(json, "unevaluated_record");
    require(state.unevaluated_record.is_null() ||
                number_field<long>(json["unevaluated_record"], "step") == state.step,
            "'unevaluated_record' is of another step");
    state.options.model.validate();
    state.options.optimizer.validate();
    return state;
  }

  void read_data(const nlohmann::json& json) {
    text_checksum = text_field(json, "checksum");
    require(text_checksum.size() == checksum("").size() &&
                text_checksum.find_first_not_of("0123456789abcdef") == std::string::npos,
            "'checksum' is not 16 hexadecimal digits");
    vocabulary = bytes_field(json, "vocabulary");
    require(!vocabulary.empty() && vocabulary == Vocabulary(vocabulary).bytes(),
            "'vocabulary' is not a list of bytes in ascending order");
    options.model.vocabulary = static_cast<Index>(vocabulary.size());
  }

  void read_random(const nlohmann::json& json) {
    require(text_field(json, "generator") == generator,
            std::string("'generator' is not ") + generator);
    require(number_field<std::uint64_t>(json, "seed") == options.seed,
            "'seed' differs from that of the options");
    batch_position = number_field<std::uint64_t>(json, "batch_position");
    const auto batches = static_cast<std::uint64_t>(options.overfit_one_batch ? step > 0 : step);
    require(batch_position == batches * static_cast<std::uint64_t>(options.batch),
            "'batch_position' is not that of step " + std::to_string(step));
  }

  void read_shapes(const nlohmann::json& json) {
    require(json.is_null() || json.is_object(), "'shapes' is no object");
    for (const auto& [layer, numbers] : json.items()) {
      require(numbers.is_object(), "'" + layer + "' of the shapes is no object");
      for (const auto& [name, number] : numbers.items()) {
        shapes[layer][name] = number_field<std::int64_t>(numbers, name, {0, most_steps});
      }
    }
  }
};

} // namespace gpt
