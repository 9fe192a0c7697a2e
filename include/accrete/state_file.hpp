// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>
#include <accrete/error.hpp>
#include <accrete/finite.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#if __has_include(<unistd.h>)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

ACCRETE_BEGIN_NAMESPACE

// Binary files of states: written as a whole or not at all, every read checked.
namespace detail {

/// A device, FIFO or socket: something that a file must not replace.
inline bool is_special(const std::string& path) {
#if __has_include(<unistd.h>)
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
#else
  static_cast<void>(path);
  return false;
#endif
}

/// Where the symbolic link `path` leads to, which may not exist yet; else `path`.
inline std::string target_of(std::string path) {
#if __has_include(<unistd.h>)
  char target[4096];
  constexpr int most_links = 40; // as the system's own limit
  for (int links = 0; links < most_links; ++links) {
    const ::ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    if (length <= 0) {
      break;
    }
    const std::string name(target, static_cast<std::size_t>(length));
    const std::size_t folder = path.rfind('/');
    path.resize(name.front() == '/' || folder == std::string::npos ? 0 : folder + 1);
    path += name;
  }
#endif
  return path;
}

class StateFile {
 public:
  /// `kind` names what the file holds in errors.
  /// @throws Error when the file cannot be read, and for a device or FIFO, which has no size.
  static StateFile reading(const char* kind, const std::string& path) {
    if (is_special(path)) {
      ACCRETE_THROW Error(std::string(kind) + " file " + path +
                          " is a device or FIFO; name a file");
    }
    return StateFile(kind, path, std::fopen(path.c_str(), "rb"));
  }
  /// A file that did not exist before, named after `path`.
  static StateFile beside(const char* kind, const std::string& path) {
    std::string name = path + ".new";
    std::FILE* file = std::fopen(name.c_str(), "wbx");
    for (int again = 1; file == nullptr && errno == EEXIST; ++again) {
      name = path + ".new" + std::to_string(again);
      file = std::fopen(name.c_str(), "wbx");
    }
    return StateFile(kind, std::move(name), file);
  }
  /// A device or FIFO. @throws Error for a FIFO that nobody reads, which would wait for a reader.
  static StateFile into_special(const char* kind, const std::string& path) {
    std::FILE* file = nullptr;
#if __has_include(<unistd.h>)
    const int fd = ::open(path.c_str(), O_WRONLY | O_NONBLOCK);
    if (fd < 0 && errno == ENXIO) {
      ACCRETE_THROW Error(std::string(kind) + " file " + path +
                          " is a FIFO that nobody reads; start its reader first");
    }
    if (fd >= 0) {
      ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
      file = ::fdopen(fd, "wb");
    }
#endif
    return StateFile(kind, path, file);
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
      if (std::ferror(file_) != 0) {
        fail("cannot be read", errno);
      }
      fail("ends too early; it was cut or holds something else");
    }
  }
  [[nodiscard]] const char* kind() const noexcept { return kind_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// In bytes, of a file of which nothing has been read yet.
  [[nodiscard]] std::int64_t size() {
    const std::int64_t bytes = std::fseek(file_, 0, SEEK_END) == 0 ? std::ftell(file_) : -1;
    if (bytes < 0 || std::fseek(file_, 0, SEEK_SET) != 0) {
      fail("has no size", errno);
    }
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
  /// `reason` is the system's, where it has one.
  [[noreturn]] void fail(const std::string& what, int reason = 0) const {
    std::string text = kind_;
    text += " file " + path_ + ' ' + what;
    if (reason != 0) {
      text += ": ";
      text += std::strerror(reason);
    }
    ACCRETE_THROW Error(text);
  }

 private:
  StateFile(const char* kind, std::string path, std::FILE* file)
      : kind_(kind), path_(std::move(path)), file_(file) {
    if (file_ == nullptr) {
      fail("cannot be opened", errno);
    }
  }

  const char* kind_;
  std::string path_;
  std::FILE* file_;
};

/// What every file begins with, in the machine's byte order. The header of a kind of file derives
/// from it, is written as it lies in memory, and has
///   is_sound()        its numbers are some that this library writes,
///   content_bytes()   of what follows it, as a double: the sizes may be any.
struct StateFileHeader {
  std::uint64_t magic = 0;
  std::int64_t scalar_bytes = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t rank = 0;

  [[nodiscard]] bool has_sizes() const noexcept {
    constexpr std::int64_t most = std::int64_t{1} << 40; // no product of two overflows a double
    return rows >= 0 && cols >= 0 && rank >= 0 && rows <= most && cols <= most && rank <= most;
  }
};

/// The header of a file of matrices of Scalar, whose sizes account for every byte.
/// @throws Error
template <class Header, class Scalar>
Header read_header(StateFile& file, std::uint64_t magic) {
  static_assert(std::is_floating_point_v<Scalar>,
                "accrete: files are loaded as float or double, as they were saved");
  const std::int64_t bytes = file.size();
  Header header;
  file.read(&header, 1);
  if (header.magic != magic) {
    file.fail(std::string("is no ") + file.kind() + ", or of a machine of another byte order");
  }
  if (header.scalar_bytes != static_cast<std::int64_t>(sizeof(Scalar))) {
    file.fail("holds another scalar; load it as float or double, as it was saved");
  }
  if (!header.is_sound()) {
    file.fail(std::string("has numbers that no ") + file.kind() + " has; it is damaged");
  }
  if (!header.has_sizes() ||
      static_cast<double>(bytes) != sizeof(Header) + header.content_bytes() + sizeof(magic)) {
    file.fail("has another length than its header says; it was cut or damaged");
  }
  return header;
}

/// Reads the matrices behind the header, column-major, and the end of the file. @throws Error
template <class... Matrix>
void read_matrices(StateFile& file, std::uint64_t magic, Matrix&... matrices) {
  (file.read(matrices.data(), matrices.size()), ...);
  if (!(all_finite(matrices.data(), matrices.size()) && ...)) {
    file.fail("holds NaN or infinity; it is damaged");
  }
  std::uint64_t end = 0;
  file.read(&end, 1);
  if (end != magic) {
    file.fail("does not end as it has to; it is damaged");
  }
}

/// Writes a file by write(StateFile&), atomically: an interrupted or failed write leaves what was
/// there. Through a link the file behind it is replaced; a device or a pipe is written to.
template <class Write>
void write_file(const char* kind, const std::string& path, const Write& write) {
  if (is_special(path)) {
    StateFile file = StateFile::into_special(kind, path);
    write(file);
    return file.close();
  }
  const std::string target = target_of(path);
  StateFile file = StateFile::beside(kind, target);
  const std::string temporary = file.path();
  ACCRETE_TRY {
    write(file);
    file.close();
  }
  ACCRETE_CATCH(...) {
    std::remove(temporary.c_str());
    ACCRETE_RETHROW;
  }
  if (std::rename(temporary.c_str(), target.c_str()) != 0) {
    const int reason = errno;
    std::remove(temporary.c_str());
    ACCRETE_THROW Error(std::string(kind) + " file " + path +
                        " cannot be replaced: " + std::strerror(reason));
  }
}

/// Writes header, matrices and the magic number again, as write_file().
template <class Header, class... Matrix>
void write_matrices(const char* kind, const std::string& path, const Header& header,
                    const Matrix&... matrices) {
  write_file(kind, path, [&](StateFile& file) {
    file.write(&header, 1);
    (file.write(matrices.data(), matrices.size()), ...);
    file.write(&header.magic, 1);
  });
}

} // namespace detail

ACCRETE_END_NAMESPACE
