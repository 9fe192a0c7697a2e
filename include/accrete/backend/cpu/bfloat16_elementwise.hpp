// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/view.hpp>

#include <algorithm>
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

/// Elementwise kernels of bfloat16, computed in float.
struct CpuBfloat16Elementwise {
  /// c = alpha a + beta c
  template <class Result>
  static void combine(Device<Cpu>& device, float alpha, View<const bfloat16> a, float beta,
                      View<Result> c) {
    set(device, a, c, [=](float value, float old) {
      return beta == 0 ? alpha * value : alpha * value + beta * old;
    });
  }

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
};

} // namespace detail

ACCRETE_END_NAMESPACE
