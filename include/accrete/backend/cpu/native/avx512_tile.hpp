// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/lanes.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

#if defined(__x86_64__) && defined(__GNUC__)
#define ACCRETE_HAS_AVX512
/// A function for processors with AVX-512, whatever the compiler's target.
#define ACCRETE_AVX512 __attribute__((target("avx512f")))
#define ACCRETE_AVX512_INLINE __attribute__((always_inline, target("avx512f")))

ACCRETE_BEGIN_NAMESPACE

namespace detail::native {

/// Whether the processor and its operating system have vectors of 512 bits.
inline bool avx512_usable() noexcept {
  static const bool usable = __builtin_cpu_supports("avx512f") != 0;
  return usable;
}

/// A register of 512 bits, whatever this file is compiled for.
template <class Scalar>
using Avx512 = Lanes<Scalar, 64>;

/// Vectors of rows and columns of a tile, whose sums fill 24 of the 32 registers.
inline constexpr int avx512_height = 3;
inline constexpr int avx512_width = 8;

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

  /// All rows of a tile, and all columns.
  template <int height, class Vector>
  ACCRETE_AVX512_INLINE void store(const Vector* sums) const {
    // Copies, which the compiler knows to outlive what is stored.
    const Avx512Target target = *this;
    const bool adds = beta != Scalar{0};
    ACCRETE_UNROLL
    for (int j = 0; j < avx512_width; ++j) {
      ACCRETE_UNROLL
      for (int v = 0; v < height; ++v) {
        Scalar* entries = target.c + j * target.stride + v * Avx512<Scalar>::count;
        Vector result = sums[j * height + v] * target.alpha;
        if (adds) {
          Vector before;
          std::memcpy(&before, entries, sizeof(Vector));
          result += before * target.beta;
        }
        std::memcpy(entries, &result, sizeof(Vector));
      }
    }
  }
  /// Some of them; `sums` by columns of `height` rows.
  void store_some(const Scalar* sums, Index height) const {
    for (Index j = 0; j < cols; ++j) {
      for (Index i = 0; i < rows; ++i) {
        Scalar& entry = c[i + j * stride];
        const Scalar sum = alpha * sums[i + j * height];
        entry = beta == Scalar{0} ? sum : sum + beta * entry;
      }
    }
  }
};

/// The sums over a piece for `height` vectors of rows and eight columns. Rows and columns that
/// the target lacks are not stored, but must be readable. The rows of the left operand lie packed,
/// aligned, those of one inner index after those of another; or they are column-major, and are
/// packed on the way, `next` entries apart: 0 where nobody reads them again.
template <int height, bool is_packed, class Scalar>
ACCRETE_AVX512 void avx512_tile(const Avx512Piece<Scalar>& piece, Scalar* packed, Index next,
                                const Avx512Target<Scalar>& target) {
  using Vector = typename Avx512<Scalar>::type;
  constexpr Index lanes = Avx512<Scalar>::count;
  constexpr Index rows = height * lanes;
  constexpr Index inner_ahead = is_packed ? 16 : 12;
  Vector sums[std::size_t{avx512_width * height}] = {};
  const Scalar* left = piece.left;
  const Scalar* low = piece.right;
  const Scalar* high = low + 4 * piece.right_col;
  const Index one = piece.right_col;
  const Index three = 3 * one;
  for (Index k = 0; k < piece.depth; ++k) {
    Vector a[std::size_t{height}];
    ACCRETE_UNROLL
    for (int v = 0; v < height; ++v) {
      if constexpr (is_packed) {
        std::memcpy(&a[v], packed + v * lanes, sizeof(Vector));
        __builtin_prefetch(packed + inner_ahead * rows + v * lanes);
      } else {
        std::memcpy(&a[v], left + v * lanes, sizeof(Vector));
        __builtin_prefetch(left + inner_ahead * piece.left_inner + v * lanes);
        std::memcpy(packed + v * lanes, &a[v], sizeof(Vector));
      }
    }
    const Scalar* entries[] = {low,  low + one,  low + 2 * one,  low + three,
                               high, high + one, high + 2 * one, high + three};
    ACCRETE_UNROLL
    for (int j = 0; j < avx512_width; ++j) {
      const Scalar b = *entries[j];
      ACCRETE_UNROLL
      for (int v = 0; v < height; ++v) {
        sums[j * height + v] += a[v] * b;
      }
    }
    left += piece.left_inner;
    packed += is_packed ? rows : next;
    low += piece.right_inner;
    high += piece.right_inner;
  }
  if (target.rows == rows && target.cols == avx512_width) {
    target.template store<height>(sums);
  } else {
    Scalar some[std::size_t{avx512_width * rows}];
    ACCRETE_UNROLL
    for (int i = 0; i < avx512_width * height; ++i) {
      std::memcpy(some + i * lanes, &sums[i], sizeof(Vector));
    }
    target.store_some(some, rows);
  }
}

/// Shuffles of two vectors that are one instruction each. A quarter is the 128 bits within which
/// neighbours can be exchanged.
template <class Scalar,
          class Places = std::make_integer_sequence<int, static_cast<int>(Avx512<Scalar>::count)>>
