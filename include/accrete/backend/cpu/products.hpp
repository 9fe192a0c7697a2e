// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/avx512_products.hpp>
#include <accrete/backend/cpu/gemm_provider.hpp>
#include <accrete/backend/cpu/gemv.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Products of the cpu backend.
struct CpuProducts {
  template <class Scalar>
  static void gemm(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
    if (c.empty()) {
      return;
    }
    if (!c.is_column_major()) {
      return gemm(device, alpha, b.transposed(), a.transposed(), beta, c.transposed());
    }
    if (a.cols == 0) {
      return scale(device, beta, c);
    }
    if (c.cols == 1) {
      return gemv(device, alpha, a, b, beta, c);
    }
    if (c.rows == 1) {
      return gemv(device, alpha, b.transposed(), a.transposed(), beta, c.transposed());
    }
    // Below this size a library call costs more than the arithmetic.
    constexpr Index tiny = 16 * 16 * 16;
    if (c.size() * a.cols <= tiny) {
      if (a.cols < 2 * Lanes<Scalar>::count || !inner_products(device, alpha, a, b, beta, c)) {
        tiny_gemm(device, alpha, a, b, beta, c);
      }
      return;
    }
    if (outer_products_pay(a)) {
      return outer_products(device, alpha, a, b, beta, c);
    }
    if (few_columns_pay(a, c.cols) && !is_slow_in_provider(a, b, c) &&
        inner_products(device, alpha, a, b, beta, c)) {
      return;
    }
    if (few_rows_pay(c.rows, b) &&
        inner_products(device, alpha, b.transposed(), a.transposed(), beta, c.transposed())) {
      return;
    }
    const MatrixProduct<Scalar> product{a, b};
    if (avx512_pays(a, beta, c) && avx512_products(device, alpha, &product, 1, beta, c)) {
      return;
    }
    if constexpr (GemmProvider<Scalar>::is_native) {
      if (beta != Scalar{1}) {
        scale(device, beta, c);
      }
      eigen_gemm(device, alpha, a, b, c);
    } else if (is_slow_in_provider(a, b, c)) {
      transposed_gemm(device, alpha, a, b, beta, c);
    } else {
      provider_gemm(device, alpha, a, b, beta, c);
    }
  }

  /// Products that add up to a result of this shape are faster where they are added up before it is
  /// stored, by gemm_sum.
  template <class Scalar>
  static bool sums_products(Index rows, Index cols) noexcept {
    return GemmProvider<Scalar>::is_native && has_avx512() && rows >= 32 && cols >= 32;
  }
  /// c = alpha (a b + ...) + beta c for at most most_products. False, and nothing done, where they
  /// are better computed one by one.
  template <class Scalar>
  static bool gemm_sum(Device<Cpu>& device, Scalar alpha, const MatrixProduct<Scalar>* products,
                       int count, Scalar beta, View<Scalar> c) {
    return sums_products<Scalar>(c.rows, c.cols) &&
           avx512_products(device, alpha, products, count, beta, c);
  }

  /// y = alpha a x + beta y; x and y are single columns of any stride.
  template <class Scalar>
  static void gemv(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& x, Scalar beta, const View<Scalar>& y) {
    if (y.empty()) {
      return;
    }
    if (a.cols == 0) {
      return scale(device, beta, y);
    }
    const Index bytes = a.size() * static_cast<Index>(sizeof(Scalar));
    const int threads = bytes < parallel_read_bytes ? 1 : device.threads();
    if (threads == 1 && x.row_step() == 1 && y.row_step() == 1) {
      return gemv_serial(alpha, a, x.data, beta, y.data);
    }
    general_gemv(device, threads, alpha, a, x, beta, y);
  }

 private:
  /// Bytes from which a matrix in a cache is read faster by all threads than by one.
  static constexpr Index parallel_read_bytes = Index{5} << 17;
  /// Bytes of its large matrix from which all threads take a product with thin ones: the same for
  /// reading and writing, so that what one product has left in a thread's cache the next finds.
  static constexpr Index parallel_thin_bytes = Index{3} << 16;

  /// A library is as fast, but where some inner indices of float make a large result, and above all
  /// where they add to one.
  template <class Scalar>
  static bool avx512_pays(const View<const Scalar>& a, Scalar beta,
                          const View<Scalar>& c) noexcept {
    if (GemmProvider<Scalar>::is_native) {
      return a.is_column_major() || c.cols >= 8;
    }
    constexpr Index mebi = Index{1} << 20;
    return sizeof(Scalar) == 4 && a.cols >= 48 && a.cols <= 128 &&
           (std::min)(c.rows, c.cols) >= 768 &&
           c.size() >= (beta != Scalar{0} && a.cols <= 96 ? 3 * mebi / 2 : 8 * mebi);
  }

