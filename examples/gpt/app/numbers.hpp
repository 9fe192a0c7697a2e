// SPDX-License-Identifier: MIT
#pragma once

#include "model/finite.hpp"

#include <charconv>
#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace gpt {

/// A number as text, whatever the locale; of a floating-point number six digits.
template <class Number>
[[nodiscard]] std::string number_text(Number value) {
  char text[32];
  std::to_chars_result end{};
  if constexpr (std::floating_point<Number>) {
    end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 6);
  } else {
    end = std::to_chars(text, text + sizeof text, value);
  }
  return {text, end.ptr};
}

/// The number that the whole text is in decimal notation, whatever the locale; none for a text that
/// is something else, too large or not finite.
template <class Number>
[[nodiscard]] std::optional<Number> number_of(std::string_view text) {
  Number value{};
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  if constexpr (std::floating_point<Number>) {
    if (!is_finite(value)) {
      return std::nullopt;
    }
  }
  return value;
}

/// The values that a number may have, both ends among them.
template <class Number>
struct Range {
  Number least = 0;
  Number most = std::numeric_limits<Number>::max();

  [[nodiscard]] bool contains(Number value) const noexcept {
    return value >= least && value <= most;
  }

  /// "a whole number from 1 to 1000", "a number of at least 0".
  [[nodiscard]] std::string text() const {
    constexpr bool whole = std::integral<Number>;
    const std::string kind = whole ? "a whole number" : "a number";
    if (!whole && most == std::numeric_limits<Number>::max()) {
      return kind + " of at least " + number_text(least);
    }
    return kind + " from " + number_text(least) + " to " + number_text(most);
  }
};

} // namespace gpt