struct Avx512Shuffles;
template <class Scalar, int... lane>
struct Avx512Shuffles<Scalar, std::integer_sequence<int, lane...>> {
  using Vector = typename Avx512<Scalar>::type;
  static constexpr int lanes = sizeof...(lane);
  static constexpr int quarter = lanes / 4;

  /// Blocks of `side` entries of a and b by turns, from the lower half of each quarter or the
  /// upper.
  template <int side, bool upper>
  static constexpr int by_turns(int l) {
    const int place = l % quarter;
    return l - place + place / (2 * side) * side + place % side + (upper ? quarter / 2 : 0) +
           (place / side % 2 == 0 ? 0 : lanes);
  }
  /// Quarters 0 and 2 of a and of b, or 1 and 3.
  template <bool odd>
  static constexpr int quarters(int l) {
    return (l / quarter % 2 * 2 + (odd ? 1 : 0)) * quarter + l % quarter +
           (l < lanes / 2 ? 0 : lanes);
  }

  template <int side>
  ACCRETE_AVX512 static void interleave(Vector& a, Vector& b) {
    const Vector lower = __builtin_shufflevector(a, b, by_turns<side, false>(lane)...);
    b = __builtin_shufflevector(a, b, by_turns<side, true>(lane)...);
    a = lower;
  }
  ACCRETE_AVX512 static void part(Vector& a, Vector& b) {
    const Vector even = __builtin_shufflevector(a, b, quarters<false>(lane)...);
    b = __builtin_shufflevector(a, b, quarters<true>(lane)...);
    a = even;
  }
};

/// v[i] holds row i before and column i afterwards.
template <class Scalar, class Vector = typename Avx512<Scalar>::type>
ACCRETE_AVX512 void transpose_avx512(Vector* v) {
  using Shuffles = Avx512Shuffles<Scalar>;
  constexpr int quarter = Shuffles::quarter;
  ACCRETE_UNROLL
  for (int i = 0; i < 4 * quarter; i += quarter) {
    if constexpr (quarter == 4) {
      Shuffles::template interleave<1>(v[i], v[i + 1]);
      Shuffles::template interleave<1>(v[i + 2], v[i + 3]);
      Shuffles::template interleave<2>(v[i], v[i + 2]);
      Shuffles::template interleave<2>(v[i + 1], v[i + 3]);
      std::swap(v[i + 1], v[i + 2]);
    } else {
      Shuffles::template interleave<1>(v[i], v[i + 1]);
    }
  }
  ACCRETE_UNROLL
  for (int i = 0; i < quarter; ++i) {
    Shuffles::part(v[i], v[i + quarter]);
    Shuffles::part(v[i + 2 * quarter], v[i + 3 * quarter]);
    Shuffles::part(v[i], v[i + 2 * quarter]);
    Shuffles::part(v[i + quarter], v[i + 3 * quarter]);
  }
}

/// Packs a vector of rows, of which those from `rows` on are zeros, into every `height`th vector.
template <class Scalar>
ACCRETE_AVX512 void pack_avx512_rows(const Scalar* data, Index row_step, Index inner_step,
                                     Index rows, Index depth, Scalar* out, Index height) {
  using Vector = typename Avx512<Scalar>::type;
  constexpr Index lanes = Avx512<Scalar>::count;
  Index k = 0;
  if (row_step == 1 && rows == lanes) {
    for (; k < depth; ++k) {
      std::memcpy(out + k * height * lanes, data + k * inner_step, sizeof(Vector));
    }
  } else if (inner_step == 1 && rows == lanes) {
    for (; k + lanes <= depth; k += lanes) {
      Vector v[std::size_t{lanes}];
      for (Index i = 0; i < lanes; ++i) {
        std::memcpy(&v[i], data + i * row_step + k, sizeof(Vector));
      }
      transpose_avx512<Scalar>(v);
      for (Index i = 0; i < lanes; ++i) {
        std::memcpy(out + (k + i) * height * lanes, &v[i], sizeof(Vector));
      }
    }
  }
  for (; k < depth; ++k) {
    for (Index i = 0; i < lanes; ++i) {
      out[k * height * lanes + i] = i < rows ? data[i * row_step + k * inner_step] : Scalar{0};
    }
  }
}

/// Packs `cols` columns in panels of eight, `next` entries apart; what the last one lacks is zero.
template <class Scalar>
ACCRETE_AVX512 void pack_avx512_columns(const Avx512Piece<Scalar>& piece, Index cols, Scalar* out,
                                        Index next) {
  Index j = 0;
  if (piece.right_col == 1) {
    const Index whole = cols / avx512_width * avx512_width;
    for (Index k = 0; k < piece.depth; ++k) {
      const Scalar* row = piece.right + k * piece.right_inner;
      Scalar* target = out + k * avx512_width;
      for (j = 0; j < whole; j += avx512_width, target += next) {
        std::memcpy(target, row + j, avx512_width * sizeof(Scalar));
      }
    }
    out += j / avx512_width * next;
  }
  for (; j < cols; j += avx512_width, out += next) {
    for (Index k = 0; k < piece.depth; ++k) {
      for (Index i = 0; i < avx512_width; ++i) {
        out[k * avx512_width + i] =
            j + i < cols ? piece.right[k * piece.right_inner + (j + i) * piece.right_col]
                         : Scalar{0};
      }
    }
  }
}

} // namespace detail::native

ACCRETE_END_NAMESPACE

#endif
