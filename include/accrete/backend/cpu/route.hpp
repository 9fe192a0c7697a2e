// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/cpu/thin/outer_products.hpp>
#include <accrete/backend/cpu/thresholds.hpp>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The ways of the cpu backend to c = alpha a b + beta c, c column-major.
enum class Route : unsigned char {
  none,             ///< c has no entry
  scale,            ///< nothing is added: c = beta c
  gemv,             ///< c is one column
  gemv_transposed,  ///< c is one row
  loop,             ///< plain loops, column by column of c
  outer,            ///< sums of outer products, c read and written once
  inner,            ///< inner products where the operands lie
  inner_transposed, ///< the same of the transposed product
  native,           ///< blocked products of this library where another's would be taken
  provider,         ///< a product library, or the blocked products of this one
};

/// Whose products the provider's are.
enum class Library : unsigned char { none, onednn, blas };

/// All that a route depends on; not on the entries, nor on where they lie.
struct ProductShape {
  Index rows, cols, inner;
  bool a_in_columns, b_in_columns;
  bool adds; ///< beta is not 0
  int threads;
  Index scalar_bytes;
  Library library;
  Index vector = vector_bytes; ///< bytes of a register
  bool has_native = false;     ///< the library of this scalar may be passed over
  bool has_avx512 = false;     ///< the processor, and so the library

  [[nodiscard]] constexpr Index lanes() const noexcept { return vector / scalar_bytes; }
  [[nodiscard]] constexpr Index of(Quantity quantity) const noexcept {
    switch (quantity) {
    case Quantity::rows:
      return rows;
    case Quantity::cols:
      return cols;
    case Quantity::side:
      return (std::min)(rows, cols);
    case Quantity::width:
      return (std::max)(rows, cols);
    case Quantity::thread_width:
      return (std::max)(rows, cols) / threads;
    case Quantity::inner:
      return inner;
    case Quantity::row_vectors:
      return rows / lanes();
    case Quantity::inner_widths:
      return inner / (std::max)(rows, cols);
    case Quantity::panel_columns:
      return cols / (threads * tile_width);
    case Quantity::work:
      return rows * cols * inner;
    case Quantity::a_bytes:
      return rows * inner * scalar_bytes;
    case Quantity::c_bytes:
      return rows * cols * scalar_bytes;
    }
    return 0;
  }
  [[nodiscard]] constexpr bool below(const Threshold& t) const noexcept {
    return of(t.quantity) < t.value;
  }
  [[nodiscard]] constexpr bool above(const Threshold& t) const noexcept {
    return of(t.quantity) > t.value;
  }
  /// cᵀ = bᵀ aᵀ
  [[nodiscard]] constexpr ProductShape transposed() const noexcept {
    ProductShape result = *this;
    result.rows = cols;
    result.cols = rows;
    result.a_in_columns = !b_in_columns;
    result.b_in_columns = !a_in_columns;
    return result;
  }
};

/// The view of a product that decides.
template <class Scalar>
[[nodiscard]] ProductShape shape_of(const Device<Cpu>& device, const View<const Scalar>& a,
                                    const View<const Scalar>& b, Scalar beta, const View<Scalar>& c,
                                    Library library) noexcept {
  return {.rows = c.rows,
          .cols = c.cols,
          .inner = a.cols,
          .a_in_columns = a.is_column_major(),
          .b_in_columns = b.is_column_major(),
          .adds = beta != Scalar{0},
          .threads = c.size() * a.cols < thresholds::team_work.value ? 1 : device.threads(),
          .scalar_bytes = static_cast<Index>(sizeof(Scalar)),
          .library = library};
}

/// The route computes the product, whether it pays or not.
[[nodiscard]] constexpr bool fits(Route route, const ProductShape& s) noexcept {
  if (s.rows == 0 || s.cols == 0) {
    return route == Route::none;
  }
  if (s.inner == 0) {
    return route == Route::scale;
  }
  switch (route) {
  case Route::gemv:
    return s.cols == 1;
  case Route::gemv_transposed:
    return s.rows == 1;
  case Route::outer:
    return s.a_in_columns && s.inner <= outer_depth;
  case Route::inner:
  case Route::inner_transposed: // rows of a and columns of b are contiguous
    return !s.a_in_columns && s.b_in_columns;
  case Route::native:
    return s.has_native;
  case Route::loop:
  case Route::provider:
    return true;
  default:
    return false;
  }
}

/// The narrower the vectors of this build are, the fewer: a library finds the widest itself.
[[nodiscard]] constexpr bool outer_products_pay(const ProductShape& s) noexcept {
  const Threshold& most = s.library == Library::none || s.vector == 64 ? thresholds::outer_inner
                          : s.vector == 32                             ? thresholds::outer_inner_avx
                                           : thresholds::outer_inner_sse;
  return fits(Route::outer, s) && !s.above(most) && !s.below(thresholds::outer_rows);
}

