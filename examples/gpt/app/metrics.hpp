// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <optional>
#include <string>

namespace gpt {

/// Numbers that JSON cannot hold (NaN, infinity) become null.
[[nodiscard]] inline nlohmann::ordered_json number_or_null(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

/// A JSON Lines file of training records; without a path, nothing is written.
class MetricsFile {
 public:
  MetricsFile() = default;

  /// Starts the file anew, or keeps the records up to `keep_until` and appends after them: what a
  /// killed run wrote after its last checkpoint comes again. @throws FileError
  MetricsFile(const fs::path& path, std::optional<long> keep_until) {
    if (path.empty()) {
      return;
    }
    if (path.has_parent_path()) {
      create_folders(path.parent_path());
    }
    if (keep_until && fs::exists(path)) {
      write_atomically(path, records_until(InputFile(path).read_all(), *keep_until));
      file_.emplace(path, OutputFile::Mode::append);
    } else {
      file_.emplace(path);
    }
  }

  /// One line, written at once, so that a reader sees whole records.
  void write(const nlohmann::ordered_json& record) {
    if (file_) {
      file_->write(record.dump() + "\n");
    }
  }

 private:
  static std::string records_until(const std::string& text, long step) {
    std::string kept;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      if (end == std::string::npos) {
        break;
      }
      const std::string line = text.substr(begin, end - begin);
      const auto record = nlohmann::json::parse(line, nullptr, false);
      const bool valid = record.is_object() && record.contains("step") &&
                         record["step"].is_number_integer() && !record.value("final", false);
      if (valid && record["step"].get<long>() <= step) {
        kept += line + "\n";
      }
      begin = end + 1;
    }
    return kept;
  }

  std::optional<OutputFile> file_;
};

} // namespace gpt
