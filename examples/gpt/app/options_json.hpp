// SPDX-License-Identifier: MIT
#pragma once

#include "app/json_fields.hpp"
#include "app/run_options.hpp"
#include "model/methods.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>

namespace gpt {

[[nodiscard]] inline nlohmann::ordered_json value_json(const accrete::MethodValue& value) {
  return std::visit([](const auto& v) { return nlohmann::ordered_json(v); }, value);
}

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
  for (const auto& [name, value] : options.model.method_settings) {
    json[std::string(method_prefix) + name] = value_json(value);
  }
  return json;
}

namespace detail {

/// @throws FieldError
inline accrete::MethodValue method_value(const nlohmann::json& json, const std::string& key,
                                         const accrete::MethodOption& option) {
  if (std::holds_alternative<bool>(option.value)) {
    return bool_field(json, key);
  }
  if (std::holds_alternative<std::int64_t>(option.value)) {
    return number_field<std::int64_t>(
        json, key,
        {static_cast<std::int64_t>(option.least), static_cast<std::int64_t>(option.most)});
  }
  if (std::holds_alternative<double>(option.value)) {
    return number_field<double>(json, key, {option.least, option.most});
  }
  return text_field(json, key);
}

} // namespace detail

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
  for (const accrete::MethodOption& option : method_entry(options.model.method).options) {
    const std::string key = std::string(method_prefix) + option.name;
    if (json.contains(key)) {
      options.model.method_settings[option.name] = detail::method_value(json, key, option);
    }
  }
  return options;
}

/// Names of the options that must agree for a run to continue, but differ.
[[nodiscard]] inline std::string differing_options(const RunOptions& a, const RunOptions& b) {
  const nlohmann::ordered_json left = to_json(a);
  const nlohmann::ordered_json right = to_json(b);
  std::string names;
  const auto compare = [&](const std::string& key) {
    const auto value = [&](const nlohmann::ordered_json& json) {
      return json.contains(key) ? json[key] : nlohmann::ordered_json("the default");
    };
    if (value(left) != value(right)) {
      names += (names.empty() ? "--" : ", --") + key + " (" + value(left).dump() + ")";
    }
  };
  visit_options(a, [&](const OptionInfo& info, const auto&) {
    if (info.fixed_on_resume) {
      compare(info.key());
    }
  });
  for (const accrete::MethodOption& option : method_entry(a.model.method).options) {
    compare(std::string(method_prefix) + option.name);
  }
  return names;
}

} // namespace gpt