/// With few columns of c, or where it is small and the inner dimension long.
[[nodiscard]] constexpr bool inner_products_pay(const ProductShape& s) noexcept {
  if (!fits(Route::inner, s)) {
    return false;
  }
  const bool is_long = s.library == Library::none
                           ? !s.below(thresholds::inner_inner)
                           : !s.below(thresholds::library_inner) && !s.below(thresholds::library_a);
  return (is_long && !s.above(thresholds::inner_cols)) ||
         (!s.above(thresholds::narrow_width) && !s.below(thresholds::narrow_inner));
}

/// With few rows of c.
[[nodiscard]] constexpr bool transposed_inner_products_pay(const ProductShape& s) noexcept {
  return fits(Route::inner_transposed, s) && !s.above(thresholds::inner_rows) &&
         !s.below(s.library == Library::none ? thresholds::inner_inner : thresholds::library_inner);
}

/// With AVX-512 a large result of few inner indices, as U Z is: it is written, or read and written,
/// once. With AVX2 long columns times some columns, as W0 X is: oneDNN does not pack them.
[[nodiscard]] constexpr bool native_products_pay(const ProductShape& s) noexcept {
  if (!s.has_native) {
    return false;
  }
  if (s.has_avx512) {
    return !s.below(thresholds::native_c) && !s.above(thresholds::native_inner);
  }
  return s.library == Library::onednn && s.vector == 32 && s.a_in_columns &&
         !s.below(thresholds::unpacked_rows) && !s.below(thresholds::unpacked_least) &&
         !s.above(thresholds::unpacked_most);
}

/// The way that is fastest, as far as measured.
[[nodiscard]] constexpr Route route(const ProductShape& s) noexcept {
  if (s.rows == 0 || s.cols == 0) {
    return Route::none;
  }
  if (s.inner == 0) {
    return Route::scale;
  }
  if (s.cols == 1) {
    return Route::gemv;
  }
  if (s.rows == 1) {
    return Route::gemv_transposed;
  }
  if (!s.above(thresholds::loop_work)) {
    return Route::loop;
  }
  if (outer_products_pay(s)) {
    return Route::outer;
  }
  if (inner_products_pay(s)) {
    return Route::inner;
  }
  if (transposed_inner_products_pay(s)) {
    return Route::inner_transposed;
  }
  if (native_products_pay(s)) {
    return Route::native;
  }
  return Route::provider;
}

/// How a route is spread over threads.
struct Spread {
  int threads = 1;
  bool by_columns = false; ///< of a (gemv) or of c (else); otherwise by rows
  bool packs = false;      ///< outer products: the rows of a in the order of the tiles

  bool operator==(const Spread&) const = default;
};

/// Of a product that takes this route, or would. One thread of a provider: it finds more itself.
[[nodiscard]] constexpr Spread spread(Route route, const ProductShape& s) noexcept {
  switch (route) {
  case Route::gemv: {
    if (s.below(thresholds::gemv_bytes)) {
      return {};
    }
    // Long columns in a cache are read as fast in parts, which need no sums.
    const bool is_long = !s.below(thresholds::gemv_rows) && !s.above(thresholds::gemv_cached);
    return {s.threads, s.a_in_columns && !s.below(thresholds::gemv_inner) && !is_long};
  }
  case Route::outer: {
    const bool small = s.below(thresholds::outer_bytes) && s.below(thresholds::outer_work);
    const int threads = small ? 1 : s.threads;
    const bool by_columns = s.cols >= threads * tile_width;
    ProductShape on_threads = s;
    on_threads.threads = threads;
    // Packing pays where many columns of c are read, and those of a and c together are more than
    // the lines of a cache's set.
    return {threads, by_columns,
            by_columns && s.adds && !s.below(thresholds::pack_inner) &&
                !on_threads.below(thresholds::pack_columns)};
  }
  case Route::inner:
    return {s.below(thresholds::inner_bytes) ? 1 : s.threads};
  case Route::provider: {
    const bool in_parts = s.library == Library::onednn && !s.a_in_columns && s.b_in_columns &&
                          !s.below(thresholds::parts_inner) && !s.above(thresholds::parts_side) &&
                          !s.below(thresholds::parts_width);
    return in_parts ? Spread{s.threads, s.cols > s.rows} : Spread{};
  }
  case Route::gemv_transposed:
    return spread(Route::gemv, s.transposed());
  case Route::inner_transposed:
    return spread(Route::inner, s.transposed());
  default:
    return {};
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
