// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/cpu/intrinsics.hpp>
#include <accrete/backend/rounding.hpp>

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__) && defined(__linux__) && (defined(__clang__) || __GNUC__ >= 11)
#define ACCRETE_HAS_AMX
/// A function for processors with Advanced Matrix Extensions, whatever the compiler's target.
#define ACCRETE_AMX                                                                                \
  __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512bf16")))

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

ACCRETE_BEGIN_INTRINSICS

ACCRETE_BEGIN_NAMESPACE

namespace detail::native {

/// Whether the processor multiplies tiles of bfloat16 and the kernel lets this process do so.
inline bool amx_usable() noexcept {
  static const bool usable = [] {
    unsigned a = 0, b = 0, c = 0, d = 0, a1 = 0, b1 = 0, c1 = 0, d1 = 0;
    constexpr unsigned vectors = 1U << 16 | 1U << 30 | 1U << 31; // avx512f, bw, vl
    constexpr unsigned tiles = 1U << 22 | 1U << 24;              // amx-bf16, amx-tile
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & vectors) != vectors ||
        (d & tiles) != tiles || __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) == 0 ||
        (a1 & 1U << 5) == 0) { // avx512_bf16
      return false;
    }
    constexpr int request_permission = 0x1023, tile_data = 18; // asm/prctl.h, from Linux 5.16
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  }();
  return usable;
}

/// An operand is cut into panels of 32 rows (of the left operand) or columns (of the right one),
/// a panel into steps of 32 along the inner dimension. A step fills two tiles of 1 KiB.
inline constexpr Index amx_panel = 32;
inline constexpr Index amx_step = 32;
inline constexpr Index amx_tile_entries = 512;
inline constexpr Index amx_step_entries = 2 * amx_tile_entries;

/// Which of a panel's 32 rows lies at `place` of its tile: as interleaving two registers leaves
/// them.
constexpr Index amx_row(Index tile, Index place) noexcept {
  return place / 4 * 8 + tile * 4 + place % 4;
}

/// A mask of as many lanes as there are entries, none if `count` is negative.
constexpr std::uint32_t first_lanes(Index count) noexcept {
  return count >= 32 ? ~0U : count <= 0 ? 0U : (1U << static_cast<unsigned>(count)) - 1U;
}

/// Up to 32 lines of up to 32 bit patterns; zeros beyond.
struct AmxLines {
  const std::uint16_t* data;
  Index stride, count, width;

  ACCRETE_AMX __m512i operator[](Index line) const {
    const __mmask32 mask = line < count ? first_lanes(width) : 0U;
    return _mm512_maskz_loadu_epi16(mask, line < count ? data + line * stride : data);
  }
};

/// Transposes 16 x 16 words of 32 bits.
ACCRETE_AMX inline void amx_transpose(__m512i (&v)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512i even_low = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
    const __m512i even_high = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
    const __m512i odd_low = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xDD);
    const __m512i odd_high = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xDD);
    v[i] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    v[i + 4] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(even_low, even_high, 0xDD);
    v[i + 12] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xDD);
  }
}

/// A step of the left operand: tiles whose row q holds, for 16 rows of the operand, the entries of
/// inner indices 2q and 2q + 1 side by side.
ACCRETE_AMX inline void pack_amx_pairs(const AmxLines& lines, bool inner_lines,
                                       std::uint16_t* out) {
  if (!inner_lines) {
    for (Index q = 0; q < 16; ++q) {
      const __m512i even = lines[2 * q];
      const __m512i odd = lines[2 * q + 1];
      _mm512_store_si512(out + q * 32, _mm512_unpacklo_epi16(even, odd));
      _mm512_store_si512(out + amx_tile_entries + q * 32, _mm512_unpackhi_epi16(even, odd));
    }
    return;
  }
  for (Index tile = 0; tile < 2; ++tile) {
    __m512i v[16];
    for (Index i = 0; i < 16; ++i) {
      v[i] = lines[amx_row(tile, i)];
    }
    amx_transpose(v);
    for (Index q = 0; q < 16; ++q) {
      _mm512_store_si512(out + tile * amx_tile_entries + q * 32, v[q]);
    }
  }
}

/// The same of two panels side by side, all 64 rows and 32 columns of them: whole pairs of cache
/// lines of a column-major operand.
ACCRETE_AMX inline void pack_amx_pairs_twice(const std::uint16_t* data, Index stride,
                                             std::uint16_t* out, std::uint16_t* second) {
  for (Index q = 0; q < 16; ++q) {
    const std::uint16_t* column = data + 2 * q * stride;
    for (const Index x : {Index{0}, Index{1}}) {
      const __m512i even = _mm512_loadu_si512(column + 32 * x);
      const __m512i odd = _mm512_loadu_si512(column + 32 * x + stride);
      std::uint16_t* target = (x == 0 ? out : second) + q * 32;
      _mm512_store_si512(target, _mm512_unpacklo_epi16(even, odd));
      _mm512_store_si512(target + amx_tile_entries, _mm512_unpackhi_epi16(even, odd));
    }
  }
}

/// A step of the right operand: tiles whose rows are 32 entries of a column.
ACCRETE_AMX inline void pack_amx_rows(const AmxLines& lines, bool inner_lines, std::uint16_t* out) {
  if (inner_lines) {
    for (Index j = 0; j < 32; ++j) {
      _mm512_store_si512(out + j * 32, lines[j]);
    }
    return;
  }
  __m512i low[16];
  __m512i high[16];
  for (Index q = 0; q < 16; ++q) {
    const __m512i even = lines[2 * q];
    const __m512i odd = lines[2 * q + 1];
    low[q] = _mm512_unpacklo_epi16(even, odd);
    high[q] = _mm512_unpackhi_epi16(even, odd);
  }
  amx_transpose(low);
  amx_transpose(high);
  for (Index i = 0; i < 16; ++i) {
    _mm512_store_si512(out + amx_row(0, i) * 32, low[i]);
    _mm512_store_si512(out + amx_row(1, i) * 32, high[i]);
  }
}

/// An operand by its steps in memory along its outer and its inner dimension, of which one is 1.
struct AmxOperand {
  const std::uint16_t* data;
  Index outer, inner; ///< sizes
  Index outer_step, inner_step;

  [[nodiscard]] bool has_inner_lines() const noexcept { return inner_step == 1; }
  /// All entries of the step are there, in this panel and those before.
  [[nodiscard]] bool is_full(Index panel, Index step) const noexcept {
    return (panel + 1) * amx_panel <= outer && (step + 1) * amx_step <= inner;
  }
  [[nodiscard]] const std::uint16_t* at(Index panel, Index step) const noexcept {
    return data + panel * amx_panel * outer_step + step * amx_step * inner_step;
  }
  /// The lines of one step of one panel.
  [[nodiscard]] AmxLines lines(Index panel, Index step) const noexcept {
    const Index outers = (std::min)(amx_panel, outer - panel * amx_panel);
    const Index inners = (std::min)(amx_step, inner - step * amx_step);
    return has_inner_lines() ? AmxLines{at(panel, step), outer_step, outers, inners}
                             : AmxLines{at(panel, step), inner_step, inners, outers};
  }
};

/// The operands of a product, of the same inner size.
struct AmxProduct {
  AmxOperand left, right;

  [[nodiscard]] Index steps() const noexcept { return ceil_div(left.inner, amx_step); }
};

} // namespace detail::native

ACCRETE_END_NAMESPACE

ACCRETE_END_INTRINSICS

#endif
