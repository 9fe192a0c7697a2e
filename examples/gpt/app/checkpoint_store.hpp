// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"

#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace gpt {

inline constexpr const char* model_file = "model.safetensors";
inline constexpr const char* optimizer_file = "optimizer.safetensors";
inline constexpr const char* state_file = "state.json";

/// A folder of checkpoints, each a subfolder `step-00000250` with the three files above.
///
/// A checkpoint is written beside the others under another name, flushed and renamed; then the
/// link `latest` is replaced in one step. Whatever interrupts the writing, `latest` leads to a
/// complete checkpoint. The one before it is kept, older ones are removed. The three file names
/// in the root are links through `latest`.
class CheckpointStore {
 public:
  explicit CheckpointStore(fs::path root) : root_(std::move(root)) {}

  [[nodiscard]] const fs::path& root() const noexcept { return root_; }

  /// Folder of the newest complete checkpoint. The root may also be such a folder itself.
  [[nodiscard]] std::optional<fs::path> latest() const {
    std::error_code ignored;
    if (fs::is_regular_file(root_ / "latest" / state_file, ignored)) {
      return root_ / fs::read_symlink(root_ / "latest");
    }
    if (fs::is_regular_file(root_ / state_file, ignored)) {
      return root_;
    }
    return std::nullopt;
  }

  /// As `latest`. @throws FileError when there is none
  [[nodiscard]] fs::path require_latest() const {
    if (const auto folder = latest()) {
      return *folder;
    }
    std::error_code ignored;
    const bool exists = fs::exists(root_, ignored);
    throw FileError("opening the checkpoint '" + root_.string() + "': " +
                    (exists ? "the folder holds no checkpoint" : "there is no such folder") +
                    "; name a folder that 'gpt train --checkpoint' wrote");
  }

  /// Lets `write` fill a new folder, then makes it the latest checkpoint.
  /// @throws what `write` throws, and FileError; the previous checkpoint is then still the latest
  void save(long step, const std::function<void(const fs::path&)>& write) {
    create_folders(root_);
    const fs::path temporary = root_ / (name_of(step) + ".tmp");
    const std::optional<fs::path> previous = latest();
    const std::string name = free_name(step);
    std::error_code ignored;
    try {
      fs::remove_all(temporary, ignored);
      create_folders(temporary);
      write(temporary);
      sync_folder(temporary);
      rename_path(temporary, root_ / name);
      link("latest", name);
    } catch (...) {
      fs::remove_all(temporary, ignored);
      throw;
    }
    link_files();
    sync_folder(root_);
    remove_others(name, previous ? previous->filename().string() : name);
  }

 private:
  static std::string name_of(long step) {
    char text[32];
    std::snprintf(text, sizeof text, "step-%08ld", step);
    return text;
  }

  // A step can come again, after a resume or when another run uses the folder.
  [[nodiscard]] std::string free_name(long step) const {
    std::string name = name_of(step);
    for (int again = 1; fs::exists(root_ / name); ++again) {
      name = name_of(step) + "-" + std::to_string(again);
    }
    return name;
  }

  void link(const fs::path& name, const fs::path& target) const {
    const fs::path temporary = root_ / (name.string() + ".tmp");
    ::unlink(temporary.c_str());
    if (::symlink(target.c_str(), temporary.c_str()) != 0) {
      detail::throw_file_error("linking", temporary, errno);
    }
    rename_path(temporary, root_ / name);
  }

  void link_files() const {
    for (const char* file : {model_file, optimizer_file, state_file}) {
      if (!fs::is_symlink(root_ / file)) {
        link(file, fs::path("latest") / file);
      }
    }
  }

  void remove_others(const std::string& newest, const std::string& previous) const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(root_, ignored)) {
      const std::string name = entry.path().filename().string();
      if (name.rfind("step-", 0) == 0 && name != newest && name != previous) {
        fs::remove_all(entry.path(), ignored);
      }
    }
  }

  fs::path root_;
};

} // namespace gpt
