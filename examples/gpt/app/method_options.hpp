// SPDX-License-Identifier: MIT
#pragma once

#include "app/numbers.hpp"
#include "app/options_json.hpp"
#include "model/methods.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace gpt {

[[nodiscard]] inline std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const MethodEntry& method : method_entries()) {
    names.emplace_back(method.description.name);
  }
  return names;
}

/// A value of the kind that the option has; none for a text that is no such value.
[[nodiscard]] inline std::optional<accrete::MethodValue>
method_value(const accrete::MethodOption& option, const std::string& text) {
  if (std::holds_alternative<bool>(option.value)) {
    return text == "true" || text == "false" ? std::optional<accrete::MethodValue>(text == "true")
                                             : std::nullopt;
  }
  if (std::holds_alternative<std::string>(option.value)) {
    const bool known =
        std::find(option.words.begin(), option.words.end(), text) != option.words.end();
    return known ? std::optional<accrete::MethodValue>(text) : std::nullopt;
  }
  const auto within = [&](auto number) -> std::optional<accrete::MethodValue> {
    if (number && static_cast<double>(*number) >= option.least &&
        static_cast<double>(*number) <= option.most) {
      return accrete::MethodValue(*number);
    }
    return std::nullopt;
  };
  return std::holds_alternative<double>(option.value) ? within(number_of<double>(text))
                                                      : within(number_of<std::int64_t>(text));
}

/// What values the option takes.
[[nodiscard]] inline std::string domain_of(const accrete::MethodOption& option) {
  if (std::holds_alternative<bool>(option.value)) {
    return "true or false";
  }
  if (std::holds_alternative<double>(option.value)) {
    return Range<double>{option.least, option.most}.text();
  }
  if (std::holds_alternative<std::int64_t>(option.value)) {
    return Range<std::int64_t>{static_cast<std::int64_t>(option.least),
                               static_cast<std::int64_t>(option.most)}
        .text();
  }
  std::string text = "one of";
  for (const std::string& word : option.words) {
    text += " " + word;
  }
  return text;
}

[[nodiscard]] inline std::string text_of_value(const accrete::MethodValue& value) {
  const nlohmann::ordered_json json = value_json(value);
  return json.is_string() ? json.get<std::string>() : json.dump();
}

} // namespace gpt
