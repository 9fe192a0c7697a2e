// SPDX-License-Identifier: MIT
// The model's kernels for a GPU.
#include "model/operations/cuda_launches.cuh"

namespace gpt {

template struct ModelLaunches<float>;

} // namespace gpt
