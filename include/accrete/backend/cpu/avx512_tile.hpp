// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__)
#define ACCRETE_HAS_AVX512
/// A function for processors with AVX-512, whatever the compiler's target.
#define ACCRETE_AVX512 __attribute__((target("avx512f")))

#include <immintrin.h>

#if defined(__clang__)
#define ACCRETE_UNROLL_TILE _Pragma("clang loop unroll(full)")
#else
#define ACCRETE_UNROLL_TILE _Pragma("GCC unroll 24")
#endif

// g++ 12 takes the deliberately undefined operand of an AVX-512 intrinsic for a mistake (PR
// 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Whether the processor and its operating system have vectors of 512 bits.
inline bool avx512_usable() noexcept {
  static const bool usable = __builtin_cpu_supports("avx512f") != 0;
  return usable;
}

/// A register of 512 bits, and masks of its lanes.
template <class Scalar>
struct Avx512;

template <>
struct Avx512<float> {
  using Vector = __m512;
  using Mask = __mmask16;
  static constexpr Index lanes = 16;

  ACCRETE_AVX512 static Vector zero() { return _mm512_setzero_ps(); }
  ACCRETE_AVX512 static Vector fill(float value) { return _mm512_set1_ps(value); }
  ACCRETE_AVX512 static Vector load(const float* data) { return _mm512_load_ps(data); }
  ACCRETE_AVX512 static Vector load(Mask mask, const float* data) {
    return _mm512_maskz_loadu_ps(mask, data);
  }
  ACCRETE_AVX512 static void store(float* data, Vector value) { _mm512_store_ps(data, value); }
  ACCRETE_AVX512 static void store(Mask mask, float* data, Vector value) {
    _mm512_mask_storeu_ps(data, mask, value);
  }
  ACCRETE_AVX512 static Vector times(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  /// a b + c
  ACCRETE_AVX512 static Vector add_product(Vector a, Vector b, Vector c) {
    return _mm512_fmadd_ps(a, b, c);
  }

  /// v[i] holds row i before and column i afterwards.
  ACCRETE_AVX512 static void transpose(Vector (&v)[16]) {
    __m512d t[16];
    for (int i = 0; i < 16; i += 4) {
      const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(v[i], v[i + 1]));
      const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(v[i], v[i + 1]));
      const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(v[i + 2], v[i + 3]));
      const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(v[i + 2], v[i + 3]));
      t[i] = _mm512_unpacklo_pd(low01, low23);
      t[i + 1] = _mm512_unpackhi_pd(low01, low23);
      t[i + 2] = _mm512_unpacklo_pd(high01, high23);
      t[i + 3] = _mm512_unpackhi_pd(high01, high23);
    }
    for (int i = 0; i < 4; ++i) {
      const Vector a = _mm512_castpd_ps(t[i]), b = _mm512_castpd_ps(t[i + 4]),
                   c = _mm512_castpd_ps(t[i + 8]), d = _mm512_castpd_ps(t[i + 12]);
      const Vector even_low = _mm512_shuffle_f32x4(a, b, 0x88);
      const Vector even_high = _mm512_shuffle_f32x4(c, d, 0x88);
      const Vector odd_low = _mm512_shuffle_f32x4(a, b, 0xDD);
      const Vector odd_high = _mm512_shuffle_f32x4(c, d, 0xDD);
      v[i] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
      v[i + 4] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
      v[i + 8] = _mm512_shuffle_f32x4(even_low, even_high, 0xDD);
      v[i + 12] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xDD);
    }
  }
};

template <>
struct Avx512<double> {
  using Vector = __m512d;
  using Mask = __mmask8;
  static constexpr Index lanes = 8;

  ACCRETE_AVX512 static Vector zero() { return _mm512_setzero_pd(); }
  ACCRETE_AVX512 static Vector fill(double value) { return _mm512_set1_pd(value); }
  ACCRETE_AVX512 static Vector load(const double* data) { return _mm512_load_pd(data); }
  ACCRETE_AVX512 static Vector load(Mask mask, const double* data) {
    return _mm512_maskz_loadu_pd(mask, data);
  }
  ACCRETE_AVX512 static void store(double* data, Vector value) { _mm512_store_pd(data, value); }
  ACCRETE_AVX512 static void store(Mask mask, double* data, Vector value) {
    _mm512_mask_storeu_pd(data, mask, value);
  }
  ACCRETE_AVX512 static Vector times(Vector a, Vector b) { return _mm512_mul_pd(a, b); }
  /// a b + c
  ACCRETE_AVX512 static Vector add_product(Vector a, Vector b, Vector c) {
    return _mm512_fmadd_pd(a, b, c);
  }

