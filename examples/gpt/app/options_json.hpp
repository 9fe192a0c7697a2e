// SPDX-License-Identifier: MIT
#pragma once

#include "app/json_fields.hpp"
#include "app/run_options.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <type_traits>

namespace gpt {

/// The stored options by key, enumerators as words.
[[nodiscard]] inline nlohmann::ordered_json to_json(const RunOptions& options) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  visit_options(options, [&](const OptionInfo& info, const auto& value) {
    if (!info.stored) {
      return;
    }
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_enum_v<Value>) {
      json[info.key()] = std::string(word_of(value));
    } else if constexpr (std::is_same_v<Value, std::string>) {
      json[info.key()] = text_json(value);
    } else {
      json[info.key()] = value;
    }
  });
  return json;
}

/// The inverse; options that are not stored keep their defaults.
/// @throws FieldError, accrete::ArgumentError when a key is missing or its value none of the
/// option's
[[nodiscard]] inline RunOptions options_from_json(const nlohmann::json& json) {
  RunOptions options;
  visit_options(options, [&](const OptionInfo& info, auto& value) {
    using Value = std::decay_t<decltype(value)>;
    if (!info.stored) {
      return;
    }
    if constexpr (std::is_enum_v<Value>) {
      value = enum_of<Value>(text_field(json, info.key()));
    } else if constexpr (std::is_same_v<Value, std::string>) {
      value = text_field(json, info.key());
    } else if constexpr (std::is_same_v<Value, bool>) {
      value = bool_field(json, info.key());
    } else {
      value = number_field<Value>(json, info.key(), range_of<Value>(info.name));
    }
  });
  return options;
}

/// Names of the options that must agree for a run to continue, but differ.
[[nodiscard]] inline std::string differing_options(const RunOptions& a, const RunOptions& b) {
  const nlohmann::ordered_json left = to_json(a);
  const nlohmann::ordered_json right = to_json(b);
  std::string names;
  visit_options(a, [&](const OptionInfo& info, const auto&) {
    if (info.fixed_on_resume && left[info.key()] != right[info.key()]) {
      names += (names.empty() ? "" : ", ") + std::string(info.name) + " (" +
               left[info.key()].dump() + ")";
    }
  });
  return names;
}

} // namespace gpt
