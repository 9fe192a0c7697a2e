// SPDX-License-Identifier: MIT
// The kernels of accrete::cuda.
#include <accrete/backend/cuda/launches.cuh>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template struct CudaLaunches<float>;
template struct CudaLaunches<double>;
template void CudaLaunches<float>::combine<float>(cudaStream_t, float, const Source&, float,
                                                  const View<float, Cuda>&);
template void CudaLaunches<double>::combine<double>(cudaStream_t, double, const Source&, double,
                                                    const View<double, Cuda>&);
template void CudaLaunches<bfloat16>::combine<float>(cudaStream_t, float, const Source&, float,
                                                     const View<float, Cuda>&);
template void CudaLaunches<bfloat16>::combine<bfloat16>(cudaStream_t, float, const Source&, float,
                                                        const View<bfloat16, Cuda>&);
template void CudaLaunches<bfloat16>::fill(cudaStream_t, bfloat16, const Target&);

} // namespace detail

ACCRETE_END_NAMESPACE
