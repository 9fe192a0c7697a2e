// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/view.hpp>

#include <algorithm>

#if defined(ACCRETE_USE_ONEDNN)
#include <dnnl.h>

#include <new>
#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// How a product is cut into calls of the library.
struct GemmCut {
  int threads = 0;         ///< that take a part of c each; 0 leaves the product to the library
  bool by_columns = false; ///< the parts are columns of c, otherwise rows
  Index passes = 1;        ///< over the inner dimension
};

/// Where oneDNN's own way with threads and memory is slow, as measured with version 2.6 on
/// AVX-512: it shares out the inner dimension where c is long and narrow or `a` is transposed, the
/// more slowly where columns (or rows) of `a` lie whole pages apart, and misses the address
/// translation's cache where entries that it packs together do.
inline GemmCut gemm_cut(int threads, const View<const float>& a, const View<const float>& b) {
  const bool by_columns = b.cols > a.rows;
  const Index longer = (std::max)(a.rows, b.cols);
  const Index shorter = (std::min)(a.rows, b.cols);
  constexpr Index part = 128;             // fewest rows or columns a thread
  constexpr Index small = Index{1} << 22; // multiply-adds that threads do not pay for
  if (longer < part * threads || longer * shorter * a.cols < small) {
    return {};
  }
  constexpr Index page = 4096 / sizeof(float);
  constexpr Index depth = 256;
  const Index passes = (a.cols + depth - 1) / depth;
  const bool scattered =
      by_columns ? !b.is_column_major() && b.stride >= page
                 : a.is_column_major() && a.stride >= page && shorter >= 16 && shorter <= 96;
  if (scattered && passes > 1) {
    return {threads, by_columns, passes};
  }
  const bool transposed = !a.is_column_major() && b.is_column_major();
  const bool medium = shorter > 128 && shorter <= 512 && a.cols >= 512 &&
                      (a.stride % page == 0 || (transposed && longer * shorter >= Index{1} << 19));
  const bool shared = by_columns ? medium && transposed : medium || (transposed && shorter <= 128);
  return shared ? GemmCut{threads, by_columns, 1} : GemmCut{};
}

#if defined(ACCRETE_USE_ONEDNN)

/// c = alpha a b + beta c with c column-major, on the caller's thread and those that oneDNN takes.
inline dnnl_status_t call_onednn(float alpha, const View<const float>& a,
                                 const View<const float>& b, float beta, const View<float>& c) {
  // The C interface is row-major: there, our operands are transposed, and cᵀ = bᵀ aᵀ.
  const auto flag = [](const View<const float>& v) { return v.is_column_major() ? 'N' : 'T'; };
  return dnnl_sgemm(flag(b), flag(a), c.cols, c.rows, a.cols, alpha, b.data, b.stride, a.data,
                    a.stride, beta, c.data, c.stride);
}

/// The same on the device's threads.
inline void onednn_gemm(Device<Cpu>& device, float alpha, View<const float> a, View<const float> b,
                        float beta, View<float> c) {
  const OpenmpThreads threads(device.threads());
  const GemmCut cut = gemm_cut(device.threads(), a, b);
  dnnl_status_t status = dnnl_success;
  if (cut.threads == 0) {
    status = call_onednn(alpha, a, b, beta, c);
  } else {
    const Index depth = ((a.cols + cut.passes - 1) / cut.passes + 15) / 16 * 16;
    constexpr Index grain = 16;
    parallel_ranges(
        cut.threads, cut.by_columns ? c.cols : c.rows, grain, [&](Index first, Index count) {
          const View<const float> left = cut.by_columns ? a : a.block(first, 0, count, a.cols);
          const View<const float> right = cut.by_columns ? b.columns(first, count) : b;
          const View<float> part =
              cut.by_columns ? c.columns(first, count) : c.block(first, 0, count, c.cols);
          for (Index k = 0; k < a.cols; k += depth) {
            const Index some = (std::min)(depth, a.cols - k);
            const dnnl_status_t made =
                call_onednn(alpha, left.columns(k, some), right.block(k, 0, some, right.cols),
                            k == 0 ? beta : 1.0F, part);
            if (made != dnnl_success) {
#pragma omp atomic write
              status = made;
            }
          }
        });
  }
  if (status == dnnl_out_of_memory) {
    ACCRETE_THROW std::bad_alloc();
  }
  if (status != dnnl_success) {
    ACCRETE_THROW Error("oneDNN refused the product " + shape_text(a.rows, a.cols) + " * " +
                        shape_text(b.rows, b.cols) + " with status " + std::to_string(status));
  }
}

#endif

} // namespace detail

ACCRETE_END_NAMESPACE
