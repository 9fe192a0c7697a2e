// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>
#include <accrete/error.hpp>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include <cstddef>
#include <initializer_list>
#include <new>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// A call into a library of CUDA that failed.
class CudaError : public Error {
 public:
  CudaError(const std::string& text, int status) : Error(text), status_(status) {}
  /// The library's own number: a cudaError_t, cublasStatus_t or cusolverStatus_t.
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

/// Memory of a device, or pinned memory of the host, that was not there.
class CudaOutOfMemory : public std::bad_alloc {
 public:
  CudaOutOfMemory(const char* call, std::size_t bytes)
      : text_(std::string("accrete: ") + call + " of " + std::to_string(bytes) +
              " bytes: out of memory; free some, or give the context another MemoryResource") {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

namespace detail {

using Sizes = std::initializer_list<Index>;

[[noreturn]] inline void throw_cuda(const char* call, const Sizes& sizes, const std::string& status,
                                    int number) {
  std::string text = std::string(call) + "(";
  for (const Index size : sizes) {
    text += (text.back() == '(' ? "" : ", ") + std::to_string(size);
  }
  ACCRETE_THROW CudaError(text + "): " + status + " (" + std::to_string(number) + ")", number);
}

/// @throws CudaError that names the call, its sizes and the status.
inline void check_cuda(cudaError_t status, const char* call, const Sizes& sizes = {}) {
  if (status != cudaSuccess) {
    cudaGetLastError(); // otherwise the next launch is taken for the culprit
    throw_cuda(call, sizes,
               std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status), status);
  }
}
inline void check_cuda(cublasStatus_t status, const char* call, const Sizes& sizes = {}) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw_cuda(call, sizes, cublasGetStatusName(status), status);
  }
}
inline void check_cuda(cusolverStatus_t status, const char* call, const Sizes& sizes = {}) {
  if (status != CUSOLVER_STATUS_SUCCESS) {
    throw_cuda(call, sizes, "a cusolverStatus_t", status);
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
