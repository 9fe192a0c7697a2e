// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/cpu/elementwise.hpp>
#include <accrete/backend/cpu/thresholds.hpp>
#include <accrete/backend/rounding.hpp>

#include <Eigen/Core>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Eigen's blocked product kernel with packing buffers from the workspace: its own product
/// expressions take them from the heap on every call.
template <class Scalar>
class GemmBlocking : public Eigen::internal::level3_blocking<Scalar, Scalar> {
 public:
  GemmBlocking(Index rows, Index cols, Index depth) {
    this->m_kc = depth;
    this->m_mc = rows;
    this->m_nc = cols;
    // Eigen's rule for several threads keeps a panel in the first-level cache, its rule for one in
    // the second-level cache.
    const bool is_deep = depth > thresholds::eigen_inner.value;
    Eigen::internal::computeProductBlockingSizes<Scalar, Scalar, 1>(
        this->m_kc, this->m_mc, this->m_nc, Index{is_deep ? 2 : 1});
    constexpr Index line = static_cast<Index>(Workspace::alignment / sizeof(Scalar));
    size_a_ = round_up(this->m_mc * this->m_kc, line);
    size_b_ = round_up(this->m_kc * this->m_nc, line);
  }

  /// Scalars of packing space that one thread needs.
  [[nodiscard]] Index space() const noexcept { return size_a_ + size_b_; }

  void use(Scalar* memory) noexcept {
    this->m_blockA = memory;
    this->m_blockB = memory + size_a_;
  }

 private:
  Index size_a_;
  Index size_b_;
};

/// c += alpha a b, c column-major.
template <class Scalar>
void eigen_gemm_serial(Scalar alpha, View<const Scalar> a, View<const Scalar> b, View<Scalar> c,
                       GemmBlocking<Scalar>& blocking) {
  const auto run = [&](auto order_a, auto order_b) {
    Eigen::internal::general_matrix_matrix_product<
        Index, Scalar, decltype(order_a)::value, false, Scalar, decltype(order_b)::value, false,
        Eigen::ColMajor, 1>::run(c.rows, c.cols, a.cols, a.data, a.stride, b.data, b.stride, c.data,
                                 1, c.stride, alpha, blocking, nullptr);
  };
  using Columns = std::integral_constant<int, Eigen::ColMajor>;
  using Rows = std::integral_constant<int, Eigen::RowMajor>;
  if (a.is_column_major()) {
    b.is_column_major() ? run(Columns{}, Columns{}) : run(Columns{}, Rows{});
  } else {
    b.is_column_major() ? run(Rows{}, Columns{}) : run(Rows{}, Rows{});
  }
}

/// Eigen's product kernel, its work shared out here.
struct EigenGemm {
  static constexpr const char* name = "eigen";
  template <class Scalar>
  static constexpr bool supports = sizeof(Scalar) >= sizeof(float);
  static constexpr bool is_usable() noexcept { return true; }

  template <class Scalar>
  static bool gemm(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
    CpuElementwise::scale(device, beta, c);
    add(device, alpha, a, b, c);
    return true;
  }

 private:
  /// c += alpha a b; each thread computes its own columns (or rows) of c.
  template <class Scalar>
  static void add(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                  const View<const Scalar>& b, const View<Scalar>& c) {
    const Index work = c.size() * a.cols;
    const int threads = static_cast<int>(
        std::clamp<Index>(work / thresholds::eigen_work.value, 1, device.threads()));
    // Every thread packs the operand that is not split as a whole: that should be the smaller one.
    const bool by_columns = c.cols >= c.rows;
    constexpr Index grain = 16; // keeps the register tiles of all threads whole
    const Index length = by_columns ? c.cols : c.rows;
    const Index step = range_length(threads, length, grain);

    GemmBlocking<Scalar> blocking(by_columns ? c.rows : (std::min)(step, c.rows),
                                  by_columns ? (std::min)(step, c.cols) : c.cols, a.cols);
    Workspace::Frame frame(device.workspace());
    Scalar* memory = frame.allocate<Scalar>(blocking.space() * ceil_div(length, step));
    parallel_ranges(threads, length, grain, [&](Index first, Index count) {
      GemmBlocking<Scalar> mine = blocking;
      mine.use(memory + first / step * blocking.space());
      if (by_columns) {
        eigen_gemm_serial(alpha, a, b.columns(first, count), c.columns(first, count), mine);
      } else {
        eigen_gemm_serial(alpha, a.block(first, 0, count, a.cols), b,
                          c.block(first, 0, count, c.cols), mine);
      }
    });
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