  /// The fewer, the narrower the vectors of this build are: a library finds the widest itself.
  template <class Scalar>
  static bool outer_products_pay(const View<const Scalar>& a) noexcept {
    constexpr Index depth = GemmProvider<Scalar>::is_native || vector_bytes == 64 ? outer_depth
                            : vector_bytes == 32                                  ? 8
                                                                                  : 1;
    return a.cols <= depth && a.is_column_major() && a.rows >= 4 * Lanes<Scalar>::count;
  }

  // Where inner products beat the blocked product of the same scalar, as measured. Float has a
  // library of its own, and there the large operand must not fit the second-level cache, unless
  // both operands are narrow: the library then packs what it hardly uses again.
  template <class Scalar>
  static bool few_columns_pay(const View<const Scalar>& a, Index columns) noexcept {
    if constexpr (sizeof(Scalar) == 4) {
      const Index width = (std::max)(a.rows, columns);
      const bool both_narrow = width <= 48 && columns <= 2 * a.rows;
      return (both_narrow && a.cols >= 32 * width && a.size() <= Index{1} << 21) ||
             (columns >= 4 && columns <= 16 && a.cols >= 512 && a.size() >= Index{1} << 18);
    } else {
      return columns <= 16 && a.cols >= 128;
    }
  }
  template <class Scalar>
  static bool few_rows_pay(Index rows, const View<const Scalar>& b) noexcept {
    return sizeof(Scalar) == 4 ? rows <= 8 && b.rows >= 512 : rows <= 16 && b.rows >= 128;
  }

  /// With strides, or by all threads.
  template <class Scalar>
  static void general_gemv(Device<Cpu>& device, int threads, Scalar alpha,
                           const View<const Scalar>& a, const View<const Scalar>& x, Scalar beta,
                           const View<Scalar>& y) {
    const Index bytes = a.size() * static_cast<Index>(sizeof(Scalar));
    Workspace::Frame frame(device.workspace());
    const Scalar* source = x.data;
    if (x.row_step() != 1) {
      Scalar* packed = frame.allocate<Scalar>(x.rows);
      for (Index i = 0; i < x.rows; ++i) {
        packed[i] = x(i, 0);
      }
      source = packed;
    }
    Scalar* target = y.row_step() == 1 ? y.data : frame.allocate<Scalar>(y.rows);
    const Scalar inner_beta = target == y.data ? beta : Scalar{0};
    constexpr Index grain = static_cast<Index>(Workspace::alignment / sizeof(Scalar));
    // Long columns in a cache are read as fast in parts, which need no sums.
    const bool parts_pay = a.cols < 64 || (a.rows >= 2048 && bytes <= Index{2} << 20);
    if (threads > 1 && a.is_column_major() && !parts_pay) {
      gemv_by_columns(threads, frame, alpha, a, source, inner_beta, target);
    } else {
      parallel_ranges(threads, a.rows, grain, [&](Index first, Index count) {
        gemv_serial(alpha, a.block(first, 0, count, a.cols), source, inner_beta, target + first);
      });
    }
    if (target != y.data) {
      for (Index i = 0; i < y.rows; ++i) {
        y(i, 0) = beta == Scalar{0} ? target[i] : target[i] + beta * y(i, 0);
      }
    }
  }

  /// Each thread takes some columns and sums of its own: it reads whole columns, which memory
  /// delivers up to twice as fast as parts of them.
  template <class Scalar>
  static void gemv_by_columns(int threads, Workspace::Frame& frame, Scalar alpha,
                              View<const Scalar> a, const Scalar* x, Scalar beta, Scalar* y) {
    const Index step = ((a.cols + threads - 1) / threads + 7) / 8 * 8;
    const Index stride = (a.rows + 15) / 16 * 16;
    Scalar* sums = frame.allocate<Scalar>(threads * stride);
    parallel_ranges(threads, threads, 1, [&](Index thread, Index) {
      const Index first = (std::min)(thread * step, a.cols);
      const Index count = (std::min)(step, a.cols - first);
      gemv_serial(alpha, a.columns(first, count), x + first, Scalar{0}, sums + thread * stride);
    });
    for (int t = 0; t < threads; ++t) {
      const Scalar* part = sums + t * stride;
      const Scalar before = t > 0 ? Scalar{1} : beta;
      for (Index i = 0; i < a.rows; ++i) {
        y[i] = before == Scalar{0} ? part[i] : part[i] + before * y[i];
      }
    }
  }

  /// oneDNN multiplies a row-major matrix by few columns at a third to two thirds of its rate.
  template <class Scalar>
  static bool is_slow_in_provider(const View<const Scalar>& a, const View<const Scalar>& b,
                                  const View<Scalar>& c) noexcept {
#if defined(ACCRETE_USE_ONEDNN)
    return !GemmProvider<Scalar>::is_native && !a.is_column_major() && b.is_column_major() &&
           c.cols > 12 && c.cols < 64 && a.size() >= Index{1} << 20;
#else
    static_cast<void>(a), static_cast<void>(b), static_cast<void>(c);
    return false;
#endif
  }

