// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/lanes.hpp>
#include <accrete/backend/view.hpp>

#include <algorithm>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Columns and vectors of rows whose sums fit the registers, with room for a column of a.
inline constexpr int tile_width = vector_bytes == 64 ? 8 : 4;
inline constexpr int tile_height = 3;

/// c = a b + beta c for `height` vectors of rows and `width` columns; b is depth x width, row by
/// row. With beta 0, c is not read.
template <int height, int width, class Scalar>
void set_tile(Index depth, const Scalar* a, Index a_stride, const Scalar* b, Scalar beta, Scalar* c,
              Index c_stride) {
  using Vector = typename Lanes<Scalar>::type;
  constexpr Index lanes = Lanes<Scalar>::count;
  Vector sums[std::size_t{width * height}] = {};
  for (Index k = 0; k < depth; ++k) {
    Vector column[std::size_t{height}];
    ACCRETE_UNROLL
    for (int i = 0; i < height; ++i) {
      column[i] = load_lanes(a + i * lanes + k * a_stride);
    }
    ACCRETE_UNROLL
    for (int j = 0; j < width; ++j) {
      ACCRETE_UNROLL
      for (int i = 0; i < height; ++i) {
        sums[j * height + i] += column[i] * b[k * width + j];
      }
    }
  }
  // What is read first would have left the cache again: columns whose distance is a multiple of
  // 4 KiB share few of its lines.
  const bool adds = beta != Scalar{0};
  ACCRETE_UNROLL
  for (int j = 0; j < width; ++j) {
    ACCRETE_UNROLL
    for (int i = 0; i < height; ++i) {
      Scalar* entries = c + i * lanes + j * c_stride;
      Vector result = sums[j * height + i];
      if (adds) {
        result += load_lanes(entries) * beta;
      }
      store_lanes(entries, result);
    }
  }
}

/// The last `rest` rows, fewer than a vector: their places in a tile are its last ones, so that `a`
/// is read from a vector's length before its end.
template <int width, class Scalar>
void set_last_rows(Index rest, Index depth, const Scalar* a, Index a_stride, const Scalar* b,
                   Scalar beta, Scalar* c, Index c_stride) {
  constexpr Index lanes = Lanes<Scalar>::count;
  Scalar sums[std::size_t{width * lanes}] = {};
  const auto each = [&](auto move) {
    for (int j = 0; j < width; ++j) {
      for (Index i = 0; i < rest; ++i) {
        move(sums[(j + 1) * lanes - rest + i], c[i + j * c_stride]);
      }
    }
  };
  if (beta != Scalar{0}) {
    each([](Scalar& sum, Scalar before) { sum = before; });
  }
  set_tile<1, width>(depth, a, a_stride, b, beta, sums, lanes);
  each([](Scalar sum, Scalar& result) { result = sum; });
}

/// The same where c has fewer rows than a vector.
template <int width, class Scalar>
void set_few_rows(View<const Scalar> a, const Scalar* b, Scalar beta, Scalar* c, Index c_stride) {
  for (int j = 0; j < width; ++j) {
    for (Index i = 0; i < a.rows; ++i) {
      Scalar& target = c[i + j * c_stride];
      Scalar sum = beta == Scalar{0} ? Scalar{0} : beta * target;
      for (Index k = 0; k < a.cols; ++k) {
        sum += a.data[i + k * a.stride] * b[k * width + j];
      }
      target = sum;
    }
  }
}

/// `width` columns, c = a b + beta c, `height` vectors of rows at a time; a column-major. `packed`,
/// where it is not null, has what pack_panels made of a.
template <int height, int width, class Scalar>
void set_columns(View<const Scalar> a, std::type_identity_t<const Scalar*> packed, const Scalar* b,
                 Scalar beta, Scalar* c, Index c_stride) {
  constexpr Index lanes = Lanes<Scalar>::count;
  constexpr Index panel = height * lanes;
  if (a.rows < lanes) {
    return set_few_rows<width>(a, b, beta, c, c_stride);
  }
  Index i = 0;
  for (; i + panel <= a.rows; i += panel) {
    const Scalar* rows = packed ? packed + i * a.cols : a.data + i;
    set_tile<height, width>(a.cols, rows, packed ? panel : a.stride, b, beta, c + i, c_stride);
  }
  for (; i + lanes <= a.rows; i += lanes) {
    set_tile<1, width>(a.cols, a.data + i, a.stride, b, beta, c + i, c_stride);
  }
  if (i < a.rows) {
    set_last_rows<width>(a.rows - i, a.cols, a.data + a.rows - lanes, a.stride, b, beta, c + i,
                         c_stride);
  }
}

/// The rows of a that fill tiles, those of one tile after those of another: columns of a do not
/// drive each other or c from the cache.
template <class Scalar>
void pack_panels(View<const Scalar> a, Scalar* packed) {
  constexpr Index panel = tile_height * Lanes<Scalar>::count;
  for (Index i = 0; i + panel <= a.rows; i += panel) {
    for (Index k = 0; k < a.cols; ++k) {
      packed = std::copy_n(a.data + i + k * a.stride, panel, packed);
    }
  }
}

/// Most columns of a for set_outer_products.
inline constexpr Index outer_depth = 16;

/// set_outer_products for rows that stay in the second-level cache.
template <class Scalar>
void set_row_block(Scalar alpha, View<const Scalar> a, View<const Scalar> b, Scalar beta,
                   View<Scalar> c, std::type_identity_t<Scalar*> space) {
  if (space) {
    pack_panels(a, space);
  }
  const auto go = [&]<int width>(Index j, std::integral_constant<int, width>) {
    Scalar factors[std::size_t{outer_depth * width}];
    for (Index k = 0; k < b.rows; ++k) {
      for (int l = 0; l < width; ++l) {
        factors[k * width + l] = alpha * b(k, j + l);
      }
    }
    set_columns<tile_height, width>(a, space, factors, beta, c.data + j * c.stride, c.stride);
  };
  Index j = 0;
  if (a.cols > 1) { // else columns are written fastest one after the other
    for (; j + tile_width <= c.cols; j += tile_width) {
      go(j, std::integral_constant<int, tile_width>());
    }
    for (; j + 2 <= c.cols; j += 2) {
      go(j, std::integral_constant<int, 2>());
    }
  }
  for (; j < c.cols; ++j) {
    go(j, std::integral_constant<int, 1>());
  }
}

/// Rows that set_outer_products takes in at a time, in whole tiles.
inline constexpr Index outer_rows = 4608;

/// c = alpha a b + beta c by outer products of the few columns of a and rows of b; a and c are
/// column-major. c is read and written once. `space`, for as much of a as is taken in at a time, or
/// null: a is not packed.
template <class Scalar>
void set_outer_products(Scalar alpha, View<const Scalar> a, View<const Scalar> b, Scalar beta,
                        View<Scalar> c, std::type_identity_t<Scalar*> space) {
  for (Index row = 0; row < a.rows; row += outer_rows) {
    const Index rows = (std::min)(outer_rows, a.rows - row);
    set_row_block(alpha, a.block(row, 0, rows, a.cols), b, beta, c.block(row, 0, rows, c.cols),
                  space);
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
