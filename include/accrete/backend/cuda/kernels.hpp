// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/bias_products.hpp>
#include <accrete/backend/cuda/factorizations.hpp>
#include <accrete/backend/cuda/launches.hpp>
#include <accrete/backend/cuda/products.hpp>

#include <cstdint>
#include <span>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

/// The kernel table of the cuda backend; docs/architecture.md says what each computes. What comes
/// back by value, the factorisations and download() wait for the stream, nothing else does.
template <>
struct Kernels<Cuda> {
  template <class Scalar>
  using Target = View<Scalar, Cuda>;
  template <class Scalar>
  using Source = View<const Scalar, Cuda>;
  template <class Scalar>
  using Launches = detail::CudaLaunches<Scalar>;

  template <class Scalar>
  static const char* product_provider() noexcept {
    return "cuBLAS";
  }

  template <class Scalar>
  static void gemm(Device<Cuda>& device, Scalar alpha, Source<Scalar> a, Source<Scalar> b,
                   Scalar beta, Target<Scalar> c) {
    detail::CudaProducts::gemm<Scalar, Scalar>(device, alpha, a, b, beta, c);
  }
  template <class Scalar>
  static void gemv(Device<Cuda>& device, Scalar alpha, Source<Scalar> a, Source<Scalar> x,
                   Scalar beta, Target<Scalar> y) {
    gemm(device, alpha, a, x, beta, y);
  }
  template <class Scalar>
  static void gemm_grouped(Device<Cuda>& device,
                           std::span<const GroupedProduct<Scalar, Cuda>> products) {
    detail::CudaProducts::gemm_grouped<Scalar>(device, products);
  }
  /// c = alpha a b + bias on every column, bias m x 1 with its entries one beside the other; by
  /// cuBLASLt in one call where it can, 2 m n k FLOPs. @throws ShapeError, CudaError
  template <class Scalar>
  static void gemm_bias(Device<Cuda>& device, Scalar alpha, Source<Scalar> a, Source<Scalar> b,
                        Source<Scalar> bias, Target<Scalar> c) {
    detail::CudaBiasProducts<Scalar>::gemm_bias(device, alpha, a, b, bias, c);
  }
  /// Of a layer y = W x + bias: weight += dy xᵀ with x given as xᵀ, bias += the sums of dy's rows.
  /// The same of cost and errors.
  template <class Scalar>
  static void gemm_bias_gradient(Device<Cuda>& device, Source<Scalar> dy,
                                 Source<Scalar> x_transposed, Target<Scalar> weight,
                                 Target<Scalar> bias) {
    detail::CudaBiasProducts<Scalar>::gemm_bias_gradient(device, dy, x_transposed, weight, bias);
  }
  template <class Scalar>
  static void combine(Device<Cuda>& device, Scalar alpha, Source<Scalar> a, Scalar beta,
                      Target<Scalar> c) {
    Launches<Scalar>::template combine<Scalar>(device.stream(), alpha, a, beta, c);
  }
  template <class Scalar>
  static void fill(Device<Cuda>& device, Scalar value, Target<Scalar> c) {
    Launches<Scalar>::fill(device.stream(), value, c);
  }
  template <class Scalar>
  static void hadamard(Device<Cuda>& device, Scalar alpha, Source<Scalar> a, Source<Scalar> b,
                       Scalar beta, Target<Scalar> c) {
    Launches<Scalar>::hadamard(device.stream(), alpha, a, b, beta, c);
  }
  template <class Scalar>
  static void absolute(Device<Cuda>& device, Target<Scalar> c) {
    Launches<Scalar>::absolute(device.stream(), c);
  }
  template <class Scalar>
  static void map(Device<Cuda>& device, Function function, Source<Scalar> a, Target<Scalar> c) {
    Launches<Scalar>::map(device.stream(), function, a, c);
  }

  template <class Scalar>
  static double dot(Device<Cuda>& device, Source<Scalar> a, Source<Scalar> b) {
    detail::check_reachable(device, a, b);
    return detail::cuda_sum<Scalar>(device, a.size(), [&](auto... scratch) {
      Launches<Scalar>::dot(device.stream(), a, b, scratch...);
    });
  }
  template <class Scalar>
  static double squared_norm(Device<Cuda>& device, Source<Scalar> a) {
    detail::check_reachable(device, a);
    return detail::cuda_sum<Scalar>(device, a.size(), [&](auto... scratch) {
      Launches<Scalar>::squared_norm(device.stream(), a, scratch...);
    });
  }
  template <class Scalar>
  static bool all_finite(Device<Cuda>& device, Source<Scalar> a) {
    detail::check_reachable(device, a);
    return detail::cuda_all_finite(device, a);
  }

