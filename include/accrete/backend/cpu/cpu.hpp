// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/function.hpp>
#include <accrete/backend/optimizer_step.hpp>

#include <cstdint>
#include <span>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

/// The kernel table of the cpu backend, for float and double. What each computes is said at its
/// definition; none is inline, so that accrete::compiled has them once.
template <>
struct Kernels<Cpu> {
  template <class Scalar>
  static void gemm(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& b, Scalar beta, const View<Scalar>& c);
  template <class Scalar>
  static void gemv(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& x, Scalar beta, const View<Scalar>& y);
  template <class Scalar>
  static const char* product_provider() noexcept;

  template <class Scalar>
  static void combine(Device<Cpu>& device, Scalar alpha, View<const Scalar> a, Scalar beta,
                      View<Scalar> c);
  template <class Scalar>
  static void fill(Device<Cpu>& device, Scalar value, View<Scalar> c);
  template <class Scalar>
  static void hadamard(Device<Cpu>& device, Scalar alpha, View<const Scalar> a,
                       View<const Scalar> b, Scalar beta, View<Scalar> c);
  template <class Scalar>
  static void absolute(Device<Cpu>& device, View<Scalar> c);
  template <class Scalar>
  static void map(Device<Cpu>& device, Function function, View<const Scalar> a, View<Scalar> c);
  template <class Scalar>
  static double dot(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> b);
  template <class Scalar>
  static double squared_norm(Device<Cpu>& device, View<const Scalar> a);
  template <class Scalar>
  static bool all_finite(Device<Cpu>& device, View<const Scalar> a);

  template <class Scalar>
  static void scale_columns(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> factors,
                            View<Scalar> c);
  template <class Scalar>
  static void column_norms(Device<Cpu>& device, View<const Scalar> a, View<Scalar> norms);
  template <class Scalar>
  static void add_diagonal(Device<Cpu>& device, Scalar value, View<Scalar> c);
  template <class Scalar>
  static void gather_columns(Device<Cpu>& device, View<const Scalar> a,
                             std::span<const Index> columns, View<Scalar> c);
  template <class Scalar>
  static void scatter_add_columns(Device<Cpu>& device, View<const Scalar> a,
                                  std::span<const Index> columns, View<Scalar> c);
  template <class Scalar>
  static void add_row_sums(Device<Cpu>& device, View<const Scalar> a, View<Scalar> sums);
  template <class Scalar>
  static void khatri_rao(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> b,
                         View<Scalar> c);

  template <class Scalar>
  static void thin_qr(Device<Cpu>& device, View<Scalar> a_to_q, View<Scalar> r);
  template <class Scalar>
  static void svd(Device<Cpu>& device, std::type_identity_t<View<const Scalar>> a, View<Scalar> u,
                  View<Scalar> values, View<Scalar> v);
  template <class Scalar>
  static double cholesky_qr(Device<Cpu>& device, View<const Scalar> a, View<Scalar> r,
                            View<Scalar> r_inverse);

  template <class Scalar>
  static void adamw_update(Device<Cpu>& device, View<Scalar> parameter,
                           std::type_identity_t<View<const Scalar>> gradient, View<Scalar> first,
                           View<Scalar> second, const AdamWStep<Scalar>& step,
                           std::type_identity_t<std::span<const AdamWColumn<Scalar>>> columns);

  template <class Scalar>
  static void fill_normal(Device<Cpu>& device, std::uint64_t seed, double stddev, View<Scalar> c);
  template <class Scalar>
  static void fill_uniform(Device<Cpu>& device, std::uint64_t seed, double low, double high,
                           View<Scalar> c);
  template <class Scalar>
  static void upload(Device<Cpu>& device, const Scalar* host, View<Scalar> c);
  template <class Scalar>
  static void download(Device<Cpu>& device, View<const Scalar> a, Scalar* host);
};

ACCRETE_END_NAMESPACE

#if ACCRETE_HAS_DEFINITIONS
#include <accrete/backend/cpu/kernels.hpp>
#endif
