// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/function.hpp>
#include <accrete/finite.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Independent partial sums of a reduction: they fill the vector registers, hide the latency of
/// the additions, and fix the order whatever the compiler does.
inline constexpr Index reduction_lanes = 32;

/// Sum of term(i), i < count, in that fixed order.
template <class Sum, class Term>
Sum sum_of(Index count, const Term& term) {
  std::array<Sum, reduction_lanes> lanes{};
  Index i = 0;
  for (; i + reduction_lanes <= count; i += reduction_lanes) {
    for (Index k = 0; k < reduction_lanes; ++k) {
      lanes[static_cast<std::size_t>(k)] += term(i + k);
    }
  }
  for (; i < count; ++i) {
    lanes[static_cast<std::size_t>(i % reduction_lanes)] += term(i);
  }
  for (std::size_t half = reduction_lanes / 2; half > 0; half /= 2) {
    for (std::size_t k = 0; k < half; ++k) {
      lanes[k] += lanes[k + half];
    }
  }
  return lanes[0];
}

/// Elementwise and reduction kernels of the cpu backend: one pass over memory, columns spread over
/// threads. Plain loops that compilers vectorise: they compile ten times as fast as the same in
/// Eigen's expressions, which every user's build would pay for.
struct CpuElementwise {
  template <class Scalar>
  static void combine(Device<Cpu>& device, Scalar alpha, View<const Scalar> a, Scalar beta,
                      View<Scalar> c) {
    if (c.empty()) {
      return;
    }
    if (!c.is_column_major()) {
      return combine(device, alpha, a.transposed(), beta, c.transposed());
    }
    const Index grain = a.is_column_major() ? 1 : tile;
    parallel_ranges(threads_for(device, c), c.cols, grain, [&](Index first, Index count) {
      const View<const Scalar> source = a.columns(first, count);
      const View<Scalar> target = c.columns(first, count);
      if (beta == Scalar{0}) {
        update(source, target, [=](Scalar x, Scalar) { return alpha * x; });
      } else {
        update(source, target, [=](Scalar x, Scalar y) { return alpha * x + beta * y; });
      }
    });
  }

  /// c = beta c; with beta 0, c is not read.
  template <class Scalar>
  static void scale(Device<Cpu>& device, Scalar beta, const View<Scalar>& c) {
    if (beta == Scalar{0}) {
      fill(device, Scalar{0}, c);
    } else if (beta != Scalar{1}) {
      combine(device, beta, View<const Scalar>(c), Scalar{0}, c);
    }
  }

