// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <charconv>
#include <string>

ACCRETE_BEGIN_NAMESPACE

// Floating-point numbers as text, with a point whatever the locale of the program says.
namespace detail {

/// With as many digits as tell the number from its neighbours.
template <class Scalar>
[[nodiscard]] std::string number_text(Scalar value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// With so many digits: after the point (fixed, scientific), or significant ones (general).
[[nodiscard]] inline std::string number_text(double value, std::chars_format format, int digits) {
  char text[400]; // the largest double has 309 digits before the point
  return {text, std::to_chars(text, text + sizeof text, value, format, digits).ptr};
}

} // namespace detail

ACCRETE_END_NAMESPACE
