// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/native/amx_panels.hpp>

#include <algorithm>
#include <cstdint>

#if defined(ACCRETE_HAS_AMX)

ACCRETE_BEGIN_INTRINSICS

ACCRETE_BEGIN_NAMESPACE

namespace detail::native {

/// While it lives, the eight tile registers of this thread have 16 rows of 64 bytes.
class AmxTiles {
 public:
  ACCRETE_AMX AmxTiles() {
    struct alignas(64) {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } configuration;
    _tile_loadconfig(&configuration);
  }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
  ACCRETE_AMX ~AmxTiles() { _tile_release(); }
};

ACCRETE_AMX inline __m512 amx_load(__mmask16 mask, const float* data) {
  return _mm512_maskz_loadu_ps(mask, data);
}
ACCRETE_AMX inline __m512 amx_load(__mmask16 mask, const std::uint16_t* data) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, data));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
ACCRETE_AMX inline void amx_store(__mmask16 mask, __m512 value, float* data) {
  _mm512_mask_storeu_ps(data, mask, value);
}
ACCRETE_AMX inline void amx_store(__mmask16 mask, __m512 value, std::uint16_t* data) {
  _mm256_mask_storeu_epi16(data, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
}

/// A block of sums on its way into c = alpha sums + beta c. Its columns are stored while the next
/// block is multiplied, so that neither waits for the other.
template <class Result>
struct AmxStore {
  const float* sums = nullptr; ///< 32 columns of two tiles, rows in the order of amx_row
  Index rows = 0, cols = 0;
  Result* c = nullptr;
  Index stride = 0;
  float alpha = 1, beta = 0;
  Index done = 0;

  /// The next `count` columns.
  ACCRETE_AMX void store(Index count) {
    const __m512i low_rows = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i high_rows = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    const __mmask16 low_mask = static_cast<__mmask16>(first_lanes(rows));
    const __mmask16 high_mask = static_cast<__mmask16>(first_lanes(rows - 16));
    const __m512 scale = _mm512_set1_ps(alpha);
    const __m512 keep = _mm512_set1_ps(beta);
    for (const Index last = (std::min)(cols, done + count); done < last; ++done) {
      const __m512d even = _mm512_castps_pd(_mm512_load_ps(sums + done * 32));
      const __m512d odd = _mm512_castps_pd(_mm512_load_ps(sums + done * 32 + 16));
      __m512 low = _mm512_castpd_ps(_mm512_permutex2var_pd(even, low_rows, odd));
      __m512 high = _mm512_castpd_ps(_mm512_permutex2var_pd(even, high_rows, odd));
      low = _mm512_mul_ps(low, scale);
      high = _mm512_mul_ps(high, scale);
      Result* column = c + done * stride;
      if (beta != 0) {
        low = _mm512_fmadd_ps(keep, amx_load(low_mask, column), low);
        high = _mm512_fmadd_ps(keep, amx_load(high_mask, column + 16), high);
      }
      amx_store(low_mask, low, column);
      amx_store(high_mask, high, column + 16);
    }
  }
};

/// 32 columns of 32 rows of the result that are about to be written, or none.
template <class Result>
struct AmxColumns {
  Result* data;
  Index stride;
  Index done, count;

  /// Asks for the cache lines of a few columns.
  ACCRETE_AMX void prefetch(Index columns) {
    for (const Index last = (std::min)(count, done + columns); done < last; ++done) {
      __builtin_prefetch(data + done * stride, 1);
      __builtin_prefetch(data + done * stride + 16, 1);
    }
  }
};

/// A right panel: packed, or in place where its columns are contiguous.
struct AmxRight {
  const std::uint16_t* data;
  Index column, step; ///< distances in entries
};

/// sums[j * 32 + tile * 16 + i] (+)= the product of row amx_row(tile, i) of the left panel with
/// column j of the right one.
template <class Result>
ACCRETE_AMX void amx_block(const std::uint16_t* left, const AmxRight& right, Index steps, bool add,
                           float* sums, AmxStore<Result>& pending, AmxColumns<Result> next) {
  constexpr Index row_bytes = 2 * 16 * sizeof(float);
  if (add) {
    _tile_loadd(0, sums, row_bytes);
    _tile_loadd(1, sums + 16, row_bytes);
    _tile_loadd(2, sums + 16 * 32, row_bytes);
    _tile_loadd(3, sums + 16 * 32 + 16, row_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const Index columns = ceil_div(amx_panel, steps);
  const Index column_bytes = right.column * Index{sizeof(std::uint16_t)};
  for (Index step = 0; step < steps; ++step) {
    const std::uint16_t* pairs = left + step * amx_step_entries;
    const std::uint16_t* rows = right.data + step * right.step;
    _tile_loadd(4, rows, column_bytes);
    // The left operand streams by; the right panel is to stay in the first-level cache.
    _tile_stream_loadd(6, pairs, 64);
    _tile_stream_loadd(7, pairs + amx_tile_entries, 64);
    _tile_loadd(5, rows + 16 * right.column, column_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    pending.store(columns);
    next.prefetch(columns);
  }
  pending.store(amx_panel);
  _tile_stored(0, sums, row_bytes);
  _tile_stored(1, sums + 16, row_bytes);
  _tile_stored(2, sums + 16 * 32, row_bytes);
  _tile_stored(3, sums + 16 * 32 + 16, row_bytes);
}

} // namespace detail::native

ACCRETE_END_NAMESPACE

ACCRETE_END_INTRINSICS

#endif
