// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>
#include <accrete/config.hpp>
#include <accrete/error.hpp>

#include <Eigen/Core>

#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

[[noreturn]] inline void throw_row_major(Index rows, Index cols) {
  ACCRETE_THROW ArgumentError(
      "a column-major map of a row-major " + shape_text(rows, cols) +
      " view: it would read other entries; use the View itself, or a copy of it");
}

/// Storage of the backends that work in host memory: Eigen's own types.
struct HostStorage {
  using Space = HostSpace;
  template <class Scalar>
  using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  template <class Scalar>
  using MatrixView =
      Eigen::Map<std::conditional_t<std::is_const_v<Scalar>,
                                    const Matrix<std::remove_const_t<Scalar>>, Matrix<Scalar>>,
                 Eigen::Unaligned, Eigen::OuterStride<>>;
  template <class Scalar>
  using ConstMatrixRef = Eigen::Ref<const Matrix<Scalar>, Eigen::Unaligned, Eigen::OuterStride<>>;

  /// @throws ArgumentError for a row-major view, whose entries a column-major map cannot reach.
  template <class Scalar>
  static MatrixView<Scalar> matrix_view(View<Scalar> v) {
    const bool lies_in_columns = v.row_step() == 1 || v.rows <= 1;
    if (!lies_in_columns && !v.empty()) {
      throw_row_major(v.rows, v.cols);
    }
    return MatrixView<Scalar>(v.data, v.rows, v.cols, Eigen::OuterStride<>(v.col_step()));
  }
};

} // namespace detail

/// What a machine's kernels reach, roughly: defaults of the cost model until calibrate() measures.
struct MachineRates {
  double overhead_seconds = 1e-6; ///< of one kernel call
  double peak_flops = 2e11;       ///< of a large square float product; double has half of it
  double bfloat16_flops = 1e12;   ///< of a large square product of bfloat16, in hardware
  double bandwidth = 3e10;        ///< bytes per second of a streaming kernel
  double thin_side = 6.0;         ///< shortest side that reaches half of the peak
};

namespace detail {

/// Those that a backend names, otherwise those of two cores.
template <class Backend>
inline constexpr MachineRates default_rates{};
template <class Backend>
  requires requires { Backend::rates; }
inline constexpr MachineRates default_rates<Backend> = Backend::rates;

} // namespace detail

/// Optimised host backend: Eigen, a gemm provider, OpenMP.
struct Cpu : detail::HostStorage {
  static constexpr const char* name = "cpu";
};

/// Naive loops in the order written; the oracle of the tests.
struct Reference : detail::HostStorage {
  static constexpr const char* name = "reference";
};

/// The upper half of a float: storage for the operands of products, which are summed in float.
/// Include <accrete/bfloat16.hpp> to use it.
using bfloat16 = Eigen::bfloat16;

namespace detail {

template <class Scalar>
struct AccumulatorOf {
  using type = Scalar;
};
template <>
struct AccumulatorOf<bfloat16> {
  using type = float;
};

/// In which products of such operands are summed and returned.
template <class Scalar>
using accumulator = typename AccumulatorOf<Scalar>::type;

/// Kernels whose operands are bfloat16.
template <class Backend>
struct Bfloat16Kernels;

} // namespace detail

/// What a backend keeps between calls: threads or streams, handles, workspace.
template <class Backend>
class Device;

namespace detail {

/// What holds while a context of the device is the current one.
template <class Backend>
class ScopeOf {
 public:
  explicit ScopeOf(const Device<Backend>&) noexcept {}
};

/// Refuses memory that the device does not reach, where there are several devices of a kind.
template <class Device, class... Views>
void check_reachable([[maybe_unused]] const Device& device,
                     [[maybe_unused]] const Views&... views) {
  if constexpr (requires { (device.check_reachable(views), ...); }) {
    (device.check_reachable(views), ...);
  }
}

/// Temporaries in a backend's memory, which return to its workspace at the end of the scope.
template <class Backend>
using Frame =
    typename std::remove_cvref_t<decltype(std::declval<Device<Backend>&>().workspace())>::Frame;

} // namespace detail

/// The table of kernels that a backend folder provides: static member templates over the scalar
/// that take a device and Views (docs/architecture.md lists what each computes). A kernel treats a
/// whole matrix in one call, also where it does something else to each column (scale_columns,
/// column_norms, gather_columns, scatter_add_columns, add_row_sums, khatri_rao): nobody loops over
/// calls. What comes back by value (dot, squared_norm, all_finite, the growth of cholesky_qr) waits
/// for the device; upload and download are the only transfers of matrices.
template <class Backend>
struct Kernels;

/// The backend computes on ordinary host memory, so Eigen objects are its operands as they are.
template <class Backend>
inline constexpr bool is_host_backend = std::is_base_of_v<detail::HostStorage, Backend>;

/// Dense column-major storage of a backend; Eigen's matrix on host backends.
template <class Scalar, class Backend = Cpu>
using Matrix = typename Backend::template Matrix<Scalar>;

/// Non-owning column-major matrix of a backend; an Eigen::Map on host backends.
template <class Scalar, class Backend = Cpu>
using MatrixView = typename Backend::template MatrixView<Scalar>;

/// What functions take that only read a matrix of a backend; an Eigen::Ref on host backends.
template <class Scalar, class Backend = Cpu>
using ConstMatrixRef = typename Backend::template ConstMatrixRef<Scalar>;

/// View in the memory that a backend works in.
template <class Scalar, class Backend>
using ViewOn = View<Scalar, typename Backend::Space>;

ACCRETE_END_NAMESPACE
