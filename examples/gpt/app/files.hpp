// SPDX-License-Identifier: MIT
#pragma once

#include "app/errors.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gpt {

namespace fs = std::filesystem;

namespace detail {

inline std::string remedy_of(int code) {
  switch (code) {
  case ENOSPC:
  case EDQUOT:
    return "; free some space or choose another folder";
  case EFBIG:
    return "; raise the limit on file sizes (ulimit -f)";
  case EACCES:
  case EPERM:
  case EROFS:
    return "; check the permissions or choose another path";
  case ENOENT:
    return "; check the path";
  case EPIPE:
    return "; the program that read from it has ended";
  default:
    return "";
  }
}

[[noreturn]] inline void throw_file_error(const std::string& operation, const fs::path& path,
                                          int code) {
  throw FileError(operation + " '" + path.string() + "': " + std::strerror(code) + remedy_of(code));
}

} // namespace detail

/// Owner of a POSIX file descriptor; -1 is none.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

namespace detail {

inline void say_waiting(const char* what, const fs::path& path) {
  std::fprintf(stderr, "gpt: waiting for another program to %s '%s'\n", what, path.c_str());
}

inline bool leads_to_fifo(const fs::path& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
}

/// Reads and writes may wait again, after an open that did not.
inline void let_wait(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK); }

/// A FIFO waits for its other end, as everywhere, but says so.
inline FileDescriptor open_to_write(const fs::path& path, int flags) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | flags, 0644);
  if (fd < 0 && errno == ENXIO && leads_to_fifo(path)) {
    say_waiting("read from", path);
    fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  }
  if (fd < 0) {
    throw_file_error("opening for writing", path, errno);
  }
  let_wait(fd);
  return FileDescriptor(fd);
}

inline FileDescriptor open_to_read(const fs::path& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    throw_file_error("opening", path, errno);
  }
  if (leads_to_fifo(path)) {
    constexpr int patience = 200; // ms
    ::pollfd end{file.get(), POLLIN, 0};
    if (::poll(&end, 1, patience) == 0) {
      say_waiting("write into", path);
      ::poll(&end, 1, -1);
    }
  }
  let_wait(file.get());
  return file;
}

} // namespace detail

/// A file being written; every failure, a full disk among them, is a FileError. Links are followed,
/// and devices and FIFOs stay what they are.
class OutputFile {
 public:
  enum class Mode : unsigned char { replace, append };

  explicit OutputFile(fs::path path, Mode mode = Mode::replace)
      : path_(std::move(path)),
        file_(detail::open_to_write(path_,
                                    O_CREAT | O_APPEND | (mode == Mode::replace ? O_TRUNC : 0))) {}

  void write(const void* data, std::size_t size) {
    const char* next = static_cast<const char*>(data);
    while (size > 0) {
      const ::ssize_t written = ::write(file_.get(), next, size);
      if (written < 0 && errno == EINTR) {
        continue;
      }
      if (written < 0) {
        detail::throw_file_error("writing", path_, errno);
      }
      next += written;
      size -= static_cast<std::size_t>(written);
    }
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Flushes to the device and closes, so that a rename afterwards publishes complete contents.
  void finish() {
    if (::fsync(file_.get()) != 0 && errno != EINVAL && errno != EROFS) {
      detail::throw_file_error("flushing", path_, errno);
    }
    if (::close(file_.release()) != 0) {
      detail::throw_file_error("closing", path_, errno);
    }
  }

  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  fs::path path_;
  FileDescriptor file_;
};

/// A file being read at chosen positions.
class InputFile {
 public:
  explicit InputFile(fs::path path) : path_(std::move(path)), file_(detail::open_to_read(path_)) {
    struct stat status{};
    if (::fstat(file_.get(), &status) != 0) {
      detail::throw_file_error("reading", path_, errno);
    }
    if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode)) {
      throw FileError("reading '" + path_.string() + "': it is a " +
                      (S_ISDIR(status.st_mode) ? "folder" : "device") + "; name a file");
    }
    size_ = static_cast<std::size_t>(status.st_size);
  }

  /// Size at opening, in bytes; 0 for pipes.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

  void read_at(std::size_t position, void* data, std::size_t size) const {
    char* next = static_cast<char*>(data);
    while (size > 0) {
      const ::ssize_t count = ::pread(file_.get(), next, size, static_cast<::off_t>(position));
      if (count < 0 && errno == EINTR) {
        continue;
      }
      if (count < 0) {
        detail::throw_file_error("reading", path_, errno);
      }
      if (count == 0) {
        throw FileError("reading '" + path_.string() + "': the file ends at byte " +
                        std::to_string(position) + ", " + std::to_string(size) +
                        " bytes too early; it was cut off");
      }
      next += count;
      position += static_cast<std::size_t>(count);
      size -= static_cast<std::size_t>(count);
    }
  }

  /// Everything from the current position on, also of pipes, which may have no end.
  /// @throws FileError for a pipe out of which more than `most` bytes come
  [[nodiscard]] std::string read_all(std::size_t most = std::size_t{1} << 30) const {
    std::string text;
    text.reserve(size_);
    char buffer[1 << 16];
    for (;;) {
      const ::ssize_t count = ::read(file_.get(), buffer, sizeof buffer);
      if (count < 0 && errno == EINTR) {
        continue;
      }
      if (count < 0) {
        detail::throw_file_error("reading", path_, errno);
      }
      if (count == 0) {
        return text;
      }
      text.append(buffer, static_cast<std::size_t>(count));
      if (text.size() > (std::max)(most, size_)) {
        throw FileError("reading '" + path_.string() + "': more than " + std::to_string(most) +
                        " bytes come out of it; write them to a file and name that");
      }
    }
  }

 private:
  fs::path path_;
  FileDescriptor file_;
  std::size_t size_ = 0;
};

[[nodiscard]] inline FileDescriptor open_folder(const fs::path& folder) {
  FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) {
    detail::throw_file_error("opening the folder", folder, errno);
  }
  return fd;
}

/// Makes renames and new names inside `folder` durable.
inline void sync_folder(const fs::path& folder) {
  const FileDescriptor fd = open_folder(folder);
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != EROFS) {
    detail::throw_file_error("flushing the folder", folder, errno);
  }
}

inline void create_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    detail::throw_file_error("creating the folder", folder, error.value());
  }
}

inline void rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    detail::throw_file_error("renaming to", to, errno);
  }
}

} // namespace gpt
