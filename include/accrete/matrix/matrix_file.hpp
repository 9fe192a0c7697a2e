// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/finite.hpp>
#include <accrete/matrix/cumulative_update.hpp>
#include <accrete/state_file.hpp>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

// The file: a header of 8-byte numbers in the machine's byte order, then W0 where there is one, U
// and V (Scalar, column-major), and the header's magic number again.
struct MatrixFileHeader {
  static constexpr std::uint64_t low_rank_magic = 0x314D524C45524341ULL;   // "ACRELRM1"
  static constexpr std::uint64_t cumulative_magic = 0x314D554345524341ULL; // "ACRECUM1"

  std::uint64_t magic = 0;
  std::int64_t scalar_bytes = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t rank = 0;
  double scale = 1;

  /// The sizes account for every byte of the file.
  [[nodiscard]] bool fits(std::int64_t file_bytes) const noexcept {
    constexpr std::int64_t most = std::int64_t{1} << 40; // no product below overflows a double
    if (rows < 0 || cols < 0 || rank < 0 || rows > most || cols > most || rank > most) {
      return false;
    }
    const auto number = [](std::int64_t value) { return static_cast<double>(value); };
    const double base = magic == cumulative_magic ? number(rows) * number(cols) : 0.0;
    const double entries = base + number(rank) * (number(rows) + number(cols));
    return number(file_bytes) ==
           sizeof(MatrixFileHeader) + sizeof(magic) + number(scalar_bytes) * entries;
  }
};

/// A copy in host memory. @throws NumericError for NaN or infinity.
template <class Backend, class Scalar>
Eigen::MatrixX<Scalar> checked_copy(const char* kind, const char* part, View<const Scalar> view) {
  static_assert(std::is_floating_point_v<Scalar>,
                "accrete: matrices of float and double are saved; convert others");
  Eigen::MatrixX<Scalar> host(view.rows, view.cols);
  Kernels<Backend>::download(Context<Backend>::current().device(), view, host.data());
  if (!all_finite(host.data(), host.size())) {
    ACCRETE_THROW NumericError("save of a " + std::string(kind) + ": " + part + ", " +
                               shape_text(view.rows, view.cols) +
                               ", holds NaN or infinity; nothing was written");
  }
  return host;
}

template <class Scalar>
void read_part(StateFile& file, Eigen::MatrixX<Scalar>& part) {
  file.read(part.data(), part.size());
  if (!all_finite(part.data(), part.size())) {
    file.fail("holds NaN or infinity; it is damaged", 0);
  }
}

/// Reads and checks the header.
template <class Scalar>
MatrixFileHeader read_header(StateFile& file, std::uint64_t magic) {
  static_assert(std::is_floating_point_v<Scalar>,
                "accrete: matrices are loaded as float or double, as they were saved");
  const std::int64_t bytes = file.size();
  MatrixFileHeader header;
  file.read(&header, 1);
  if (header.magic != magic) {
    file.fail("holds something else, or is of a machine of another byte order", 0);
  }
  if (header.scalar_bytes != static_cast<std::int64_t>(sizeof(Scalar))) {
    file.fail("holds another scalar; load it as float or double, as it was saved", 0);
  }
  if (!header.fits(bytes)) {
    file.fail("has another length than its header says; it was cut or damaged", 0);
  }
  if (!is_finite(header.scale)) {
    file.fail("holds NaN or infinity; it is damaged", 0);
  }
  return header;
}

inline void read_end(StateFile& file, std::uint64_t magic) {
  std::uint64_t end = 0;
  file.read(&end, 1);
  if (end != magic) {
    file.fail("does not end as it has to; it is damaged", 0);
  }
}

template <class Scalar, class Backend>
Matrix<Scalar, Backend> uploaded(const Eigen::MatrixX<Scalar>& host) {
  Matrix<Scalar, Backend> result(host.rows(), host.cols());
  Kernels<Backend>::upload(Context<Backend>::current().device(), host.data(), view_of(result));
  return result;
}

} // namespace detail

