// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"

#include <cstdlib>
#include <string>
#include <string_view>

namespace gpt::test {

/// A folder that lives as long as this object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "gpt-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      gpt::detail::throw_file_error("creating a folder like", pattern, errno);
    }
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  [[nodiscard]] const fs::path& path() const noexcept { return path_; }
  [[nodiscard]] fs::path operator/(std::string_view name) const { return path_ / name; }

 private:
  fs::path path_;
};

inline void write_text(const fs::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.finish();
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
