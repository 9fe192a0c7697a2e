// SPDX-License-Identifier: MIT
#pragma once

#include "app/files.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <sys/file.h>

namespace gpt {

inline constexpr const char* model_file = "model.safetensors";
inline constexpr const char* optimizer_file = "optimizer.safetensors";
inline constexpr const char* state_file = "state.json";

/// A folder of checkpoints, each a subfolder `step-00000250` with the three files above.
///
/// A checkpoint is written beside the others under another name, flushed and renamed; then the
/// link `latest` is replaced in one step. Whatever interrupts the writing, `latest` leads to a
/// complete checkpoint. The link `previous` leads to the one before; the one that it led to is
/// removed. Nothing else in the folder is touched. The three file names in the root are links
/// through `latest`.
class CheckpointStore {
 public:
  explicit CheckpointStore(fs::path root) : root_(std::move(root)) {}

  [[nodiscard]] const fs::path& root() const noexcept { return root_; }

  /// Folder of the newest complete checkpoint. The root may also be such a folder itself.
  [[nodiscard]] std::optional<fs::path> latest() const {
    std::error_code ignored;
    if (fs::is_regular_file(root_ / "latest" / state_file, ignored)) {
      const fs::path target = fs::read_symlink(root_ / "latest", ignored);
      return root_ / (target.empty() ? "latest" : target);
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

  /// Names in the root that the store writes.
  [[nodiscard]] static bool is_reserved(const std::string& name) {
    const auto names = {latest_link, previous_link, model_file, optimizer_file, state_file};
    return std::any_of(names.begin(), names.end(), [&](const char* own) { return name == own; });
  }

  /// Creates the folder and keeps other processes from writing checkpoints into it, as long as this
  /// object lives. To be called before `save`.
  /// @throws FileError when another one does, when something else has a name that save() needs, or
  /// when there is a checkpoint already and the caller does not go on from it or replace it
  void claim(bool may_hold_checkpoint) {
    create_folders(root_);
    lock_ = open_folder(root_);
    if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      throw FileError("train: another run writes its checkpoints into '" + root_.string() +
                      "'; wait for its end or choose another folder");
    }
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(root_, ignored)) {
      if (is_reserved(entry.path().filename().string()) && !entry.is_symlink(ignored)) {
        throw FileError("train: '" + entry.path().string() +
                        "' is no link of a checkpoint folder and would be replaced; choose another "
                        "folder, or the one above a single checkpoint");
      }
    }
    if (const auto folder = latest(); folder && !may_hold_checkpoint) {
      throw FileError("train: '" + root_.string() + "' holds the checkpoint '" +
                      folder->filename().string() +
                      "'; add --resume to continue it, --overwrite to start anew, or choose "
                      "another folder");
    }
  }

  /// Lets `write` fill a new folder, then makes it the latest checkpoint.
  /// @throws what `write` throws, and FileError; the previous checkpoint is then still the latest
  void save(long step, const std::function<void(const fs::path&)>& write) {
    create_folders(root_);
    const std::string oldest = target_of(previous_link);
    const std::string previous = target_of(latest_link);
    const std::string name = free_name(step);
    std::error_code ignored;
    try {
      fs::remove_all(unfinished(), ignored);
      create_folders(unfinished());
      write(unfinished());
      sync_folder(unfinished());
      rename_path(unfinished(), root_ / name);
      link(latest_link, name);
    } catch (...) {
      fs::remove_all(unfinished(), ignored);
      throw;
    }
    link_files();
    if (!previous.empty()) {
      link(previous_link, previous);
    }
    sync_folder(root_);
    if (!oldest.empty() && oldest != previous) {
      remove_checkpoint(root_ / oldest);
    }
  }

 private:
  static constexpr const char* latest_link = "latest";
  static constexpr const char* previous_link = "previous";

  /// What is being written; of a run that was killed meanwhile it stays until the next checkpoint.
  [[nodiscard]] fs::path unfinished() const { return root_ / ".unfinished"; }

  static std::string name_of(long step) {
    char text[32];
    std::snprintf(text, sizeof text, "step-%08ld", step);
    return text;
  }

  // A step can come again, after a resume or when another run uses the folder.
  [[nodiscard]] std::string free_name(long step) const {
    std::string name = name_of(step);
    std::error_code ignored;
    for (int again = 1; fs::exists(fs::symlink_status(root_ / name, ignored)); ++again) {
      name = name_of(step) + "-" + std::to_string(again);
    }
    return name;
  }

  /// The checkpoint in the root that a link leads to; empty when there is none.
  [[nodiscard]] std::string target_of(const char* link) const {
    std::error_code ignored;
    const fs::path target = fs::read_symlink(root_ / link, ignored);
    const bool inside = !target.empty() && target == target.filename() &&
                        fs::is_directory(fs::symlink_status(root_ / target, ignored));
    return inside ? target.string() : "";
  }

  void link(const fs::path& name, const fs::path& target) const {
    ::unlink(unfinished().c_str());
    if (::symlink(target.c_str(), unfinished().c_str()) != 0) {
      detail::throw_file_error("linking", root_ / name, errno);
    }
    rename_path(unfinished(), root_ / name);
  }

  void link_files() const {
    for (const char* file : {model_file, optimizer_file, state_file}) {
      if (!fs::is_symlink(root_ / file)) {
        link(file, fs::path(latest_link) / file);
      }
    }
  }

  /// A folder that holds other files as well stays.
  static void remove_checkpoint(const fs::path& folder) {
    for (const char* file : {model_file, optimizer_file, state_file}) {
      ::unlink((folder / file).c_str());
    }
    ::rmdir(folder.c_str());
  }

  fs::path root_;
  FileDescriptor lock_;
};

} // namespace gpt
