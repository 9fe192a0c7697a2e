// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/cpu/factorizations.hpp>
#include <accrete/backend/cpu/gemm.hpp>
#include <accrete/backend/cpu/optimizer_kernels.hpp>
#include <accrete/backend/host_random.hpp>
#include <accrete/backend/host_transfer.hpp>

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
bool Kernels<Cpu>::sums_products(Index rows, Index cols) noexcept {
  return detail::CpuProducts::sums_products<Scalar>(rows, cols);
}
template <class Scalar>
bool Kernels<Cpu>::gemm_sum(Device<Cpu>& device, Scalar alpha,
                            const MatrixProduct<Scalar>* products, int count, Scalar beta,
                            View<Scalar> c) {
  return detail::CpuProducts::gemm_sum(device, alpha, products, count, beta, c);
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
void Kernels<Cpu>::thin_qr(Device<Cpu>& device, View<Scalar> a_to_q, View<Scalar> r) {
  detail::CpuFactorizations::thin_qr(device, a_to_q, r);
}
template <class Scalar>
void Kernels<Cpu>::svd(Device<Cpu>& device, std::type_identity_t<View<const Scalar>> a,
                       View<Scalar> u, View<Scalar> values, View<Scalar> v) {
  detail::CpuFactorizations::svd<Scalar>(device, a, u, values, v);
}
template <class Scalar>
void Kernels<Cpu>::symmetric_eigen(Device<Cpu>& device, std::type_identity_t<View<const Scalar>> a,
                                   View<Scalar> values, View<Scalar> vectors) {
  detail::CpuFactorizations::symmetric_eigen<Scalar>(device, a, values, vectors);
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
