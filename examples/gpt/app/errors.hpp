// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/error.hpp>

namespace gpt {

/// A file that cannot be read or written, or that is not what its name promises.
class FileError : public accrete::Error {
 public:
  using Error::Error;
};

/// A field of a file that is missing or holds what it must not.
class FieldError : public accrete::Error {
 public:
  using Error::Error;
};

/// A text that cannot serve as training data, or a character outside the vocabulary.
class TextError : public accrete::Error {
 public:
  using Error::Error;
};

} // namespace gpt
