// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"
#include "temporary_folder.hpp"

#include <string>
#include <string_view>

namespace gpt::test {

inline void write_text(const fs::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.finish();
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// The message of the `Exception` that the call throws; empty when it throws none.
template <class Exception, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  return "";
}

/// Text that a small model can learn: `size` characters of repeated sentences.
inline std::string sample_text(std::size_t size) {
  const std::string_view sentence = "The quick brown fox jumps over the lazy dog; why not?\n";
  std::string text;
  while (text.size() < size) {
    text += sentence.substr(text.size() % 7);
  }
  text.resize(size);
  return text;
}

} // namespace gpt::test
