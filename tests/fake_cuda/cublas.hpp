// SPDX-License-Identifier: MIT
#pragma once

#include "handles.hpp"
#include "operands.hpp"

#include <cublas_v2.h>

namespace fake_cuda::detail {

struct BlasHandle {
  int device = current_device();
  cudaStream_t stream = nullptr;
  Address workspace = 0; ///< 0: the library's own
  std::size_t workspace_bytes = 0;
  bool scalars_on_device = false;
};

template <>
struct Codes<cublasStatus_t> {
  static cublasStatus_t broken() { return CUBLAS_STATUS_EXECUTION_FAILED; }
  static cublasStatus_t of(cudaError_t /*status*/) { return CUBLAS_STATUS_EXECUTION_FAILED; }
  static constexpr auto invalid = CUBLAS_STATUS_INVALID_VALUE;
  static constexpr auto no_handle = CUBLAS_STATUS_NOT_INITIALIZED;
  static constexpr auto refused = CUBLAS_STATUS_EXECUTION_FAILED;
  static constexpr auto no_memory = CUBLAS_STATUS_ALLOC_FAILED;
  static constexpr auto while_running = CUBLAS_STATUS_EXECUTION_FAILED;
};

template <class... Parts>
[[noreturn]] void refuse(cublasStatus_t status, const Parts&... parts) {
  throw Refusal<cublasStatus_t>{status, text(parts...)};
}

/// @throws Refusal if there is no such handle.
std::shared_ptr<BlasHandle> blas_handle(cublasHandle_t handle);

/// Work of a handle, in its stream and with its workspace.
void enqueue_blas(const BlasHandle& handle, std::function<void()> work);

} // namespace fake_cuda::detail
