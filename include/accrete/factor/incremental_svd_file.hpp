// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/incremental_svd_state.hpp>
#include <accrete/state_file.hpp>

#include <cstdint>
#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Followed by the singular values (double), U and V (Scalar).
struct SVDFileHeader : StateFileHeader {
  static constexpr std::uint64_t magic_number = 0x3144565345524341ULL; // "ACRESVD1"

  std::int64_t max_rank = 0;
  double tolerance = 0;
  std::int64_t keep_v = 0;
  std::int64_t check_every = 0;
  std::int64_t updates = 0;
  double settled_error = 0;
  double run_error = 0;
  std::int64_t run = 0;

  [[nodiscard]] bool is_sound() const noexcept {
    return (keep_v == 0 || keep_v == 1) && run >= 0 && run <= 2;
  }
  [[nodiscard]] double content_bytes() const noexcept {
    const auto vectors = static_cast<double>(rows + keep_v * cols);
    return static_cast<double>(rank) * (8 + static_cast<double>(scalar_bytes) * vectors);
  }
};

template <class Scalar>
SVDFileHeader header_of(const IncrementalSVDState<Scalar>& state) {
  SVDFileHeader header;
  header.magic = SVDFileHeader::magic_number;
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
  return header;
}

} // namespace detail

/// Writes a state to a file, atomically: an interrupted or failed write leaves what was there.
/// Through a link the file behind it is replaced; a device or a pipe is written to.
/// `svd.state()` gives the state. The file is for machines of the same byte order.
/// @throws Error with the system's reason, ShapeError, RankError, NumericError for a damaged state.
template <class Scalar>
void save(const IncrementalSVDState<Scalar>& state, const std::string& path) {
  state.validate();
  detail::write_matrices("IncrementalSVD", path, detail::header_of(state), state.singular_values,
                         state.U, state.V);
}

/// Reads what save() wrote: `IncrementalSVD<double> svd(load_incremental_svd<double>(path))`.
/// Sizes, finiteness, the order of the values and the orthonormality of U and V are checked.
/// @throws Error for a missing, cut, damaged or foreign file, or one of another scalar.
template <class Scalar>
[[nodiscard]] IncrementalSVDState<Scalar> load_incremental_svd(const std::string& path) {
  auto file = detail::StateFile::reading("IncrementalSVD", path);
  constexpr std::uint64_t magic = detail::SVDFileHeader::magic_number;
  const auto header = detail::read_header<detail::SVDFileHeader, Scalar>(file, magic);
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
  detail::read_matrices(file, magic, state.singular_values, state.U, state.V);
  state.validate();
  return state;
}

ACCRETE_END_NAMESPACE
