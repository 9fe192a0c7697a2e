// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>
#include <accrete/error.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#if __has_include(<unistd.h>)
#include <sys/stat.h>
#include <unistd.h>
#endif

ACCRETE_BEGIN_NAMESPACE

// Binary files of states: written as a whole or not at all, every read checked.
namespace detail {

class StateFile {
 public:
  /// `kind` names what the file holds in errors.
  StateFile(const char* kind, std::string path, const char* mode)
      : kind_(kind), path_(std::move(path)), file_(std::fopen(path_.c_str(), mode)) {
    if (file_ == nullptr) {
      fail("cannot be opened", errno);
    }
  }
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;
  ~StateFile() {
    if (file_ != nullptr) {
      std::fclose(file_);
    }
  }

  template <class T>
  void write(const T* values, Index count) {
    const auto size = static_cast<std::size_t>(count);
    if (size > 0 && std::fwrite(values, sizeof(T), size, file_) != size) {
      fail("cannot be written", errno);
    }
  }
  template <class T>
  void read(T* values, Index count) {
    const auto size = static_cast<std::size_t>(count);
    if (size > 0 && std::fread(values, sizeof(T), size, file_) != size) {
      fail("ends too early; it was cut or holds something else", 0);
    }
  }
  [[nodiscard]] std::int64_t size() {
    std::fseek(file_, 0, SEEK_END);
    const std::int64_t bytes = std::ftell(file_);
    std::rewind(file_);
    return bytes;
  }
  /// All bytes are on the device when this returns.
  void close() {
    int failed = std::fflush(file_);
#if __has_include(<unistd.h>)
    if (failed == 0 && ::fsync(::fileno(file_)) != 0 && errno != EINVAL && errno != EROFS) {
      failed = -1;
    }
#endif
    const int reason = errno;
    if (std::fclose(std::exchange(file_, nullptr)) != 0 || failed != 0) {
      fail("cannot be written", reason);
    }
  }
  [[noreturn]] void fail(const char* what, int reason) const {
    std::string text = kind_;
    text += " file " + path_ + " " + what;
    if (reason != 0) {
      text += ": ";
      text += std::strerror(reason);
    }
    ACCRETE_THROW Error(text);
  }

 private:
  const char* kind_;
  std::string path_;
  std::FILE* file_;
};

/// Where a file is to be written: what a link points to, so that the link stays.
struct StateFileTarget {
  std::string path;
  bool is_replaceable = true; ///< no device, pipe or the like, which are written to as they are

  explicit StateFileTarget(const std::string& name) : path(name) {
#if __has_include(<unistd.h>)
    if (char* real = ::realpath(name.c_str(), nullptr)) {
      path = real;
      std::free(real);
      struct stat status {};
      is_replaceable = ::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode);
    }
#endif
  }
};

/// Writes a file by write(StateFile&), atomically: an interrupted or failed write leaves what was
/// there. Through a link the file behind it is replaced; a device or a pipe is written to.
template <class Write>
void write_file(const char* kind, const std::string& path, const Write& write) {
  const StateFileTarget target(path);
  if (!target.is_replaceable) {
    StateFile file(kind, path, "wb");
    write(file);
    return file.close();
  }
  const std::string temporary = target.path + ".new";
  ACCRETE_TRY {
    StateFile file(kind, temporary, "wb");
    write(file);
    file.close();
  }
  ACCRETE_CATCH(...) {
    std::remove(temporary.c_str());
    ACCRETE_RETHROW;
  }
  if (std::rename(temporary.c_str(), target.path.c_str()) != 0) {
    const int reason = errno;
    std::remove(temporary.c_str());
    ACCRETE_THROW Error(std::string(kind) + " file " + path +
                        " cannot be replaced: " + std::strerror(reason));
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