/// Writes U and V to a file, atomically: an interrupted or failed write leaves what was there. The
/// file is for machines of the same byte order.
/// @throws NumericError for NaN or infinity, Error with the system's reason.
template <class Scalar, class Backend>
void save(const LowRankMatrix<Scalar, Backend>& matrix, const std::string& path) {
  const auto u = detail::checked_copy<Backend>("LowRankMatrix", "U", matrix.u_view());
  const auto v = detail::checked_copy<Backend>("LowRankMatrix", "V", matrix.v_view());
  const detail::MatrixFileHeader header{detail::MatrixFileHeader::low_rank_magic, sizeof(Scalar),
                                        matrix.rows(), matrix.cols(), matrix.rank()};
  detail::write_file("LowRankMatrix", path, [&](detail::StateFile& file) {
    file.write(&header, 1);
    file.write(u.data(), u.size());
    file.write(v.data(), v.size());
    file.write(&header.magic, 1);
  });
}

/// Writes W0, the scale, U and V, as save() of a LowRankMatrix. A borrowed base is written too.
template <class Scalar, class Backend>
void save(const CumulativeUpdate<Scalar, Backend>& matrix, const std::string& path) {
  constexpr const char* kind = "CumulativeUpdate";
  const auto base = detail::checked_copy<Backend>(kind, "W0", matrix.base_view());
  const auto u = detail::checked_copy<Backend>(kind, "U", matrix.low_rank().u_view());
  const auto v = detail::checked_copy<Backend>(kind, "V", matrix.low_rank().v_view());
  const detail::MatrixFileHeader header{detail::MatrixFileHeader::cumulative_magic,
                                        sizeof(Scalar),
                                        matrix.rows(),
                                        matrix.cols(),
                                        matrix.rank(),
                                        matrix.scale()};
  if (!detail::is_finite(header.scale)) {
    ACCRETE_THROW NumericError(
        "save of a CumulativeUpdate: its scale is NaN or infinite; nothing was "
        "written");
  }
  detail::write_file(kind, path, [&](detail::StateFile& file) {
    file.write(&header, 1);
    file.write(base.data(), base.size());
    file.write(u.data(), u.size());
    file.write(v.data(), v.size());
    file.write(&header.magic, 1);
  });
}

/// Reads what save() wrote. @throws Error for a missing, cut, damaged or foreign file, or one of
/// another scalar.
template <class Scalar, class Backend = Cpu>
[[nodiscard]] LowRankMatrix<Scalar, Backend> load_low_rank_matrix(const std::string& path) {
  constexpr std::uint64_t magic = detail::MatrixFileHeader::low_rank_magic;
  detail::StateFile file("LowRankMatrix", path, "rb");
  const detail::MatrixFileHeader header = detail::read_header<Scalar>(file, magic);
  Eigen::MatrixX<Scalar> u(header.rows, header.rank);
  Eigen::MatrixX<Scalar> v(header.cols, header.rank);
  detail::read_part(file, u);
  detail::read_part(file, v);
  detail::read_end(file, magic);
  return {detail::uploaded<Scalar, Backend>(u), detail::uploaded<Scalar, Backend>(v)};
}

/// The same of a CumulativeUpdate, which owns its base.
template <class Scalar, class Backend = Cpu>
[[nodiscard]] CumulativeUpdate<Scalar, Backend> load_cumulative_update(const std::string& path) {
  constexpr std::uint64_t magic = detail::MatrixFileHeader::cumulative_magic;
  detail::StateFile file("CumulativeUpdate", path, "rb");
  const detail::MatrixFileHeader header = detail::read_header<Scalar>(file, magic);
  Eigen::MatrixX<Scalar> base(header.rows, header.cols);
  Eigen::MatrixX<Scalar> u(header.rows, header.rank);
  Eigen::MatrixX<Scalar> v(header.cols, header.rank);
  detail::read_part(file, base);
  detail::read_part(file, u);
  detail::read_part(file, v);
  detail::read_end(file, magic);
  CumulativeUpdate<Scalar, Backend> result(
      detail::uploaded<Scalar, Backend>(base),
      {detail::uploaded<Scalar, Backend>(u), detail::uploaded<Scalar, Backend>(v)});
  result.set_scale(static_cast<Scalar>(header.scale));
  return result;
}

ACCRETE_END_NAMESPACE
