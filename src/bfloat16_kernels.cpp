// SPDX-License-Identifier: MIT
#include <accrete/bfloat16.hpp>

ACCRETE_BEGIN_NAMESPACE
// What keeps such matrices, and fills them.
template void Kernels<Cpu>::combine<bfloat16>(Device<Cpu>&, bfloat16, View<const bfloat16>,
                                              bfloat16, View<bfloat16>);
template void Kernels<Cpu>::fill<bfloat16>(Device<Cpu>&, bfloat16, View<bfloat16>);
template void Kernels<Cpu>::fill_normal<bfloat16>(Device<Cpu>&, std::uint64_t, double,
                                                  View<bfloat16>);
template void Kernels<Cpu>::fill_uniform<bfloat16>(Device<Cpu>&, std::uint64_t, double, double,
                                                   View<bfloat16>);
template void Kernels<Cpu>::upload<bfloat16>(Device<Cpu>&, const bfloat16*, View<bfloat16>);
template void Kernels<Cpu>::download<bfloat16>(Device<Cpu>&, View<const bfloat16>, bfloat16*);

namespace detail {

template void Bfloat16Kernels<Cpu>::gemm<float>(Device<Cpu>&, float, View<const bfloat16>,
                                                View<const bfloat16>, float, View<float>);
template void Bfloat16Kernels<Cpu>::gemm<bfloat16>(Device<Cpu>&, float, View<const bfloat16>,
                                                   View<const bfloat16>, float, View<bfloat16>);
template void Bfloat16Kernels<Cpu>::gemv<float>(Device<Cpu>&, float, View<const bfloat16>,
                                                View<const bfloat16>, float, View<float>);
template void Bfloat16Kernels<Cpu>::gemv<bfloat16>(Device<Cpu>&, float, View<const bfloat16>,
                                                   View<const bfloat16>, float, View<bfloat16>);
template void Bfloat16Kernels<Cpu>::combine<float>(Device<Cpu>&, float, View<const bfloat16>, float,
                                                   View<float>);
template void Bfloat16Kernels<Cpu>::combine<bfloat16>(Device<Cpu>&, float, View<const bfloat16>,
                                                      float, View<bfloat16>);
template void Bfloat16Kernels<Cpu>::fill<float>(Device<Cpu>&, float, View<float>);
template void Bfloat16Kernels<Cpu>::fill<bfloat16>(Device<Cpu>&, bfloat16, View<bfloat16>);
template const char* Bfloat16Kernels<Cpu>::product_provider<bfloat16>() noexcept;

} // namespace detail
ACCRETE_END_NAMESPACE
