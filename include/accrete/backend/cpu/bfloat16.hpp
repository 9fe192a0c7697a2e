// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/amx_products.hpp>
#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/cpu/onednn_matmul.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Exact.
inline float to_float(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
inline float to_float(float value) noexcept { return value; }

/// The nearest bfloat16, of two the even one, as a bit pattern; or the float itself. Loops of
/// Eigen's conversion are not vectorised.
template <class Result>
Result rounded(float value) noexcept {
  if constexpr (std::is_same_v<Result, float>) {
    return value;
  } else {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t nearest = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    const std::uint32_t quiet = (bits >> 16) | 0x40U;
    const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
    return static_cast<Result>(is_nan ? quiet : nearest);
  }
}

inline float* as_bits(float* data) noexcept { return data; }
inline const float* as_bits(const float* data) noexcept { return data; }
inline std::uint16_t* as_bits(bfloat16* data) noexcept {
  return reinterpret_cast<std::uint16_t*>(data);
}
inline const std::uint16_t* as_bits(const bfloat16* data) noexcept {
  return reinterpret_cast<const std::uint16_t*>(data);
}

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

/// Products of bfloat16 operands on the CPU: on the processor's tiles where it has some, by oneDNN
/// where it has vector instructions for them, otherwise in float after a conversion.
struct CpuBfloat16 {
  template <class Scalar>
  static const char* product_provider() noexcept {
    return has_amx() ? "amx" : GemmProvider<float>::name;
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
    const MatrixProduct<bfloat16> product{a, b};
    if (amx_products(device, alpha, &product, 1, beta, c)) {
      return;
    }
    if (a.cols > 0 && (beta == 0 || beta == 1) &&
        onednn_matmul(device.threads(), alpha, a, b, beta, c)) {
      return;
    }
    converted_gemm(device, alpha, a, b, beta, c);
  }

  /// The processor multiplies tiles.
  static bool has_amx() noexcept {
#if defined(ACCRETE_HAS_AMX)
    return amx_usable();
#else
    return false;
#endif
  }
  /// Products that add up to a result of this shape may be added up before it is stored, by
  /// gemm_sum.
  template <class Scalar>
  static bool sums_products(Index rows, Index cols) noexcept {
    return has_amx() && rows > 1 && cols > 1;
  }
  /// c = alpha (a b + ...) + beta c for at most most_products. False, and nothing done, where they
  /// cannot be added up before they are stored.
  template <class Result>
  static bool gemm_sum(Device<Cpu>& device, float alpha, const MatrixProduct<bfloat16>* products,
                       int count, float beta, View<Result> c) {
    return sums_products<bfloat16>(c.rows, c.cols) &&
           amx_products(device, alpha, products, count, beta, c);
  }

  /// The same on the processor's tiles. False, and nothing done, where it has none, or c has no
  /// entry, or nothing is summed.
  template <class Result>
  static bool amx_products([[maybe_unused]] Device<Cpu>& device, [[maybe_unused]] float alpha,
                           [[maybe_unused]] const MatrixProduct<bfloat16>* products,
                           [[maybe_unused]] int count, [[maybe_unused]] float beta,
                           [[maybe_unused]] View<Result> c) {
#if defined(ACCRETE_HAS_AMX)
    std::array<AmxProduct, most_products> terms;
    Index used = 0;
    for (int i = 0; i < count; ++i) {
      const auto [a, b] = c.is_column_major() ? products[i] : products[i].transposed();
      if (a.cols > 0) {
        terms[static_cast<std::size_t>(used++)] = {rows_of(a), rows_of(b.transposed())};
      }
    }
    if (c.empty() || used == 0 || !has_amx()) {
      return false;
    }
    const AmxSum sum{terms.data(), used};
    if constexpr (std::is_same_v<Result, bfloat16>) {
      if (sum.steps() > AmxCut::most_depth) { // sums in parts are to be kept in float
        Workspace::Frame frame(device.workspace());
        const View<float> value = dense_view(frame.allocate<float>(c.size()), c.rows, c.cols);
        amx_products(device, alpha, products, count, 0.0F, value);
        store(device, View<const float>(value), beta, c);
        return true;
      }
    }
    amx_gemm(device, alpha, sum, beta, as_bits(c.data), c.stride);
    return true;
#else
    return false;
#endif
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
      store(device, View<const float>(value), beta, c);
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
    const bool small = a.size() * static_cast<Index>(sizeof(bfloat16)) < parallel_bytes;
    parallel_ranges(small ? 1 : device.threads(), a.rows, 32, [&](Index first, Index count) {
      std::fill_n(sums + first, count, 0.0F);
      if (a.is_column_major()) {
        add_bfloat16_columns(count, a.cols, bits + first, a.stride, factors, sums + first);
      } else {
        add_bfloat16_rows(count, a.cols, bits + first * a.stride, a.stride, factors, sums + first);
      }
    });
    store(device, View<const float>(dense_view(sums, y.rows, 1)), beta, y);
  }

  /// c = alpha a + beta c
  template <class Result>
  static void combine(Device<Cpu>& device, float alpha, View<const bfloat16> a, float beta,
                      View<Result> c) {
    set(device, a, c, [=](float value, float old) {
      return beta == 0 ? alpha * value : alpha * value + beta * old;
    });
  }

  template <class Result>
  static void fill(Device<Cpu>& device, Result value, View<Result> c) {
    CpuElementwise::fill(device, value, c);
  }

 private:
#if defined(ACCRETE_HAS_AMX)
  static AmxOperand rows_of(View<const bfloat16> a) noexcept {
    return {as_bits(a.data), a.rows, a.cols, a.row_step(), a.col_step()};
  }
#endif
  /// c(i, j) = update(a(i, j), c(i, j)), all in float.
  template <class Source, class Result, class Update>
  static void set(Device<Cpu>& device, View<const Source> a, View<Result> c, const Update& update) {
    if (!c.is_column_major()) {
      return set(device, a.transposed(), c.transposed(), update);
    }
    const bool small = c.size() * static_cast<Index>(sizeof(Result)) < parallel_bytes;
    // Rows whose cache lines stay while the columns pass by, where these lie across.
    const Index piece = a.is_column_major() ? c.rows : 64;
    const Index grain = a.is_column_major() ? 1 : 32;
    parallel_ranges(small ? 1 : device.threads(), c.cols, grain, [&](Index first, Index count) {
      for (Index row = 0; row < c.rows; row += piece) {
        const Index rows = (std::min)(piece, c.rows - row);
        for (Index j = first; j < first + count; ++j) {
          set_column(rows, as_bits(&a(row, j)), a.row_step(), as_bits(&c(row, j)), update);
        }
      }
    });
  }
  template <class Source, class Result, class Update>
  static void set_column(Index rows, const Source* a, Index a_step, Result* c,
                         const Update& update) {
    if (a_step == 1) {
      ACCRETE_SIMD()
      for (Index i = 0; i < rows; ++i) {
        c[i] = rounded<Result>(update(to_float(a[i]), to_float(c[i])));
      }
    } else {
      for (Index i = 0; i < rows; ++i) {
        c[i] = rounded<Result>(update(to_float(a[i * a_step]), to_float(c[i])));
      }
    }
  }
  template <class Result>
  static void store(Device<Cpu>& device, View<const float> value, float beta, View<Result> c) {
    set(device, value, c, [=](float sum, float old) { return beta == 0 ? sum : sum + beta * old; });
  }

  static View<const float> converted(Device<Cpu>& device, Workspace::Frame& frame,
                                     View<const bfloat16> a) {
    if (!a.is_column_major()) {
      return converted(device, frame, a.transposed()).transposed();
    }
    const View<float> copy = dense_view(frame.allocate<float>(a.size()), a.rows, a.cols);
    set(device, a, copy, [](float value, float) { return value; });
    return copy;
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
