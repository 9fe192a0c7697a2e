// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

// Compiled without exceptions, an error prints its message and ends the program.
#ifdef __cpp_exceptions
#define ACCRETE_THROW throw
#define ACCRETE_RETHROW throw
#define ACCRETE_TRY try
#define ACCRETE_CATCH(...) catch (__VA_ARGS__)
#else
#define ACCRETE_THROW ::accrete::detail::Abort() =
#define ACCRETE_RETHROW static_cast<void>(0)
#define ACCRETE_TRY if (true)
#define ACCRETE_CATCH(...) else
#endif

ACCRETE_BEGIN_NAMESPACE

/// Base of every exception that the library throws. Their texts begin with "accrete: ".
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& text) : std::runtime_error("accrete: " + text) {}
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

struct Abort {
  template <class Exception>
  [[noreturn]] void operator=(const Exception& error) const noexcept {
    std::fprintf(stderr, "%s\n", error.what());
    std::abort();
  }
};

inline std::string shape_text(Index rows, Index cols) {
  std::string text = std::to_string(rows);
  text += " x ";
  text += std::to_string(cols);
  return text;
}

} // namespace detail

ACCRETE_END_NAMESPACE