  /// v[i] holds row i before and column i afterwards.
  ACCRETE_AVX512 static void transpose(Vector (&v)[8]) {
    Vector t[8];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm512_unpacklo_pd(v[i], v[i + 1]);
      t[i + 1] = _mm512_unpackhi_pd(v[i], v[i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
      const Vector even_low = _mm512_shuffle_f64x2(t[i], t[i + 2], 0x88);
      const Vector even_high = _mm512_shuffle_f64x2(t[i + 4], t[i + 6], 0x88);
      const Vector odd_low = _mm512_shuffle_f64x2(t[i], t[i + 2], 0xDD);
      const Vector odd_high = _mm512_shuffle_f64x2(t[i + 4], t[i + 6], 0xDD);
      v[i] = _mm512_shuffle_f64x2(even_low, even_high, 0x88);
      v[i + 2] = _mm512_shuffle_f64x2(odd_low, odd_high, 0x88);
      v[i + 4] = _mm512_shuffle_f64x2(even_low, even_high, 0xDD);
      v[i + 6] = _mm512_shuffle_f64x2(odd_low, odd_high, 0xDD);
    }
  }
};

/// Vectors of rows and columns of a tile, whose sums fill 24 of the 32 registers.
inline constexpr int avx512_height = 3;
inline constexpr int avx512_width = 8;

/// A mask of as many lanes as there are rows, none if `rows` is negative.
template <class Scalar>
constexpr typename Avx512<Scalar>::Mask avx512_mask(Index rows) noexcept {
  using Mask = typename Avx512<Scalar>::Mask;
  constexpr Index lanes = Avx512<Scalar>::lanes;
  return rows >= lanes
             ? static_cast<Mask>(~0U)
             : static_cast<Mask>((1U << static_cast<unsigned>(std::max(rows, Index{0}))) - 1U);
}

/// A stretch of the inner dimension of a product, by the distances of its entries.
template <class Scalar>
struct Avx512Piece {
  const Scalar* left;
  Index left_row, left_inner;
  const Scalar* right;
  Index right_inner, right_col;
  Index depth;
};

/// Where a tile lies, and what becomes of its sums: c = alpha sums + beta c.
template <class Scalar>
struct Avx512Target {
  Scalar* c;
  Index stride, rows, cols;
  Scalar alpha, beta;

