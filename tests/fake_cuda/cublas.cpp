// SPDX-License-Identifier: MIT
#include "cublas.hpp"

#include <algorithm>

namespace fake_cuda::detail {

std::shared_ptr<BlasHandle> blas_handle(cublasHandle_t handle) {
  return find_handle<cublasStatus_t>(state().session.blas_handles, handle);
}

void enqueue_blas(const BlasHandle& handle, std::function<void()> work) {
  const auto stream = stream_of(handle.stream);
  check_device(handle.device, *stream);
  if (stream->capture != nullptr && handle.workspace == 0) {
    invalidate(*stream->capture);
    refuse(cudaErrorStreamCaptureUnsupported,
           "captured without cublasSetWorkspace, which cublasSetStream resets: the graph would "
           "allocate");
  }
  const Address workspace = handle.workspace;
  const std::size_t bytes = handle.workspace_bytes;
  if (workspace != 0) {
    state().device.check_held(workspace, bytes);
  }
  enqueue(stream, state().call, [=, work = std::move(work)] {
    if (workspace != 0) {
      spoil(workspace, bytes);
    }
    work();
  });
  ++state().session.counters.library_calls;
}

namespace {

/// A setting of a handle.
template <class Body>
cublasStatus_t set(const char* name, cublasHandle_t handle, Body&& body) {
  return call<cublasStatus_t>(name, CUBLAS_STATUS_INTERNAL_ERROR,
                              [&] { return body(*blas_handle(handle)); });
}

constexpr auto invalid = CUBLAS_STATUS_INVALID_VALUE;
constexpr auto success = CUBLAS_STATUS_SUCCESS;

} // namespace
} // namespace fake_cuda::detail

using namespace fake_cuda::detail;

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  return create_handle<cublasStatus_t>("cublasCreate", state().session.blas_handles, handle);
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  return destroy_handle<cublasStatus_t>("cublasDestroy", state().session.blas_handles, handle);
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return set("cublasSetStream", handle, [&](BlasHandle& blas) {
    static_cast<void>(stream_of(stream));
    blas.stream = stream;
    blas.workspace = 0;
    blas.workspace_bytes = 0;
    record();
    return success;
  });
}

cublasStatus_t cublasGetStream_v2(cublasHandle_t handle, cudaStream_t* stream) {
  return set("cublasGetStream", handle, [&](const BlasHandle& blas) {
    if (stream == nullptr) {
      return invalid;
    }
    *stream = blas.stream;
    return success;
  });
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  return set("cublasSetWorkspace", handle, [&](BlasHandle& blas) {
    const Address address = address_of(workspace);
    if (address % 256 != 0) {
      refuse(invalid, "the workspace is not aligned to 256 bytes");
    }
    if (bytes > 0) {
      state().device.check_held(address, bytes);
    }
    blas.workspace = bytes > 0 ? address : 0;
    blas.workspace_bytes = bytes;
    record(" ", bytes);
    return success;
  });
}

cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  return set("cublasSetPointerMode", handle, [&](BlasHandle& blas) {
    if (mode != CUBLAS_POINTER_MODE_HOST && mode != CUBLAS_POINTER_MODE_DEVICE) {
      return invalid;
    }
    blas.scalars_on_device = mode == CUBLAS_POINTER_MODE_DEVICE;
    record(" ", static_cast<int>(mode));
    return success;
  });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return set("cublasSetMathMode", handle, [&](const BlasHandle& /*blas*/) {
    const int kind = static_cast<int>(mode) & ~CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    if (kind != CUBLAS_DEFAULT_MATH && kind != CUBLAS_PEDANTIC_MATH &&
        kind != CUBLAS_TF32_TENSOR_OP_MATH && kind != CUBLAS_FP32_EMULATED_BF16X9_MATH) {
      return invalid;
    }
    record(" ", static_cast<int>(mode));
    return success;
  });
}

cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  return set("cublasSetAtomicsMode", handle, [&](const BlasHandle& /*blas*/) {
    if (mode != CUBLAS_ATOMICS_NOT_ALLOWED && mode != CUBLAS_ATOMICS_ALLOWED) {
      return invalid;
    }
    record(" ", static_cast<int>(mode));
    return success;
  });
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int* version) {
  return set("cublasGetVersion", handle, [&](const BlasHandle& /*blas*/) {
    if (version == nullptr) {
      return invalid;
    }
    *version = CUBLAS_VERSION;
    return success;
  });
}

namespace {

struct StatusName {
  cublasStatus_t status;
  const char* name;
  const char* text;
};

#define FAKE_CUDA_STATUS(status, text)                                                             \
  StatusName { status, #status, text }
constexpr StatusName status_names[] = {
    FAKE_CUDA_STATUS(CUBLAS_STATUS_SUCCESS, "success"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_NOT_INITIALIZED, "the library was not initialized"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_ALLOC_FAILED, "the resource allocation failed"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_INVALID_VALUE, "an invalid value was used as an argument"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_ARCH_MISMATCH, "an absent device architectural feature"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_MAPPING_ERROR, "an access to GPU memory space failed"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_EXECUTION_FAILED, "the function failed to launch on the GPU"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_INTERNAL_ERROR, "an internal operation failed"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_NOT_SUPPORTED, "the functionality is not supported"),
    FAKE_CUDA_STATUS(CUBLAS_STATUS_LICENSE_ERROR, "license error"),
};
#undef FAKE_CUDA_STATUS

constexpr StatusName unknown_status{CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_UNKNOWN",
                                    "unknown status"};

const StatusName& named(cublasStatus_t status) {
  const auto* const found =
      std::find_if(std::begin(status_names), std::end(status_names),
                   [=](const StatusName& entry) { return entry.status == status; });
  return found == std::end(status_names) ? unknown_status : *found;
}

} // namespace

const char* cublasGetStatusName(cublasStatus_t status) { return named(status).name; }
const char* cublasGetStatusString(cublasStatus_t status) { return named(status).text; }
