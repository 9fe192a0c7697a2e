// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/bfloat16_elementwise.hpp>
#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/cpu/gemm.hpp>
#include <accrete/backend/cpu/native/amx.hpp>
#include <accrete/backend/cpu/providers/onednn_bfloat16.hpp>

#include <algorithm>
#include <cstdint>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// y[i] += the sum of eight columns of `a`, bit patterns of bfloat16, times x.
inline void add_bfloat16_panel(Index rows, const std::uint16_t* a, Index s, const float* x,
                               float* y) {
  const float x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3], x4 = x[4], x5 = x[5], x6 = x[6],
              x7 = x[7];
  ACCRETE_SIMD()
  for (Index i = 0; i < rows; ++i) {
    const float low = to_float(a[i]) * x0 + to_float(a[i + s]) * x1 + to_float(a[i + 2 * s]) * x2 +
                      to_float(a[i + 3 * s]) * x3;
    const float high = to_float(a[i + 4 * s]) * x4 + to_float(a[i + 5 * s]) * x5 +
                       to_float(a[i + 6 * s]) * x6 + to_float(a[i + 7 * s]) * x7;
    y[i] += low + high;
  }
}

/// y += a x for a column-major a of bit patterns; x and y contiguous.
inline void add_bfloat16_columns(Index rows, Index cols, const std::uint16_t* a, Index stride,
                                 const float* x, float* y) {
  constexpr Index piece = 2048;
  for (Index row = 0; row < rows; row += piece) {
    const Index count = (std::min)(piece, rows - row);
    Index j = 0;
    for (; j + 8 <= cols; j += 8) {
      add_bfloat16_panel(count, a + row + j * stride, stride, x + j, y + row);
    }
    for (; j < cols; ++j) {
      const std::uint16_t* column = a + row + j * stride;
      for (Index i = 0; i < count; ++i) {
        y[row + i] += to_float(column[i]) * x[j];
      }
    }
  }
}

/// y += a x for a row-major a of bit patterns.
inline void add_bfloat16_rows(Index rows, Index cols, const std::uint16_t* a, Index stride,
                              const float* x, float* y) {
  for (Index i = 0; i < rows; ++i) {
    const std::uint16_t* row = a + i * stride;
    y[i] += sum_of<float>(cols, [=](Index k) { return to_float(row[k]) * x[k]; });
  }
}

/// Who multiplies matrices of bfloat16.
#if defined(ACCRETE_USE_ONEDNN)
using Bfloat16Providers = ProviderList<native::AmxGemm, OnednnBfloat16Gemm>;
#else
using Bfloat16Providers = ProviderList<native::AmxGemm>;
#endif

/// Products of bfloat16 operands on the CPU: by a provider that can, otherwise in float after a
/// conversion.
struct CpuBfloat16 {
  static const char* product_provider() noexcept {
    const char* name = Bfloat16Providers::name();
    return name != nullptr ? name : GemmProviders<float>::name();
  }

  template <class Result>
  static void gemm(Device<Cpu>& device, float alpha, View<const bfloat16> a, View<const bfloat16> b,
                   float beta, View<Result> c) {
    if (c.empty()) {
      return;
    }
    if (!c.is_column_major()) {
      return gemm(device, alpha, b.transposed(), a.transposed(), beta, c.transposed());
    }
    if (c.cols == 1) {
      return gemv(device, alpha, a, b, beta, c);
    }
    if (c.rows == 1) {
      return gemv(device, alpha, b.transposed(), a.transposed(), beta, c.transposed());
    }
    if (a.cols == 0 || !Bfloat16Providers::gemm(device, alpha, a, b, beta, c)) {
      converted_gemm(device, alpha, a, b, beta, c);
    }
  }

  /// In float.
  template <class Result>
  static void converted_gemm(Device<Cpu>& device, float alpha, View<const bfloat16> a,
                             View<const bfloat16> b, float beta, View<Result> c) {
    Workspace::Frame frame(device.workspace());
    const View<const float> left = converted(device, frame, a);
    const View<const float> right = converted(device, frame, b);
    if constexpr (std::is_same_v<Result, float>) {
      CpuProducts::gemm(device, alpha, left, right, beta, c);
    } else {
      const View<float> value = dense_view(frame.allocate<float>(c.size()), c.rows, c.cols);
      CpuProducts::gemm(device, alpha, left, right, 0.0F, value);
      CpuBfloat16Elementwise::store(device, View<const float>(value), beta, c);
    }
  }

  template <class Result>
  static void gemv(Device<Cpu>& device, float alpha, View<const bfloat16> a, View<const bfloat16> x,
                   float beta, View<Result> y) {
    if (y.empty()) {
      return;
    }
    Workspace::Frame frame(device.workspace());
    float* factors = frame.allocate<float>(x.rows);
    for (Index k = 0; k < x.rows; ++k) {
      factors[k] = alpha * static_cast<float>(x(k, 0));
    }
    float* sums = frame.allocate<float>(y.rows);
    const std::uint16_t* bits = as_bits(a.data);
    const bool small = a.size() * Index{sizeof(bfloat16)} < parallel_bytes;
    parallel_ranges(small ? 1 : device.threads(), a.rows, 32, [&](Index first, Index count) {
      std::fill_n(sums + first, count, 0.0F);
      if (a.is_column_major()) {
        add_bfloat16_columns(count, a.cols, bits + first, a.stride, factors, sums + first);
      } else {
        add_bfloat16_rows(count, a.cols, bits + first * a.stride, a.stride, factors, sums + first);
      }
    });
    CpuBfloat16Elementwise::store(device, View<const float>(dense_view(sums, y.rows, 1)), beta, y);
  }

 private:
  static View<const float> converted(Device<Cpu>& device, Workspace::Frame& frame,
                                     View<const bfloat16> a) {
    if (!a.is_column_major()) {
      return converted(device, frame, a.transposed()).transposed();
    }
    const View<float> copy = dense_view(frame.allocate<float>(a.size()), a.rows, a.cols);
    CpuBfloat16Elementwise::set(device, a, copy, [](float value, float) { return value; });
    return copy;
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
