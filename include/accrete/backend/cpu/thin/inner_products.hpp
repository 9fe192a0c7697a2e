// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/lanes.hpp>
#include <accrete/backend/view.hpp>

#include <algorithm>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// c(i, j) = alpha <row i at `a`, column j at `b`> + beta c(i, j) for `height` rows and `width`
/// columns.
template <int height, int width, class Scalar>
void set_block_of_products(Scalar alpha, Index count, const Scalar* a, Index a_stride,
                           const Scalar* b, Index b_stride, Scalar beta, Scalar* c, Index row_step,
                           Index col_step) {
  using Vector = typename Lanes<Scalar>::type;
  constexpr Index lanes = Lanes<Scalar>::count;
  // A sum waits for its last addition: eight at a time keep the units busy.
  constexpr int parts = (std::max)(1, 8 / (height * width));
  Vector sums[std::size_t{parts * height * width}] = {};
  const auto add = [&](int part, auto load) {
    Vector columns[std::size_t{width}];
    ACCRETE_UNROLL
    for (int j = 0; j < width; ++j) {
      Vector column = load(b + j * b_stride);
      ACCRETE_KEEP_LOADED(column);
      columns[j] = column;
    }
    ACCRETE_UNROLL
    for (int i = 0; i < height; ++i) {
      Vector row = load(a + i * a_stride);
      ACCRETE_KEEP_LOADED(row);
      ACCRETE_UNROLL
      for (int j = 0; j < width; ++j) {
        sums[(part * height + i) * width + j] += row * columns[j];
      }
    }
  };
  const auto at = [](Index k) { return [k](const Scalar* from) { return load_lanes(from + k); }; };
  Index k = 0;
  for (; k + parts * lanes <= count; k += parts * lanes) {
    ACCRETE_UNROLL
    for (int part = 0; part < parts; ++part) {
      add(part, at(k + part * lanes));
    }
  }
  if constexpr (parts > 1) {
    for (; k + lanes <= count; k += lanes) {
      add(0, at(k));
    }
  }
  if (k < count && count >= lanes) { // of the last vector what is not counted yet
    add(0, [&](const Scalar* from) { return last_lanes(from + count, count - k); });
    k = count;
  }
  Scalar totals[std::size_t{height * width * lanes}];
  ACCRETE_UNROLL
  for (int i = 0; i < height * width; ++i) {
    ACCRETE_UNROLL
    for (int part = 1; part < parts; ++part) {
      sums[i] += sums[part * height * width + i];
    }
    store_lanes(totals + i * lanes, sums[i]);
  }
  for (int i = 0; i < height; ++i) {
    for (int j = 0; j < width; ++j) {
      Scalar sum = sum_of_lanes(totals + (i * width + j) * lanes);
      for (Index rest = k; rest < count; ++rest) {
        sum += a[rest + i * a_stride] * b[rest + j * b_stride];
      }
      Scalar& target = c[i * row_step + j * col_step];
      target = beta == Scalar{0} ? alpha * sum : alpha * sum + beta * target;
    }
  }
}

/// `height` rows of a times all columns of b, four, two or one at a time.
template <int height, class Scalar>
void set_products_of_rows(Scalar alpha, Index count, const Scalar* a, Index a_stride,
                          const Scalar* b, Index b_stride, Scalar beta, View<Scalar> c) {
  const auto go = [&]<int width>(Index j, std::integral_constant<int, width>) {
    set_block_of_products<height, width>(alpha, count, a, a_stride, b + j * b_stride, b_stride,
                                         beta, c.data + j * c.col_step(), c.row_step(),
                                         c.col_step());
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

/// c = alpha a b + beta c by inner products: a row-major, each column of b contiguous, c in either
/// order. With few columns there are hardly more operations than loads, so that packing `a`, as a
/// blocked product does, would cost more than the arithmetic; here it is read once, where it lies,
/// from its last row to its first: a product with its transpose goes the other way, and what one of
/// them has read last is in a cache for the next.
template <class Scalar>
void set_inner_products(Scalar alpha, View<const Scalar> a, const Scalar* b, Index b_stride,
                        Scalar beta, View<Scalar> c) {
  // A piece stays in the first cache, where a single column leaves more room.
  const Index piece = (c.cols == 1 ? 32768 : 8192) / static_cast<Index>(sizeof(Scalar));
  for (Index first = 0; first < a.cols; first += piece) {
    const Index count = (std::min)(piece, a.cols - first);
    const Scalar before = first == 0 ? beta : Scalar{1};
    Index i = a.rows;
    for (; c.cols == 1 && i >= 8; i -= 8) {
      const View<Scalar> rows = c.block(i - 8, 0, 8, 1);
      set_block_of_products<8, 1>(alpha, count, a.data + (i - 8) * a.stride + first, a.stride,
                                  b + first, b_stride, before, rows.data, rows.row_step(),
                                  rows.col_step());
    }
    for (; i >= 4; i -= 4) {
      set_products_of_rows<4>(alpha, count, a.data + (i - 4) * a.stride + first, a.stride,
                              b + first, b_stride, before, c.block(i - 4, 0, 4, c.cols));
    }
    for (; i > 0; --i) {
      set_products_of_rows<1>(alpha, count, a.data + (i - 1) * a.stride + first, a.stride,
                              b + first, b_stride, before, c.block(i - 1, 0, 1, c.cols));
    }
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
