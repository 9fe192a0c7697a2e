// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/incremental_svd_state.hpp>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#if __has_include(<unistd.h>)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail {

// The file: a header of 8-byte numbers in the machine's byte order, then singular values (double),
// U and V (Scalar, column-major), and the header's magic number again.
struct SvdFileHeader {
  static constexpr std::uint64_t magic_number = 0x3144565345524341ULL; // "ACRESVD1"

  std::uint64_t magic = magic_number;
  std::int64_t scalar_bytes = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t rank = 0;
  std::int64_t max_rank = 0;
  double tolerance = 0;
  std::int64_t keep_v = 0;
  std::int64_t check_every = 0;
  std::int64_t updates = 0;
  double settled_error = 0;
  double run_error = 0;
  std::int64_t run = 0;
};

/// A device, FIFO or socket: something that a file must not replace.
inline bool is_special(const std::string& path) {
#if __has_include(<unistd.h>)
  struct stat status {};
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
    const bool alone = name.front() == '/' || folder == std::string::npos;
    path = alone ? name : path.substr(0, folder + 1) + name;
  }
#endif
  return path;
}

class SvdFile {
 public:
  /// @throws Error when the file cannot be read, and for a device or FIFO, which has no size.
  static SvdFile reading(const std::string& path) {
    if (is_special(path)) {
      throw Error("IncrementalSVD file " + path + " is a device or FIFO; name a file");
    }
    return SvdFile(path, std::fopen(path.c_str(), "rb"));
  }
  /// A file that did not exist before, named after `path`.
  static SvdFile beside(const std::string& path) {
    std::string name = path + ".new";
    std::FILE* file = std::fopen(name.c_str(), "wbx");
    for (int again = 1; file == nullptr && errno == EEXIST; ++again) {
      name = path + ".new" + std::to_string(again);
      file = std::fopen(name.c_str(), "wbx");
    }
    return SvdFile(std::move(name), file);
  }
  /// A device or FIFO. @throws Error for a FIFO that nobody reads, which would wait for a reader.
  static SvdFile into_special(const std::string& path) {
    std::FILE* file = nullptr;
#if __has_include(<unistd.h>)
    const int fd = ::open(path.c_str(), O_WRONLY | O_NONBLOCK);
    if (fd < 0 && errno == ENXIO) {
      throw Error("IncrementalSVD file " + path +
                  " is a FIFO that nobody reads; start its reader "
                  "first");
    }
    if (fd >= 0) {
      ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
      file = ::fdopen(fd, "wb");
    }
#endif
    return SvdFile(path, file);
  }

  SvdFile(const SvdFile&) = delete;
  SvdFile& operator=(const SvdFile&) = delete;
  ~SvdFile() {
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
      fail("ends too early; it was cut or is no IncrementalSVD", 0);
    }
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
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
    std::string text = "IncrementalSVD file " + path_ + " " + what;
    if (reason != 0) {
      text += ": ";
      text += std::strerror(reason);
    }
    throw Error(text);
  }

 private:
  SvdFile(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {
    if (file_ == nullptr) {
      fail("cannot be opened", errno);
    }
  }

  std::string path_;
  std::FILE* file_;
};

template <class Scalar>
void write_svd(SvdFile& file, const IncrementalSvdState<Scalar>& state) {
  SvdFileHeader header;
  header.scalar_bytes = sizeof(Scalar);
  header.rows = state.U.rows();
  header.cols = state.cols;
  header.rank = state.U.cols();
  header.max_rank = state.options.max_rank;
  header.tolerance = state.options.tolerance;
  header.keep_v = state.options.keep_v ? 1 : 0;
  header.check_every = state.options.check_every;
  header.updates = state.updates;
  header.settled_error = state.settled_error;
  header.run_error = state.run_error;
  header.run = state.run;
  file.write(&header, 1);
  file.write(state.values.data(), header.rank);
  file.write(state.U.data(), state.U.size());
  file.write(state.V.data(), state.V.size());
  file.write(&header.magic, 1);
}

/// Every number of the header is one that write_svd() writes.
inline bool is_sound(const SvdFileHeader& header) {
  return (header.keep_v == 0 || header.keep_v == 1) && header.run >= 0 && header.run <= 2;
}