  /// The same product as cᵀ = bᵀ aᵀ, with the small operands transposed in memory.
  template <class Scalar>
  static void transposed_gemm(Device<Cpu>& device, Scalar alpha, View<const Scalar> a,
                              View<const Scalar> b, Scalar beta, View<Scalar> c) {
    Workspace::Frame frame(device.workspace());
    const View<Scalar> right = dense_view(frame.allocate<Scalar>(b.size()), b.cols, b.rows);
    CpuElementwise::combine(device, Scalar{1}, b.transposed(), Scalar{0}, right);
    const View<Scalar> result = dense_view(frame.allocate<Scalar>(c.size()), c.cols, c.rows);
    provider_gemm(device, alpha, View<const Scalar>(right), a.transposed(), Scalar{0}, result);
    CpuElementwise::combine(device, Scalar{1}, View<const Scalar>(result).transposed(), beta, c);
  }

  /// By columns of c, or by rows where the columns are few.
  template <class Scalar>
  static void outer_products(Device<Cpu>& device, Scalar alpha, View<const Scalar> a,
                             View<const Scalar> b, Scalar beta, View<Scalar> c) {
    const bool small = c.size() * static_cast<Index>(sizeof(Scalar)) < parallel_thin_bytes &&
                       c.size() * a.cols < Index{1} << 18;
    const int threads = small ? 1 : device.threads();
    if (c.cols >= threads * tile_width) {
      // Packing pays where many columns of c are read, and those of a and c together are more than
      // the lines of a cache's set.
      const bool packs =
          beta != Scalar{0} && a.cols > 4 && c.cols >= threads * 16 * Index{tile_width};
      Workspace::Frame frame(device.workspace());
      const Index size = ((std::min)(a.rows, outer_rows) * a.cols + 15) / 16 * 16;
      Scalar* space = packs ? frame.allocate<Scalar>(threads * size) : nullptr;
      const Index step =
          ((c.cols + threads - 1) / threads + tile_width - 1) / tile_width * tile_width;
      parallel_ranges(threads, c.cols, step, [&](Index first, Index count) {
        set_outer_products(alpha, a, b.columns(first, count), beta, c.columns(first, count),
                           packs ? space + first / step * size : nullptr);
      });
    } else {
      constexpr Index grain = tile_height * Lanes<Scalar>::count;
      parallel_ranges(threads, c.rows, grain, [&](Index first, Index count) {
        set_outer_products(alpha, a.block(first, 0, count, a.cols), b, beta,
                           c.block(first, 0, count, c.cols), nullptr);
      });
    }
  }

  /// False, and nothing done, where the operands do not lie so that inner products pay.
  template <class Scalar>
  static bool inner_products(Device<Cpu>& device, Scalar alpha, View<const Scalar> a,
                             View<const Scalar> b, Scalar beta, View<Scalar> c) {
    if (a.is_column_major() || !b.is_column_major()) {
      return false;
    }
    const bool small = a.size() * static_cast<Index>(sizeof(Scalar)) < parallel_thin_bytes;
    parallel_ranges(small ? 1 : device.threads(), a.rows, 4, [&](Index first, Index count) {
      set_inner_products(alpha, a.block(first, 0, count, a.cols), b.data, b.stride, beta,
                         c.block(first, 0, count, c.cols));
    });
    return true;
  }

  template <class Scalar>
  static void scale(Device<Cpu>& device, Scalar beta, View<Scalar> c) {
    if (beta == Scalar{0}) {
      CpuElementwise::fill(device, Scalar{0}, c);
    } else if (beta != Scalar{1}) {
      CpuElementwise::combine(device, beta, View<const Scalar>(c), Scalar{0}, c);
    }
  }

  /// Column by column of c, on the caller's thread.
  template <class Scalar>
  static void tiny_gemm(Device<Cpu>& device, Scalar alpha, View<const Scalar> a,
                        View<const Scalar> b, Scalar beta, View<Scalar> c) {
    scale(device, beta, c);
    for (Index j = 0; j < c.cols; ++j) {
      Scalar* target = c.data + j * c.stride;
      for (Index k = 0; k < a.cols; ++k) {
        const Scalar factor = alpha * b(k, j);
        const Scalar* column = a.data + k * a.col_step();
        if (a.is_column_major()) {
          ACCRETE_SIMD()
          for (Index i = 0; i < c.rows; ++i) {
            target[i] += column[i] * factor;
          }
        } else {
          for (Index i = 0; i < c.rows; ++i) {
            target[i] += column[i * a.stride] * factor;
          }
        }
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