  template <class Scalar>
  static void fill(Device<Cpu>& device, Scalar value, View<Scalar> c) {
    if (!c.is_column_major()) {
      c = c.transposed();
    }
    parallel_ranges(threads_for(device, c), c.cols, 1, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        std::fill_n(c.data + j * c.stride, c.rows, value);
      }
    });
  }

  /// c(i, j) = alpha a(i, j) b(i, j) + beta c(i, j)
  template <class Scalar>
  static void hadamard(Device<Cpu>& device, Scalar alpha, View<const Scalar> a,
                       View<const Scalar> b, Scalar beta, View<Scalar> c) {
    if (!c.is_column_major()) {
      return hadamard(device, alpha, a.transposed(), b.transposed(), beta, c.transposed());
    }
    parallel_ranges(threads_for(device, c), c.cols, 1, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        const Scalar* x = a.data + j * a.col_step();
        const Scalar* y = b.data + j * b.col_step();
        Scalar* z = c.data + j * c.stride;
        const auto set = [=](Index i, Scalar product) {
          z[i] = beta == Scalar{0} ? alpha * product : alpha * product + beta * z[i];
        };
        if (a.row_step() == 1 && b.row_step() == 1) {
          ACCRETE_SIMD()
          for (Index i = 0; i < c.rows; ++i) {
            set(i, x[i] * y[i]);
          }
        } else {
          for (Index i = 0; i < c.rows; ++i) {
            set(i, x[i * a.row_step()] * y[i * b.row_step()]);
          }
        }
      }
    });
  }

  /// c(i, j) = |c(i, j)|
  template <class Scalar>
  static void absolute(Device<Cpu>& device, View<Scalar> c) {
    if (!c.is_column_major()) {
      c = c.transposed();
    }
    parallel_ranges(threads_for(device, c), c.cols, 1, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        Scalar* x = c.data + j * c.stride;
        ACCRETE_SIMD()
        for (Index i = 0; i < c.rows; ++i) {
          x[i] = std::abs(x[i]);
        }
      }
    });
  }

  /// c(i, j) = function(a(i, j)); c may be a.
  template <class Scalar>
  static void map(Device<Cpu>& device, Function function, View<const Scalar> a, View<Scalar> c) {
    if (!c.is_column_major()) {
      return map(device, function, a.transposed(), c.transposed());
    }
    parallel_ranges(threads_for(device, c), c.cols, 1, [&](Index first, Index count) {
      const View<const Scalar> source = a.columns(first, count);
      const View<Scalar> target = c.columns(first, count);
      with_function(function, [&](auto known) {
        if (is_exponential(known.function) && source.is_column_major()) {
          for (Index j = 0; j < count; ++j) {
            map_run<known.function>(source.data + j * source.stride,
                                    target.data + j * target.stride, c.rows);
          }
        } else {
          update(source, target, [=](Scalar x, Scalar) { return known(x); });
        }
      });
    });
  }

  /// Sum of a(i, j) b(i, j), accumulated in double.
  template <class Scalar>
  static double dot(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> b) {
    if (!b.is_column_major()) {
      return dot(device, a.transposed(), b.transposed());
    }
    double sum = 0.0;
    for (Index j = 0; j < b.cols; ++j) {
      const Scalar* x = a.data + j * a.col_step();
      const Scalar* y = b.data + j * b.stride;
      if (a.is_column_major()) {
        sum += sum_of<double>(b.rows, [=](Index i) { return double{x[i]} * double{y[i]}; });
      } else {
        const Index step = a.stride;
        sum += sum_of<double>(b.rows, [=](Index i) { return double{x[i * step]} * double{y[i]}; });
      }
    }
    return sum;
  }

  template <class Scalar>
  static double squared_norm(Device<Cpu>& device, View<const Scalar> a) {
    return a.is_column_major() ? dot(device, a, a) : squared_norm(device, a.transposed());
  }

  template <class Scalar>
  static bool all_finite(Device<Cpu>&, View<const Scalar> a) {
    if (!a.is_column_major()) {
      a = a.transposed();
    }
    for (Index j = 0; j < a.cols; ++j) {
      if (!detail::all_finite(a.data + j * a.stride, a.rows)) {
        return false;
      }
    }
    return true;
  }

 private:
  [[nodiscard]] static constexpr bool is_exponential(Function function) {
    return function == Function::silu || function == Function::silu_slope;
  }
  /// By Eigen's exponential, which is vectorised where std::exp is not.
  template <Function function, class Scalar>
  static void map_run(const Scalar* a, Scalar* c, Index count) {
    constexpr Index most = 256;
    using Chunk = Eigen::Array<Scalar, Eigen::Dynamic, 1, Eigen::ColMajor, most, 1>;
    for (Index i = 0; i < count; i += most) {
      const Index size = (std::min)(most, count - i);
      const Eigen::Map<const Chunk> x(a + i, size);
      Eigen::Map<Chunk> y(c + i, size);
      const Chunk sigmoid = Scalar{1} / (Scalar{1} + (-x).exp());
      if constexpr (function == Function::silu) {
        y = x * sigmoid;
      } else {
        y = sigmoid * (Scalar{1} + x * (Scalar{1} - sigmoid));
      }
    }
  }

  /// Side of the squares in which a matrix of the other order is read.
  static constexpr Index tile = 16;

  template <class Scalar>
  static int threads_for(const Device<Cpu>& device, const View<Scalar>& c) {
    return c.size() * static_cast<Index>(sizeof(Scalar)) < parallel_bytes ? 1 : device.threads();
  }

  /// c(i, j) = value(a(i, j), c(i, j)); c column-major.
  template <class Scalar, class Value>
  static void update(View<const Scalar> a, View<Scalar> c, const Value& value) {
    if (a.is_column_major()) {
      for (Index j = 0; j < c.cols; ++j) {
        update_run(a.data + j * a.stride, 1, c.data + j * c.stride, c.rows, value);
      }
      return;
    }
    for (Index j = 0; j < c.cols; j += tile) {
      const Index last = (std::min)(c.cols, j + tile);
      for (Index i = 0; i < c.rows; i += tile) {
        const Index rows = (std::min)(c.rows - i, tile);
        for (Index k = j; k < last; ++k) {
          update_run(a.data + i * a.stride + k, a.stride, c.data + i + k * c.stride, rows, value);
        }
      }
    }
  }

  template <class Scalar, class Value>
  static void update_run(const Scalar* a, Index step, Scalar* c, Index count, const Value& value) {
    if (step == 1) {
      ACCRETE_SIMD()
      for (Index i = 0; i < count; ++i) {
        c[i] = value(a[i], c[i]);
      }
    } else {
      for (Index i = 0; i < count; ++i) {
        c[i] = value(a[i * step], c[i]);
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
