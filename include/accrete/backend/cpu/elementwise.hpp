// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>

#include <Eigen/Core>

#include <array>
#include <cmath>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Elementwise and reduction kernels of the cpu backend: one pass over memory, columns (or rows)
/// spread over threads, reductions in an order that depends on the shape alone.
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
    const Index grain = a.is_column_major() ? 1 : 16;
    parallel_ranges(threads_for(device, c), c.cols, grain, [&](Index first, Index count) {
      auto target = map<Eigen::ColMajor>(c.columns(first, count));
      if (a.is_column_major()) {
        combine_arrays(alpha, map<Eigen::ColMajor>(a.columns(first, count)), beta, target);
      } else {
        combine_arrays(alpha, map<Eigen::RowMajor>(a.columns(first, count)), beta, target);
      }
    });
  }

  template <class Scalar>
  static void fill(Device<Cpu>& device, Scalar value, View<Scalar> c) {
    if (!c.is_column_major()) {
      c = c.transposed();
    }
    parallel_ranges(threads_for(device, c), c.cols, 1, [&](Index first, Index count) {
      map<Eigen::ColMajor>(c.columns(first, count)).setConstant(value);
    });
  }

  /// Sum of a(i, j) b(i, j), accumulated in double.
  template <class Scalar>
  static double dot(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> b) {
    if (!b.is_column_major()) {
      return dot(device, a.transposed(), b.transposed());
    }
    if (a.is_contiguous() && b.is_contiguous() && a.order == b.order && a.cols > 0) {
      a = dense_view(a.data, a.size(), 1);
      b = dense_view(b.data, b.size(), 1);
    }
    double sum = 0.0;
    for (Index j = 0; j < b.cols; ++j) {
      const View<const Scalar> x = a.columns(j, 1);
      sum += dot_column(&x.data[0], x.row_step(), b.data + j * b.stride, b.rows);
    }
    return sum;
  }

  template <class Scalar>
  static double squared_norm(Device<Cpu>& device, View<const Scalar> a) {
    return dot(device, a, a);
  }

  template <class Scalar>
  static bool all_finite(Device<Cpu>&, View<const Scalar> a) {
    if (!a.is_column_major()) {
      a = a.transposed();
    }
    // x * 0 is zero for finite x and NaN otherwise, so one vectorised sum decides.
    for (Index j = 0; j < a.cols; ++j) {
      if (!std::isfinite((map<Eigen::ColMajor>(a.columns(j, 1)) * Scalar{0}).sum())) {
        return false;
      }
    }
    return true;
  }

 private:
  template <int Order, class Scalar>
  static auto map(View<Scalar> v) {
    using Array = Eigen::Array<std::remove_const_t<Scalar>, Eigen::Dynamic, Eigen::Dynamic, Order>;
    using Qualified = std::conditional_t<std::is_const_v<Scalar>, const Array, Array>;
    return Eigen::Map<Qualified, 0, Eigen::OuterStride<>>(v.data, v.rows, v.cols,
                                                          Eigen::OuterStride<>(v.stride));
  }

  template <class Scalar>
  static int threads_for(const Device<Cpu>& device, const View<Scalar>& c) {
    return c.size() * static_cast<Index>(sizeof(Scalar)) < parallel_bytes ? 1 : device.threads();
  }

  template <class Scalar, class Source, class Target>
  static void combine_arrays(Scalar alpha, const Source& a, Scalar beta, Target& c) {
    if (beta == Scalar{0}) {
      alpha == Scalar{1} ? void(c = a) : void(c = alpha * a);
    } else if (beta == Scalar{1}) {
      alpha == Scalar{1} ? void(c += a) : void(c += alpha * a);
    } else {
      c = alpha * a + beta * c;
    }
  }

  /// Sixteen accumulators hide the latency of the additions and fix their order.
  template <class Scalar>
  static double dot_column(const Scalar* a, Index step, const Scalar* b, Index count) {
    constexpr Index lanes = 16;
    std::array<double, lanes> sums{};
    Index i = 0;
    if (step == 1) {
      for (; i + lanes <= count; i += lanes) {
        for (Index k = 0; k < lanes; ++k) {
          sums[static_cast<std::size_t>(k)] += double{a[i + k]} * double{b[i + k]};
        }
      }
    }
    for (; i < count; ++i) {
      sums[static_cast<std::size_t>(i % lanes)] += double{a[i * step]} * double{b[i]};
    }
    double total = 0.0;
    for (const double sum : sums) {
      total += sum;
    }
    return total;
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
