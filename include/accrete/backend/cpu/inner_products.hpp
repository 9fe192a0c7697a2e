// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

// Without it, compilers keep the sums of a block in memory instead of in registers.
#if defined(__clang__)
#define ACCRETE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ACCRETE_UNROLL _Pragma("GCC unroll 16")
#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail {

#if defined(__AVX512F__)
inline constexpr std::size_t vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr std::size_t vector_bytes = 32;
#else
inline constexpr std::size_t vector_bytes = 16;
#endif

/// One vector register. Explicit, since compilers choose half of the width for loops.
template <class Scalar>
struct Lanes {
  typedef Scalar type __attribute__((vector_size(vector_bytes)));
  static constexpr Index count = static_cast<Index>(vector_bytes / sizeof(Scalar));
};

/// c(i, j) += alpha <row i at `a`, column j at `b`> for `height` rows and `width` columns.
template <int height, int width, class Scalar>
void add_block_of_products(Scalar alpha, Index count, const Scalar* a, Index a_stride,
                           const Scalar* b, Index b_stride, Scalar* c, Index row_step,
                           Index col_step) {
  using Vector = typename Lanes<Scalar>::type;
  Vector sums[height * width] = {};
  Index k = 0;
  for (; k + Lanes<Scalar>::count <= count; k += Lanes<Scalar>::count) {
    Vector columns[width];
    ACCRETE_UNROLL
    for (int j = 0; j < width; ++j) {
      std::memcpy(&columns[j], b + k + j * b_stride, vector_bytes);
    }
    ACCRETE_UNROLL
    for (int i = 0; i < height; ++i) {
      Vector row;
      std::memcpy(&row, a + k + i * a_stride, vector_bytes);
      ACCRETE_UNROLL
      for (int j = 0; j < width; ++j) {
        sums[i * width + j] += row * columns[j];
      }
    }
  }
  ACCRETE_UNROLL
  for (int i = 0; i < height; ++i) {
    ACCRETE_UNROLL
    for (int j = 0; j < width; ++j) {
      Scalar lanes[Lanes<Scalar>::count];
      std::memcpy(lanes, &sums[i * width + j], vector_bytes);
      ACCRETE_UNROLL
      for (Index half = Lanes<Scalar>::count / 2; half > 0; half /= 2) {
        ACCRETE_UNROLL
        for (Index l = 0; l < half; ++l) {
          lanes[l] += lanes[l + half];
        }
      }
      Scalar sum = lanes[0];
      for (Index rest = k; rest < count; ++rest) {
        sum += a[rest + i * a_stride] * b[rest + j * b_stride];
      }
      c[i * row_step + j * col_step] += alpha * sum;
    }
  }
}

/// `height` rows of a times all columns of b, four, two or one at a time.
template <int height, class Scalar>
void add_products_of_rows(Scalar alpha, Index count, const Scalar* a, Index a_stride,
                          const Scalar* b, Index b_stride, View<Scalar> c) {
  const auto go = [&]<int width>(Index j, std::integral_constant<int, width>) {
    add_block_of_products<height, width>(alpha, count, a, a_stride, b + j * b_stride, b_stride,
                                         c.data + j * c.col_step(), c.row_step(), c.col_step());
  };
  Index j = 0;
  for (; j + 4 <= c.cols; j += 4) {
    go(j, std::integral_constant<int, 4>());
  }
  for (; j + 2 <= c.cols; j += 2) {
    go(j, std::integral_constant<int, 2>());
  }
  if (j < c.cols) {
    go(j, std::integral_constant<int, 1>());
  }
}

/// c += alpha a b by inner products: a row-major, each column of b contiguous, c in either order.
/// With few columns there are hardly more operations than loads, so that packing `a`, as a blocked
/// product does, would cost more than the arithmetic; here it is read once, where it lies.
template <class Scalar>
void add_inner_products(Scalar alpha, View<const Scalar> a, const Scalar* b, Index b_stride,
                        View<Scalar> c) {
  constexpr Index piece = 8192 / static_cast<Index>(sizeof(Scalar)); // stays in the first cache
  for (Index first = 0; first < a.cols; first += piece) {
    const Index count = std::min(piece, a.cols - first);
    Index i = 0;
    for (; i + 4 <= a.rows; i += 4) {
      add_products_of_rows<4>(alpha, count, a.data + i * a.stride + first, a.stride, b + first,
                              b_stride, c.block(i, 0, 4, c.cols));
    }
    for (; i < a.rows; ++i) {
      add_products_of_rows<1>(alpha, count, a.data + i * a.stride + first, a.stride, b + first,
                              b_stride, c.block(i, 0, 1, c.cols));
    }
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE

#undef ACCRETE_UNROLL
