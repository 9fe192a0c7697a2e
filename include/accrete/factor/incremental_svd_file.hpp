// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/incremental_svd_state.hpp>
#include <accrete/state_file.hpp>

#include <cstdint>
#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

// The file: a header of 8-byte numbers in the machine's byte order, then singular values (double),
// U and V (Scalar, column-major), and the header's magic number again.
struct SVDFileHeader {
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

template <class Scalar>
void write_svd(StateFile& file, const IncrementalSVDState<Scalar>& state) {
  SVDFileHeader header;
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
  file.write(state.singular_values.data(), header.rank);
  file.write(state.U.data(), state.U.size());
  file.write(state.V.data(), state.V.size());
  file.write(&header.magic, 1);
}

/// Every number of the header is one that write_svd() writes.
inline bool is_sound(const SVDFileHeader& header) {
  return (header.keep_v == 0 || header.keep_v == 1) && header.run >= 0 && header.run <= 2;
}

/// The sizes in the header account for every byte of the file.
inline bool sizes_fit(const SVDFileHeader& header, std::int64_t file_bytes) {
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
/// Through a link the file behind it is replaced; a device or a pipe is written to.
/// `svd.state()` gives the state. The file is for machines of the same byte order.
/// @throws Error with the system's reason, ShapeError, RankError, NumericError for a damaged state.
template <class Scalar>
void save(const IncrementalSVDState<Scalar>& state, const std::string& path) {
  state.validate();
  detail::write_file("IncrementalSVD", path,
                     [&](detail::StateFile& file) { detail::write_svd(file, state); });
}

/// Reads what save() wrote: `IncrementalSVD<double> svd(load_incremental_svd<double>(path))`.
/// Sizes, finiteness, the order of the values and the orthonormality of U and V are checked.
/// @throws Error for a missing, cut, damaged or foreign file, or one of another scalar.
template <class Scalar>
[[nodiscard]] IncrementalSVDState<Scalar> load_incremental_svd(const std::string& path) {
  detail::StateFile file("IncrementalSVD", path, "rb");
  const std::int64_t bytes = file.size();
  detail::SVDFileHeader header;
  file.read(&header, 1);
  if (header.magic != detail::SVDFileHeader::magic_number) {
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
  IncrementalSVDState<Scalar> state;
  state.options = {.max_rank = Index{header.max_rank},
                   .tolerance = header.tolerance,
                   .keep_v = header.keep_v != 0,
                   .check_every = Index{header.check_every}};
  state.cols = Index{header.cols};
  state.singular_values.resize(header.rank);
  state.U.resize(header.rows, header.rank);
  state.V.resize(header.keep_v != 0 ? header.cols : 0, header.keep_v != 0 ? header.rank : 0);
  state.updates = Index{header.updates};
  state.settled_error = header.settled_error;
  state.run_error = header.run_error;
  state.run = static_cast<int>(header.run);
  std::uint64_t end = 0;
  file.read(state.singular_values.data(), header.rank);
  file.read(state.U.data(), state.U.size());
  file.read(state.V.data(), state.V.size());
  file.read(&end, 1);
  if (end != detail::SVDFileHeader::magic_number) {
    file.fail("does not end as an IncrementalSVD does; it is damaged", 0);
  }
  state.validate();
  return state;
}

ACCRETE_END_NAMESPACE
