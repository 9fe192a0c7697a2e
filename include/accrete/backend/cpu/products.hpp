// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/elementwise.hpp>
#include <accrete/backend/cpu/gemm_provider.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Products of the cpu backend.
struct CpuProducts {
  template <class Scalar>
  static void gemm(Device<Cpu>& device, Scalar alpha, View<const Scalar> a, View<const Scalar> b,
                   Scalar beta, View<Scalar> c) {
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
      return tiny_gemm(alpha, a, b, beta, c);
    }
    if constexpr (GemmProvider<Scalar>::is_native) {
      if (beta != Scalar{1}) {
        scale(device, beta, c);
      }
      eigen_gemm(device, alpha, a, b, c);
    } else {
      provider_gemm(device, alpha, a, b, beta, c);
    }
  }

  /// y = alpha a x + beta y; x and y are single columns of any stride.
  template <class Scalar>
  static void gemv(Device<Cpu>& device, Scalar alpha, View<const Scalar> a, View<const Scalar> x,
                   Scalar beta, View<Scalar> y) {
    if (y.empty()) {
      return;
    }
    if (a.cols == 0) {
      return scale(device, beta, y);
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
    const bool small = a.size() * static_cast<Index>(sizeof(Scalar)) < parallel_bytes;
    constexpr Index grain = static_cast<Index>(Workspace::alignment / sizeof(Scalar));
    parallel_ranges(small ? 1 : device.threads(), a.rows, grain, [&](Index first, Index count) {
      gemv_rows(alpha, a.block(first, 0, count, a.cols), source, inner_beta, target + first);
    });
    if (target != y.data) {
      for (Index i = 0; i < y.rows; ++i) {
        y(i, 0) = beta == Scalar{0} ? target[i] : target[i] + beta * y(i, 0);
      }
    }
  }

 private:
  template <class Scalar, int Order = Eigen::ColMajor>
  using ConstMap = Eigen::Map<const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Order>, 0,
                              Eigen::OuterStride<>>;

  template <int Order, class Scalar>
  static ConstMap<Scalar, Order> map(View<const Scalar> v) {
    return ConstMap<Scalar, Order>(v.data, v.rows, v.cols, Eigen::OuterStride<>(v.stride));
  }

  template <class Scalar>
  static void scale(Device<Cpu>& device, Scalar beta, View<Scalar> c) {
    if (beta == Scalar{0}) {
      CpuElementwise::fill(device, Scalar{0}, c);
    } else if (beta != Scalar{1}) {
      CpuElementwise::combine(device, beta, View<const Scalar>(c), Scalar{0}, c);
    }
  }

  template <class Scalar>
  static void gemv_rows(Scalar alpha, View<const Scalar> a, const Scalar* x, Scalar beta,
                        Scalar* y) {
    using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;
    const Eigen::Map<const Vector> source(x, a.cols);
    Eigen::Map<Vector> target(y, a.rows);
    if (beta == Scalar{0}) {
      target.setZero();
    } else if (beta != Scalar{1}) {
      target *= beta;
    }
    if (a.is_column_major()) {
      target.noalias() += alpha * (map<Eigen::ColMajor>(a) * source);
    } else {
      target.noalias() += alpha * (map<Eigen::RowMajor>(a) * source);
    }
  }

  template <class Scalar>
  static void tiny_gemm(Scalar alpha, View<const Scalar> a, View<const Scalar> b, Scalar beta,
                        View<Scalar> c) {
    using Target =
        Eigen::Map<Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>, 0, Eigen::OuterStride<>>;
    Target target(c.data, c.rows, c.cols, Eigen::OuterStride<>(c.stride));
    const auto assign = [&](const auto& left, const auto& right) {
      if (beta == Scalar{0}) {
        target = alpha * left.lazyProduct(right);
      } else {
        target = alpha * left.lazyProduct(right) + beta * target;
      }
    };
    if (a.is_column_major()) {
      b.is_column_major() ? assign(map<Eigen::ColMajor>(a), map<Eigen::ColMajor>(b))
                          : assign(map<Eigen::ColMajor>(a), map<Eigen::RowMajor>(b));
    } else {
      b.is_column_major() ? assign(map<Eigen::RowMajor>(a), map<Eigen::ColMajor>(b))
                          : assign(map<Eigen::RowMajor>(a), map<Eigen::RowMajor>(b));
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