/// The sizes in the header account for every byte of the file.
inline bool sizes_fit(const SvdFileHeader& header, std::int64_t file_bytes) {
  constexpr std::int64_t most = std::int64_t{1} << 40; // no product below overflows a double
  if (header.rows < 0 || header.cols < 0 || header.rank < 0 || header.rows > most ||
      header.cols > most || header.rank > most) {
    return false;
  }
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double entries =
      number(header.rank) * (number(header.rows) + (header.keep_v != 0 ? number(header.cols) : 0));
  return number(file_bytes) == number(sizeof(header) + sizeof(header.magic)) +
                                   8 * number(header.rank) + number(header.scalar_bytes) * entries;
}

} // namespace detail

/// Writes a state to a file, atomically: an interrupted or failed write leaves what was there.
/// `svd.state()` gives the state. The file is for machines of the same byte order. Through a
/// symbolic link its target is replaced; a device or FIFO is written as it is.
/// @throws Error with the system's reason, ShapeError, RankError, NumericError for a damaged state.
template <class Scalar>
void save(const IncrementalSvdState<Scalar>& state, const std::string& path) {
  state.validate();
  if (detail::is_special(path)) {
    auto file = detail::SvdFile::into_special(path);
    detail::write_svd(file, state);
    return file.close();
  }
  const std::string target = detail::target_of(path);
  auto file = detail::SvdFile::beside(target);
  const std::string temporary = file.path();
  try {
    detail::write_svd(file, state);
    file.close();
  } catch (...) {
    std::remove(temporary.c_str());
    throw;
  }
  if (std::rename(temporary.c_str(), target.c_str()) != 0) {
    const int reason = errno;
    std::remove(temporary.c_str());
    throw Error("IncrementalSVD file " + path + " cannot be replaced: " + std::strerror(reason));
  }
}

/// Reads what save() wrote: `IncrementalSVD<double> svd(load_incremental_svd<double>(path))`.
/// Sizes, finiteness, the order of the values and the orthonormality of U and V are checked.
/// @throws Error for a missing, cut, damaged or foreign file, or one of another scalar.
template <class Scalar>
[[nodiscard]] IncrementalSvdState<Scalar> load_incremental_svd(const std::string& path) {
  auto file = detail::SvdFile::reading(path);
  const std::int64_t bytes = file.size();
  detail::SvdFileHeader header;
  file.read(&header, 1);
  if (header.magic != detail::SvdFileHeader::magic_number) {
    file.fail("is no IncrementalSVD, or of a machine of another byte order", 0);
  }
  if (header.scalar_bytes != static_cast<std::int64_t>(sizeof(Scalar))) {
    file.fail("holds another scalar; load it as float or double, as it was saved", 0);
  }
  if (!detail::is_sound(header)) {
    file.fail("holds numbers that no IncrementalSVD has; it is damaged", 0);
  }
  if (!detail::sizes_fit(header, bytes)) {
    file.fail("has another length than its header says; it was cut or damaged", 0);
  }
  IncrementalSvdState<Scalar> state;
  state.options = {.max_rank = static_cast<Index>(header.max_rank),
                   .tolerance = header.tolerance,
                   .keep_v = header.keep_v != 0,
                   .check_every = static_cast<Index>(header.check_every)};
  state.cols = static_cast<Index>(header.cols);
  state.values.resize(static_cast<std::size_t>(header.rank));
  state.U.resize(header.rows, header.rank);
  state.V.resize(header.keep_v != 0 ? header.cols : 0, header.keep_v != 0 ? header.rank : 0);
  state.updates = static_cast<Index>(header.updates);
  state.settled_error = header.settled_error;
  state.run_error = header.run_error;
  state.run = static_cast<int>(header.run);
  std::uint64_t end = 0;
  file.read(state.values.data(), header.rank);
  file.read(state.U.data(), state.U.size());
  file.read(state.V.data(), state.V.size());
  file.read(&end, 1);
  if (end != detail::SvdFileHeader::magic_number) {
    file.fail("does not end as an IncrementalSVD does; it is damaged", 0);
  }
  state.validate();
  return state;
}

ACCRETE_END_NAMESPACE
