// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/gemm_provider.hpp>
#include <accrete/backend/cpu/route.hpp>
#include <accrete/backend/cpu/thin/gemv.hpp>
#include <accrete/backend/rounding.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Products of the cpu backend.
struct CpuProducts {
  template <class Scalar>
  static void gemm(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
    if (!c.is_column_major()) {
      return gemm(device, alpha, b.transposed(), a.transposed(), beta, c.transposed());
    }
    ProductShape shape = shape_of(device, a, b, beta, c, product_library<Scalar>);
    shape.has_native = has_native_beside_library<Scalar>;
    shape.has_avx512 = native::Avx512Gemm::is_usable();
    const Route way = route(shape);
    compute(way, spread(way, shape), device, alpha, a, b, beta, c);
  }

  /// By a route that fits the product, whichever would be the fastest; c column-major.
  template <class Scalar>
  static void compute(Route route, const Spread& team, Device<Cpu>& device, Scalar alpha,
                      const View<const Scalar>& a, const View<const Scalar>& b, Scalar beta,
                      const View<Scalar>& c) {
    switch (route) {
    case Route::none:
      return;
    case Route::scale:
      return CpuElementwise::scale(device, beta, c);
    case Route::gemv:
      return gemv(team, device, alpha, a, b, beta, c);
    case Route::gemv_transposed:
      return gemv(team, device, alpha, b.transposed(), a.transposed(), beta, c.transposed());
    case Route::loop:
      return loop(device, alpha, a, b, beta, c);
    case Route::outer:
      return outer_products(team, device, alpha, a, b, beta, c);
    case Route::inner:
      return inner_products(team, alpha, a, b, beta, c);
    case Route::inner_transposed:
      return inner_products(team, alpha, b.transposed(), a.transposed(), beta, c.transposed());
    case Route::native:
      NativeProviders::gemm(device, alpha, a, b, beta, c);
      return;
    case Route::provider:
      GemmProviders<Scalar>::gemm(device, alpha, a, b, beta, c);
    }
  }

  /// y = alpha a x + beta y; x and y are single columns of any stride.
  template <class Scalar>
  static void gemv(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& x, Scalar beta, const View<Scalar>& y) {
    if (y.empty()) {
      return;
    }
    if (a.cols == 0) {
      return CpuElementwise::scale(device, beta, y);
    }
    gemv(spread(Route::gemv, shape_of(device, a, x, beta, y, Library::none)), device, alpha, a, x,
         beta, y);
  }

 private:
  template <class Scalar>
  static void gemv(const Spread& team, Device<Cpu>& device, Scalar alpha,
                   const View<const Scalar>& a, const View<const Scalar>& x, Scalar beta,
                   const View<Scalar>& y) {
    if (team.threads == 1 && x.row_step() == 1 && y.row_step() == 1) {
      return gemv_serial(alpha, a, x.data, beta, y.data);
    }
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
    if (team.threads > 1 && team.by_columns) {
      gemv_by_columns(team.threads, frame, alpha, a, source, inner_beta, target);
    } else {
      constexpr Index grain = static_cast<Index>(Workspace::alignment / sizeof(Scalar));
      parallel_ranges(team.threads, a.rows, grain, [&](Index first, Index count) {
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
    const Index step = round_up(ceil_div(a.cols, threads), 8);
    const Index stride = round_up(a.rows, 16);
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

  /// By columns of c, or by rows where the columns are few.
  template <class Scalar>
  static void outer_products(const Spread& team, Device<Cpu>& device, Scalar alpha,
                             const View<const Scalar>& a, const View<const Scalar>& b, Scalar beta,
                             const View<Scalar>& c) {
    if (!team.by_columns) {
      constexpr Index grain = tile_height * Lanes<Scalar>::count;
      return parallel_ranges(team.threads, c.rows, grain, [&](Index first, Index count) {
        set_outer_products(alpha, a.block(first, 0, count, a.cols), b, beta,
                           c.block(first, 0, count, c.cols), nullptr);
      });
    }
    Workspace::Frame frame(device.workspace());
    const Index size = round_up((std::min)(a.rows, outer_rows) * a.cols, 16);
    Scalar* space = team.packs ? frame.allocate<Scalar>(team.threads * size) : nullptr;
    const Index step = range_length(team.threads, c.cols, tile_width);
    parallel_ranges(team.threads, c.cols, tile_width, [&](Index first, Index count) {
      set_outer_products(alpha, a, b.columns(first, count), beta, c.columns(first, count),
                         team.packs ? space + first / step * size : nullptr);
    });
  }

  /// By rows of c.
  template <class Scalar>
  static void inner_products(const Spread& team, Scalar alpha, const View<const Scalar>& a,
                             const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
    parallel_ranges(team.threads, a.rows, 4, [&](Index first, Index count) {
      set_inner_products(alpha, a.block(first, 0, count, a.cols), b.data, b.stride, beta,
                         c.block(first, 0, count, c.cols));
    });
  }

  /// Column by column of c, on the caller's thread.
  template <class Scalar>
  static void loop(Device<Cpu>& device, Scalar alpha, View<const Scalar> a, View<const Scalar> b,
                   Scalar beta, View<Scalar> c) {
    CpuElementwise::scale(device, beta, c);
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