  template <class Scalar>
  static void scale_columns(Device<Cuda>& device, Source<Scalar> a, Source<Scalar> factors,
                            Target<Scalar> c) {
    Launches<Scalar>::scale_columns(device.stream(), a, factors, c);
  }
  template <class Scalar>
  static void column_norms(Device<Cuda>& device, Source<Scalar> a, Target<Scalar> norms) {
    Launches<Scalar>::column_norms(device.stream(), a, norms);
  }
  template <class Scalar>
  static void add_diagonal(Device<Cuda>& device, Scalar value, Target<Scalar> c) {
    Launches<Scalar>::add_diagonal(device.stream(), value, c);
  }
  template <class Scalar>
  static void gather_columns(Device<Cuda>& device, Source<Scalar> a, std::span<const Index> columns,
                             Target<Scalar> c) {
    detail::Frame<Cuda> frame(device.workspace());
    Launches<Scalar>::gather_columns(device.stream(), a, device.uploaded(frame, columns), c);
  }
  template <class Scalar>
  static void scatter_add_columns(Device<Cuda>& device, Source<Scalar> a,
                                  std::span<const Index> columns, Target<Scalar> c) {
    detail::Frame<Cuda> frame(device.workspace());
    Launches<Scalar>::scatter_add_columns(device.stream(), a, device.uploaded(frame, columns), c);
  }
  /// By sums of pieces of the columns.
  template <class Scalar>
  static void add_row_sums(Device<Cuda>& device, Source<Scalar> a, Target<Scalar> sums) {
    detail::cuda_add_row_sums<Scalar>(device, a, sums);
  }
  template <class Scalar>
  static void khatri_rao(Device<Cuda>& device, Source<Scalar> a, Source<Scalar> b,
                         Target<Scalar> c) {
    Launches<Scalar>::khatri_rao(device.stream(), a, b, c);
  }

  template <class Scalar>
  static void fill_normal(Device<Cuda>& device, std::uint64_t seed, double stddev,
                          Target<Scalar> c) {
    Launches<Scalar>::fill_normal(device.stream(), seed, stddev, c);
  }
  template <class Scalar>
  static void fill_uniform(Device<Cuda>& device, std::uint64_t seed, double low, double high,
                           Target<Scalar> c) {
    Launches<Scalar>::fill_uniform(device.stream(), seed, low, high, c);
  }

  template <class Scalar>
  static void thin_qr(Device<Cuda>& device, Target<Scalar> a_to_q, Target<Scalar> r) {
    detail::check_reachable(device, a_to_q, r);
    detail::CudaFactorizations<Scalar>::thin_qr(device, a_to_q, r);
  }
  template <class Scalar>
  static double cholesky_qr(Device<Cuda>& device, Source<Scalar> a, Target<Scalar> r,
                            Target<Scalar> r_inverse) {
    detail::check_reachable(device, a, r, r_inverse);
    return detail::CudaFactorizations<Scalar>::cholesky_qr(device, a, r, r_inverse);
  }
  template <class Scalar>
  static void svd(Device<Cuda>& device, std::type_identity_t<Source<Scalar>> a, Target<Scalar> u,
                  Target<Scalar> values, Target<Scalar> v) {
    detail::check_reachable(device, a, u, values, v);
    detail::CudaFactorizations<Scalar>::svd(device, a, u, values, v);
  }

  template <class Scalar>
  static void adamw_update(Device<Cuda>& device, Target<Scalar> parameter,
                           std::type_identity_t<Source<Scalar>> gradient, Target<Scalar> first,
                           Target<Scalar> second, const AdamWStep<Scalar>& step,
                           std::type_identity_t<std::span<const AdamWColumn<Scalar>>> columns) {
    detail::check_adamw<Scalar>(parameter, gradient, first, second, columns);
    detail::check_reachable(device, parameter, gradient, first, second);
    detail::Frame<Cuda> frame(device.workspace());
    Launches<Scalar>::adamw_update(device.stream(), parameter, gradient, first, second, step,
                                   device.uploaded(frame, columns), columns.size() == 1);
  }

  template <class Scalar>
  static void upload(Device<Cuda>& device, const Scalar* host, Target<Scalar> c) {
    detail::cuda_upload(device, host, c);
  }
  template <class Scalar>
  static void download(Device<Cuda>& device, Source<Scalar> a, Scalar* host) {
    detail::cuda_download(device, a, host);
  }
  /// The same with pinned memory of the host, in any order and with any stride, without a wait.
  /// @throws ArgumentError if it is pageable.
  template <class Scalar>
  static void upload_async(Device<Cuda>& device, std::type_identity_t<View<const Scalar>> host,
                           Target<Scalar> c) {
    detail::check_pinned("from_host_async", host);
    detail::cuda_send<Scalar>(device, host, c);
  }
  template <class Scalar>
  static void download_async(Device<Cuda>& device, std::type_identity_t<Source<Scalar>> a,
                             View<Scalar> host) {
    detail::check_pinned("to_host_async", host);
    detail::cuda_receive<Scalar>(device, a, host);
  }
};

ACCRETE_END_NAMESPACE
