// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <stdexcept>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Base of every exception that the library throws.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Operands whose shapes do not fit together.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A rank outside what the shape or the capacity allows.
class RankError : public Error {
 public:
  using Error::Error;
};

/// NaN or infinity where a factorisation needs finite numbers.
class NumericError : public Error {
 public:
  using Error::Error;
};

/// An option or argument outside its domain.
class ArgumentError : public Error {
 public:
  using Error::Error;
};

namespace detail {

inline std::string shape_text(Index rows, Index cols) {
  std::string text = std::to_string(rows);
  text += " x ";
  text += std::to_string(cols);
  return text;
}

} // namespace detail

ACCRETE_END_NAMESPACE
