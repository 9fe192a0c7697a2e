// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/column_kernels.hpp>
#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/cpu/factorizations.hpp>
#include <accrete/backend/cpu/gemm.hpp>
#include <accrete/backend/cpu/optimizer_kernels.hpp>
#include <accrete/backend/host/random.hpp>
#include <accrete/backend/host/transfer.hpp>

ACCRETE_BEGIN_NAMESPACE

/// Who computes the large products of this scalar.
template <class Scalar>
const char* Kernels<Cpu>::product_provider() noexcept {
  return detail::GemmProviders<Scalar>::name();
}
template <class Scalar>
void Kernels<Cpu>::gemm(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                        const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
  detail::CpuProducts::gemm(device, alpha, a, b, beta, c);
}
template <class Scalar>
void Kernels<Cpu>::gemv(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                        const View<const Scalar>& x, Scalar beta, const View<Scalar>& y) {
  detail::CpuProducts::gemv(device, alpha, a, x, beta, y);
}
template <class Scalar>
void Kernels<Cpu>::combine(Device<Cpu>& device, Scalar alpha, View<const Scalar> a, Scalar beta,
                           View<Scalar> c) {
  detail::CpuElementwise::combine(device, alpha, a, beta, c);
}
template <class Scalar>
void Kernels<Cpu>::fill(Device<Cpu>& device, Scalar value, View<Scalar> c) {
  detail::CpuElementwise::fill(device, value, c);
}
template <class Scalar>
void Kernels<Cpu>::hadamard(Device<Cpu>& device, Scalar alpha, View<const Scalar> a,
                            View<const Scalar> b, Scalar beta, View<Scalar> c) {
  detail::CpuElementwise::hadamard(device, alpha, a, b, beta, c);
}
template <class Scalar>
void Kernels<Cpu>::absolute(Device<Cpu>& device, View<Scalar> c) {
  detail::CpuElementwise::absolute(device, c);
}
template <class Scalar>
void Kernels<Cpu>::map(Device<Cpu>& device, Function function, View<const Scalar> a,
                       View<Scalar> c) {
  detail::CpuElementwise::map(device, function, a, c);
}
template <class Scalar>
double Kernels<Cpu>::dot(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> b) {
  return detail::CpuElementwise::dot(device, a, b);
}
template <class Scalar>
double Kernels<Cpu>::squared_norm(Device<Cpu>& device, View<const Scalar> a) {
  return detail::CpuElementwise::squared_norm(device, a);
}
template <class Scalar>
bool Kernels<Cpu>::all_finite(Device<Cpu>& device, View<const Scalar> a) {
  return detail::CpuElementwise::all_finite(device, a);
}
template <class Scalar>
void Kernels<Cpu>::scale_columns(Device<Cpu>& device, View<const Scalar> a,
                                 View<const Scalar> factors, View<Scalar> c) {
  detail::CpuColumns::scale_columns(device, a, factors, c);
}
template <class Scalar>
void Kernels<Cpu>::column_norms(Device<Cpu>& device, View<const Scalar> a, View<Scalar> norms) {
  detail::CpuColumns::column_norms(device, a, norms);
}
template <class Scalar>
void Kernels<Cpu>::add_diagonal(Device<Cpu>& device, Scalar value, View<Scalar> c) {
  detail::CpuColumns::add_diagonal(device, value, c);
}
template <class Scalar>
void Kernels<Cpu>::gather_columns(Device<Cpu>& device, View<const Scalar> a,
                                  std::span<const Index> columns, View<Scalar> c) {
  detail::CpuColumns::gather_columns(device, a, columns, c);
}
template <class Scalar>
void Kernels<Cpu>::scatter_add_columns(Device<Cpu>& device, View<const Scalar> a,
                                       std::span<const Index> columns, View<Scalar> c) {
  detail::CpuColumns::scatter_add_columns(device, a, columns, c);
}
template <class Scalar>
void Kernels<Cpu>::add_row_sums(Device<Cpu>& device, View<const Scalar> a, View<Scalar> sums) {
  detail::CpuColumns::add_row_sums(device, a, sums);
}
template <class Scalar>
void Kernels<Cpu>::khatri_rao(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> b,
                              View<Scalar> c) {
  detail::CpuColumns::khatri_rao(device, a, b, c);
}
template <class Scalar>
void Kernels<Cpu>::thin_qr(Device<Cpu>& device, View<Scalar> a_to_q, View<Scalar> r) {
  detail::HostFactorizations<Scalar>::thin_qr(detail::tools_of<Scalar>(device), a_to_q, r);
}
template <class Scalar>
void Kernels<Cpu>::svd(Device<Cpu>& device, std::type_identity_t<View<const Scalar>> a,
                       View<Scalar> u, View<Scalar> values, View<Scalar> v) {
  detail::HostFactorizations<Scalar>::svd(detail::tools_of<Scalar>(device), a, u, values, v);
}
template <class Scalar>
double Kernels<Cpu>::cholesky_qr(Device<Cpu>& device, View<const Scalar> a, View<Scalar> r,
                                 View<Scalar> r_inverse) {
  return detail::HostCholeskyQr<Kernels<Cpu>, Device<Cpu>, Scalar>(device, a).run(r, r_inverse);
}
template <class Scalar>
void Kernels<Cpu>::adamw_update(
    Device<Cpu>& device, View<Scalar> parameter, std::type_identity_t<View<const Scalar>> gradient,
    View<Scalar> first, View<Scalar> second, const AdamWStep<Scalar>& step,
    std::type_identity_t<std::span<const AdamWColumn<Scalar>>> columns) {
  detail::CpuOptimizers::adamw_update<Scalar>(device, parameter, gradient, first, second, step,
                                              columns);
}
template <class Scalar>
void Kernels<Cpu>::fill_normal(Device<Cpu>& device, std::uint64_t seed, double stddev,
                               View<Scalar> c) {
  detail::HostRandom::fill_normal(device, seed, stddev, c);
}
template <class Scalar>
void Kernels<Cpu>::fill_uniform(Device<Cpu>& device, std::uint64_t seed, double low, double high,
                                View<Scalar> c) {
  detail::HostRandom::fill_uniform(device, seed, low, high, c);
}
template <class Scalar>
void Kernels<Cpu>::upload(Device<Cpu>& device, const Scalar* host, View<Scalar> c) {
  detail::HostTransfer::upload(device, host, c);
}
template <class Scalar>
void Kernels<Cpu>::download(Device<Cpu>& device, View<const Scalar> a, Scalar* host) {
  detail::HostTransfer::download(device, a, host);
}

ACCRETE_END_NAMESPACE
