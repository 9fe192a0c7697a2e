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

/// Followed by W0 where there is one, U and V.
struct MatrixFileHeader : StateFileHeader {
  static constexpr std::uint64_t low_rank_magic = 0x314D524C45524341ULL;   // "ACRELRM1"
  static constexpr std::uint64_t cumulative_magic = 0x314D554345524341ULL; // "ACRECUM1"

  double scale = 1;

  [[nodiscard]] bool is_sound() const noexcept { return is_finite(scale); }
  [[nodiscard]] Index base_rows() const noexcept { return magic == cumulative_magic ? rows : 0; }
  [[nodiscard]] double content_bytes() const noexcept {
    const auto number = [](std::int64_t value) { return static_cast<double>(value); };
    return number(scalar_bytes) *
           (number(base_rows()) * number(cols) + number(rank) * number(rows + cols));
  }
};

template <class Matrix>
MatrixFileHeader header_of(const Matrix& matrix, std::uint64_t magic) {
  MatrixFileHeader header;
  header.magic = magic;
  header.scalar_bytes = sizeof(typename Matrix::Scalar);
  header.rows = matrix.rows();
  header.cols = matrix.cols();
  header.rank = matrix.rank();
  return header;
}

/// A copy in host memory. @throws NumericError for NaN or infinity.
template <class Backend, class Scalar>
Eigen::MatrixX<Scalar> checked_copy(const char* kind, const char* part,
                                    ViewOn<const Scalar, Backend> view) {
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

/// What a file holds, in host memory; W0 is empty where it has none.
template <class Scalar>
struct MatrixFile {
  Eigen::MatrixX<Scalar> base, u, v;
  double scale = 1;

  MatrixFile(const char* kind, const std::string& path, std::uint64_t magic) {
    auto file = StateFile::reading(kind, path);
    const auto header = read_header<MatrixFileHeader, Scalar>(file, magic);
    base.resize(header.base_rows(), header.cols);
    u.resize(header.rows, header.rank);
    v.resize(header.cols, header.rank);
    scale = header.scale;
    read_matrices(file, magic, base, u, v);
  }
};

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
  const auto header = detail::header_of(matrix, detail::MatrixFileHeader::low_rank_magic);
  detail::write_matrices("LowRankMatrix", path, header, u, v);
}

/// Writes W0, the scale, U and V, as save() of a LowRankMatrix. A borrowed base is written too.
template <class Scalar, class Backend>
void save(const CumulativeUpdate<Scalar, Backend>& matrix, const std::string& path) {
  constexpr const char* kind = "CumulativeUpdate";
  const auto base = detail::checked_copy<Backend>(kind, "W0", matrix.base_view());
  const auto u = detail::checked_copy<Backend>(kind, "U", matrix.low_rank().u_view());
  const auto v = detail::checked_copy<Backend>(kind, "V", matrix.low_rank().v_view());
  auto header = detail::header_of(matrix, detail::MatrixFileHeader::cumulative_magic);
  header.scale = static_cast<double>(matrix.scale());
  if (!header.is_sound()) {
    ACCRETE_THROW NumericError(
        "save of a CumulativeUpdate: its scale is NaN or infinite; nothing was written");
  }
  detail::write_matrices(kind, path, header, base, u, v);
}

/// Reads what save() wrote. @throws Error for a missing, cut, damaged or foreign file, or one of
/// another scalar.
template <class Scalar, class Backend = Cpu>
[[nodiscard]] LowRankMatrix<Scalar, Backend> load_low_rank_matrix(const std::string& path) {
  const detail::MatrixFile<Scalar> file("LowRankMatrix", path,
                                        detail::MatrixFileHeader::low_rank_magic);
  return {detail::uploaded<Scalar, Backend>(file.u), detail::uploaded<Scalar, Backend>(file.v)};
}

/// The same of a CumulativeUpdate, which owns its base.
template <class Scalar, class Backend = Cpu>
[[nodiscard]] CumulativeUpdate<Scalar, Backend> load_cumulative_update(const std::string& path) {
  const detail::MatrixFile<Scalar> file("CumulativeUpdate", path,
                                        detail::MatrixFileHeader::cumulative_magic);
  CumulativeUpdate<Scalar, Backend> result(
      detail::uploaded<Scalar, Backend>(file.base),
      {detail::uploaded<Scalar, Backend>(file.u), detail::uploaded<Scalar, Backend>(file.v)});
  result.set_scale(static_cast<Scalar>(file.scale));
  return result;
}

ACCRETE_END_NAMESPACE
