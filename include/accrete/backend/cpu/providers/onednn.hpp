// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/cpu/route.hpp>
#include <accrete/backend/view.hpp>
#include <accrete/error.hpp>

#if defined(ACCRETE_USE_ONEDNN)
#include <dnnl.h>

#include <new>
#include <string>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// oneDNN's product of float matrices.
struct OnednnGemm {
  static constexpr const char* name = "onednn";
  template <class Scalar>
  static constexpr bool supports = std::is_same_v<Scalar, float>;
  static constexpr bool is_usable() noexcept { return true; }

  /// @throws std::bad_alloc, Error
  template <class Scalar>
  static bool gemm(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
    const ProductShape shape = shape_of(device, a, b, beta, c, Library::onednn);
    compute(spread(Route::provider, shape), device, alpha, a, b, beta, c);
    return true;
  }

  /// By oneDNN's own threads if the team is one, otherwise each of the team computes a part of c.
  static void compute(const Spread& team, Device<Cpu>& device, float alpha,
                      const View<const float>& a, const View<const float>& b, float beta,
                      const View<float>& c) {
    const OpenmpThreads threads(device.threads());
    const dnnl_status_t status =
        team.threads == 1 ? call(alpha, a, b, beta, c) : call_in_parts(team, alpha, a, b, beta, c);
    if (status == dnnl_out_of_memory) {
      ACCRETE_THROW std::bad_alloc();
    }
    if (status != dnnl_success) {
      ACCRETE_THROW Error("oneDNN refused the product " + shape_text(a.rows, a.cols) + " * " +
                          shape_text(b.rows, b.cols) + " with status " + std::to_string(status));
    }
  }

 private:
  using Operand = View<const float>;

  static dnnl_status_t call(float alpha, const Operand& a, const Operand& b, float beta,
                            const View<float>& c) {
    // The C interface is row-major: there, our operands are transposed, and cᵀ = bᵀ aᵀ.
    const auto flag = [](const Operand& v) { return v.is_column_major() ? 'N' : 'T'; };
    return dnnl_sgemm(flag(b), flag(a), c.cols, c.rows, a.cols, alpha, b.data, b.stride, a.data,
                      a.stride, beta, c.data, c.stride);
  }

  static dnnl_status_t call_in_parts(const Spread& team, float alpha, const Operand& a,
                                     const Operand& b, float beta, const View<float>& c) {
    constexpr Index grain = 16; // whole cache lines and vectors
    dnnl_status_t result = dnnl_success;
    const Index length = team.by_columns ? c.cols : c.rows;
    parallel_ranges(team.threads, length, grain, [&](Index first, Index count) {
      const dnnl_status_t status =
          team.by_columns ? call(alpha, a, b.columns(first, count), beta, c.columns(first, count))
                          : call(alpha, a.block(first, 0, count, a.cols), b, beta,
                                 c.block(first, 0, count, c.cols));
      if (status != dnnl_success) {
#ifdef _OPENMP
#pragma omp atomic write
#endif
        result = status;
      }
    });
    return result;
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE

#endif
