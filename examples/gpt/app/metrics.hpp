// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace gpt {

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
    std::error_code ignored;
    if (keep_until && fs::is_regular_file(path, ignored)) {
      cut(path, *keep_until);
    }
    file_.emplace(path, keep_until ? OutputFile::Mode::append : OutputFile::Mode::replace);
  }

  /// One line, written at once, so that a reader sees whole records.
  void write(const nlohmann::ordered_json& record) {
    if (file_) {
      file_->write(record.dump() + "\n");
    }
  }

 private:
  static bool is_kept(const std::string& line, long step) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    return record.is_object() && record.contains("step") && record["step"].is_number_integer() &&
           record["step"].get<double>() <= static_cast<double>(step) && !record.contains("final");
  }

  /// Ends the file behind the last record that is kept.
  static void cut(const fs::path& path, long step) {
    const std::string text = InputFile(path).read_all();
    std::size_t kept = 0;
    for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      if (is_kept(text.substr(begin, end - begin), step)) {
        kept = end + 1;
      }
    }
    if (kept < text.size() && ::truncate(path.c_str(), static_cast<::off_t>(kept)) != 0) {
      detail::throw_file_error("shortening", path, errno);
    }
  }

  std::optional<OutputFile> file_;
};

} // namespace gpt