  ACCRETE_AVX512 void prefetch(Index col, Index height) const {
    const Scalar* column = c + col * stride;
    for (Index v = 0; v < height; ++v) {
      __builtin_prefetch(column + v * Avx512<Scalar>::lanes, 1);
    }
    __builtin_prefetch(column + height * Avx512<Scalar>::lanes - 1, 1);
  }
};

/// How a tile comes by its rows of the left operand.
enum class Avx512Left {
  packed,  ///< lies packed, aligned: the rows of one inner index after those of another
  packing, ///< column-major, and packed on the way
  in_place ///< column-major, and read only once
};

/// What a tile asks of memory for those that follow.
struct Avx512Ahead {
  Index first_col = 0, cols = 0;   ///< of the right operand, counted from the tile's first
  Index first_inner = 0, step = 0; ///< every `step`th inner index at the pieces' `left`; 0: none
};

/// The sums over all pieces for `height` vectors of rows and eight columns, of which those beyond
/// the target's are not stored; they must be readable.
template <int height, Avx512Left kind, class Scalar>
ACCRETE_AVX512 void avx512_tile(const Avx512Piece<Scalar>* pieces, Index count, Index total,
                                Scalar* packed, const Avx512Target<Scalar>& target,
                                const Avx512Ahead& ahead) {
  using V = Avx512<Scalar>;
  using Vector = typename V::Vector;
  constexpr Index rows = height * V::lanes;
  constexpr Index line = 64 / sizeof(Scalar);
  constexpr Index packed_ahead = 16; // inner indices
  constexpr Index memory_ahead = 12;
  typename V::Mask masks[height];
  ACCRETE_UNROLL_TILE
  for (int v = 0; v < height; ++v) {
    masks[v] = avx512_mask<Scalar>(target.rows - v * V::lanes);
  }
  Vector sums[avx512_width * height];
  ACCRETE_UNROLL_TILE
  for (int i = 0; i < avx512_width * height; ++i) {
    sums[i] = V::zero();
  }
  // What is read and written next is asked for in eight goes.
  const Index stretch = (total + avx512_width - 1) / avx512_width;
  Index column = 0;
  for (const Avx512Piece<Scalar>* piece = pieces; piece < pieces + count; ++piece) {
    const Scalar* left = piece->left;
    const Scalar* low = piece->right;
    const Scalar* high = low + 4 * piece->right_col;
    const Index one = piece->right_col;
    const Index three = 3 * one;
    Index wanted = ahead.first_inner;
    for (Index first = 0; first < piece->depth; first += stretch, ++column) {
      const Index steps = std::min(stretch, piece->depth - first);
      if (column < target.cols) {
        target.prefetch(column, height);
      }
      for (Index j = ahead.first_col; j < ahead.first_col + ahead.cols; ++j) {
        for (Index k = 0; k < steps; k += line) {
          __builtin_prefetch(low + j * one + k);
        }
      }
      if (kind == Avx512Left::packed && ahead.step > 0) {
        for (; wanted < first + steps; wanted += ahead.step) {
          for (int v = 0; v < height; ++v) {
            __builtin_prefetch(piece->left + wanted * piece->left_inner + v * V::lanes, 0, 2);
          }
        }
      }
      for (Index k = 0; k < steps; ++k) {
        Vector a[height];
        ACCRETE_UNROLL_TILE
        for (int v = 0; v < height; ++v) {
          if constexpr (kind == Avx512Left::packed) {
            a[v] = V::load(packed + v * V::lanes);
            __builtin_prefetch(packed + packed_ahead * rows + v * V::lanes);
          } else {
            a[v] = V::load(masks[v], left + v * V::lanes);
            __builtin_prefetch(left + memory_ahead * piece->left_inner + v * V::lanes);
            if constexpr (kind == Avx512Left::packing) {
              V::store(packed + v * V::lanes, a[v]);
            }
          }
        }
        const Scalar* entries[] = {low,  low + one,  low + 2 * one,  low + three,
                                   high, high + one, high + 2 * one, high + three};
        ACCRETE_UNROLL_TILE
        for (int j = 0; j < avx512_width; ++j) {
          const Vector b = V::fill(*entries[j]);
          ACCRETE_UNROLL_TILE
          for (int v = 0; v < height; ++v) {
            sums[j * height + v] = V::add_product(a[v], b, sums[j * height + v]);
          }
        }
        left += piece->left_inner;
        packed += rows;
        low += piece->right_inner;
        high += piece->right_inner;
      }
    }
  }
  const Vector alpha = V::fill(target.alpha);
  const Vector beta = V::fill(target.beta);
  ACCRETE_UNROLL_TILE
  for (int j = 0; j < avx512_width; ++j) {
    if (j < target.cols) {
      ACCRETE_UNROLL_TILE
      for (int v = 0; v < height; ++v) {
        Scalar* c = target.c + j * target.stride + v * V::lanes;
        Vector result = V::times(alpha, sums[j * height + v]);
        if (target.beta != Scalar{0}) {
          result = V::add_product(beta, V::load(masks[v], c), result);
        }
        V::store(masks[v], c, result);
      }
    }
  }
}

/// Packs up to a vector of rows, row-major, `height` vectors being packed side by side.
template <class Scalar>
ACCRETE_AVX512 void pack_avx512_rows(const Scalar* data, Index stride, Index rows, Index depth,
                                     Scalar* out, Index height) {
  using V = Avx512<Scalar>;
  typename V::Vector v[V::lanes];
  for (Index k = 0; k < depth; k += V::lanes) {
    const auto mask = avx512_mask<Scalar>(depth - k);
    for (Index i = 0; i < V::lanes; ++i) {
      v[i] = i < rows ? V::load(mask, data + i * stride + k) : V::zero();
    }
    V::transpose(v);
    const Index count = std::min(V::lanes, depth - k);
    for (Index i = 0; i < count; ++i) {
      V::store(out + (k + i) * height * V::lanes, v[i]);
    }
  }
}

/// The same of column-major rows.
template <class Scalar>
ACCRETE_AVX512 void pack_avx512_lines(const Scalar* data, Index stride, Index rows, Index depth,
                                      Scalar* out, Index height) {
  using V = Avx512<Scalar>;
  const auto mask = avx512_mask<Scalar>(rows);
  for (Index k = 0; k < depth; ++k) {
    V::store(out + k * height * V::lanes, V::load(mask, data + k * stride));
  }
}

/// Packs `cols` columns in panels of eight, `next` entries apart; what the last one lacks is zero.
template <class Scalar>
ACCRETE_AVX512 void pack_avx512_columns(const Avx512Piece<Scalar>& piece, Index cols, Scalar* out,
                                        Index next) {
  using V = Avx512<Scalar>;
  if (piece.right_col == 1) {
    constexpr auto whole = avx512_mask<Scalar>(avx512_width);
    for (Index k = 0; k < piece.depth; ++k) {
      const Scalar* row = piece.right + k * piece.right_inner;
      Scalar* target = out + k * avx512_width;
      for (Index j = 0; j < cols; j += avx512_width, target += next) {
        const Index rest = std::min(Index{avx512_width}, cols - j);
        V::store(whole, target, V::load(avx512_mask<Scalar>(rest), row + j));
      }
    }
    return;
  }
  for (Index j = 0; j < cols; j += avx512_width, out += next) {
    for (Index k = 0; k < piece.depth; ++k) {
      for (Index i = 0; i < avx512_width; ++i) {
        out[k * avx512_width + i] =
            j + i < cols ? piece.right[k * piece.right_inner + (j + i) * piece.right_col]
                         : Scalar{0};
      }
    }
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif
