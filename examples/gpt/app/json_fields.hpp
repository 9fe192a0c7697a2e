// SPDX-License-Identifier: MIT
#pragma once

#include "app/errors.hpp"
#include "app/numbers.hpp"

#include <nlohmann/json.hpp>

#include <concepts>
#include <string>

namespace gpt {

/// The field of an object. @throws FieldError when there is none
[[nodiscard]] inline const nlohmann::json& field(const nlohmann::json& object,
                                                 const std::string& key) {
  if (!object.is_object() || !object.contains(key)) {
    throw FieldError("'" + key + "' is missing");
  }
  return object[key];
}

[[noreturn]] inline void throw_wrong_field(const std::string& key, const nlohmann::json& value,
                                           const std::string& needed) {
  constexpr auto replace = nlohmann::json::error_handler_t::replace;
  std::string text = value.dump(-1, ' ', false, replace);
  if (text.size() > 60) {
    text = text.substr(0, 57) + "...";
  }
  throw FieldError("'" + key + "' is " + text + ", not " + needed);
}

/// A number of this type and range: no fraction becomes an integer, no large one wraps around.
/// @throws FieldError
template <class Number>
[[nodiscard]] Number number_field(const nlohmann::json& object, const std::string& key,
                                  const Range<Number>& range = {}) {
  const nlohmann::json& value = field(object, key);
  if constexpr (std::floating_point<Number>) {
    if (value.is_number() && is_finite(value.get<Number>()) &&
        range.contains(value.get<Number>())) {
      return value.get<Number>();
    }
  } else if (value.is_number_integer()) {
    if (const auto number = number_of<Number>(value.dump()); number && range.contains(*number)) {
      return *number;
    }
  }
  throw_wrong_field(key, value, range.text());
}

[[nodiscard]] inline bool bool_field(const nlohmann::json& object, const std::string& key) {
  const nlohmann::json& value = field(object, key);
  if (!value.is_boolean()) {
    throw_wrong_field(key, value, "true or false");
  }
  return value.get<bool>();
}

/// Bytes as JSON: a string where they are UTF-8, else an array of numbers.
[[nodiscard]] inline nlohmann::ordered_json text_json(const std::string& bytes) {
  nlohmann::ordered_json text = bytes;
  try {
    (void)text.dump();
    return text;
  } catch (const nlohmann::json::type_error&) {
    nlohmann::ordered_json numbers = nlohmann::ordered_json::array();
    for (const char c : bytes) {
      numbers.push_back(static_cast<unsigned char>(c));
    }
    return numbers;
  }
}

/// Bytes that were written as numbers. @throws FieldError
[[nodiscard]] inline std::string bytes_field(const nlohmann::json& object, const std::string& key) {
  const nlohmann::json& value = field(object, key);
  std::string bytes;
  if (!value.is_array()) {
    throw_wrong_field(key, value, "an array of bytes");
  }
  for (const auto& [index, byte] : value.items()) {
    bytes.push_back(static_cast<char>(
        number_field<int>({{key, byte}}, key, {0, std::numeric_limits<unsigned char>::max()})));
  }
  return bytes;
}

/// What text_json wrote. @throws FieldError
[[nodiscard]] inline std::string text_field(const nlohmann::json& object, const std::string& key) {
  const nlohmann::json& value = field(object, key);
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (!value.is_array()) {
    throw_wrong_field(key, value, "a text");
  }
  return bytes_field(object, key);
}

} // namespace gpt
