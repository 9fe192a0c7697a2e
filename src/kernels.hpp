// SPDX-License-Identifier: MIT
// What the library accrete::compiled holds of a scalar: the kernel table of the cpu backend.
#pragma once

#include <accrete/backend/cpu/cpu.hpp>

#define ACCRETE_INSTANTIATE_KERNELS(Scalar)                                                        \
  template void Kernels<Cpu>::gemm<Scalar>(Device<Cpu>&, Scalar, const View<const Scalar>&,        \
                                           const View<const Scalar>&, Scalar,                      \
                                           const View<Scalar>&);                                   \
  template void Kernels<Cpu>::gemv<Scalar>(Device<Cpu>&, Scalar, const View<const Scalar>&,        \
                                           const View<const Scalar>&, Scalar,                      \
                                           const View<Scalar>&);                                   \
  template const char* Kernels<Cpu>::product_provider<Scalar>() noexcept;                          \
  template void Kernels<Cpu>::combine<Scalar>(Device<Cpu>&, Scalar, View<const Scalar>, Scalar,    \
                                              View<Scalar>);                                       \
  template void Kernels<Cpu>::fill<Scalar>(Device<Cpu>&, Scalar, View<Scalar>);                    \
  template void Kernels<Cpu>::hadamard<Scalar>(Device<Cpu>&, Scalar, View<const Scalar>,           \
                                               View<const Scalar>, Scalar, View<Scalar>);          \
  template void Kernels<Cpu>::absolute<Scalar>(Device<Cpu>&, View<Scalar>);                        \
  template void Kernels<Cpu>::map<Scalar>(Device<Cpu>&, Function, View<const Scalar>,              \
                                          View<Scalar>);                                           \
  template double Kernels<Cpu>::dot<Scalar>(Device<Cpu>&, View<const Scalar>, View<const Scalar>); \
  template double Kernels<Cpu>::squared_norm<Scalar>(Device<Cpu>&, View<const Scalar>);            \
  template bool Kernels<Cpu>::all_finite<Scalar>(Device<Cpu>&, View<const Scalar>);                \
  template void Kernels<Cpu>::scale_columns<Scalar>(Device<Cpu>&, View<const Scalar>,              \
                                                    View<const Scalar>, View<Scalar>);             \
  template void Kernels<Cpu>::column_norms<Scalar>(Device<Cpu>&, View<const Scalar>,               \
                                                   View<Scalar>);                                  \
  template void Kernels<Cpu>::add_diagonal<Scalar>(Device<Cpu>&, Scalar, View<Scalar>);            \
  template void Kernels<Cpu>::gather_columns<Scalar>(Device<Cpu>&, View<const Scalar>,             \
                                                     std::span<const Index>, View<Scalar>);        \
  template void Kernels<Cpu>::scatter_add_columns<Scalar>(Device<Cpu>&, View<const Scalar>,        \
                                                          std::span<const Index>, View<Scalar>);   \
  template void Kernels<Cpu>::add_row_sums<Scalar>(Device<Cpu>&, View<const Scalar>,               \
                                                   View<Scalar>);                                  \
  template void Kernels<Cpu>::khatri_rao<Scalar>(Device<Cpu>&, View<const Scalar>,                 \
                                                 View<const Scalar>, View<Scalar>);                \
  template void Kernels<Cpu>::thin_qr<Scalar>(Device<Cpu>&, View<Scalar>, View<Scalar>);           \
  template void Kernels<Cpu>::svd<Scalar>(Device<Cpu>&, View<const Scalar>, View<Scalar>,          \
                                          View<Scalar>, View<Scalar>);                             \
  template double Kernels<Cpu>::cholesky_qr<Scalar>(Device<Cpu>&, View<const Scalar>,              \
                                                    View<Scalar>, View<Scalar>);                   \
  template void Kernels<Cpu>::adamw_update<Scalar>(                                                \
      Device<Cpu>&, View<Scalar>, View<const Scalar>, View<Scalar>, View<Scalar>,                  \
      const AdamWStep<Scalar>&, std::span<const AdamWColumn<Scalar>>);                             \
  template void Kernels<Cpu>::fill_normal<Scalar>(Device<Cpu>&, std::uint64_t, double,             \
                                                  View<Scalar>);                                   \
  template void Kernels<Cpu>::fill_uniform<Scalar>(Device<Cpu>&, std::uint64_t, double, double,    \
                                                   View<Scalar>);                                  \
  template void Kernels<Cpu>::upload<Scalar>(Device<Cpu>&, const Scalar*, View<Scalar>);           \
  template void Kernels<Cpu>::download<Scalar>(Device<Cpu>&, View<const Scalar>, Scalar*);
