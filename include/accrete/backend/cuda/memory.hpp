// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/error.hpp>
#include <accrete/backend/memory.hpp>

#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// The stream-ordered allocator of CUDA, cudaMallocAsync, on one stream: what was allocated may be
/// used there at once, elsewhere after an event. What is freed is kept for the next allocation.
class CudaStreamMemory final : public MemoryResource {
 public:
  explicit CudaStreamMemory(cudaStream_t stream) : stream_(stream) {}

  [[nodiscard]] void* allocate(std::size_t bytes) override {
    void* memory = nullptr;
    const cudaError_t status = cudaMallocAsync(&memory, bytes, stream_);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      ACCRETE_THROW CudaOutOfMemory("cudaMallocAsync", bytes);
    }
    detail::check_cuda(status, "cudaMallocAsync", {static_cast<Index>(bytes)});
    return memory;
  }
  void deallocate(void* memory, std::size_t) noexcept override { cudaFreeAsync(memory, stream_); }

 private:
  cudaStream_t stream_;
};

namespace detail {

/// A stream of our own, which does not wait for the default stream; or one that is lent.
class CudaStream {
 public:
  CudaStream() {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
               "cudaStreamCreateWithFlags");
    owned_ = true;
  }
  explicit CudaStream(cudaStream_t lent) noexcept : stream_(lent) {}
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  ~CudaStream() {
    if (owned_) {
      cudaStreamDestroy(stream_);
    }
  }
  [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
  bool owned_ = false;
};

class CudaEvent {
 public:
  explicit CudaEvent(unsigned flags) {
    check_cuda(cudaEventCreateWithFlags(&event_, flags), "cudaEventCreateWithFlags");
  }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  ~CudaEvent() { cudaEventDestroy(event_); }

  void record(cudaStream_t stream) const {
    check_cuda(cudaEventRecord(event_, stream), "cudaEventRecord");
  }
  [[nodiscard]] cudaEvent_t get() const noexcept { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Page-locked memory of the host; nullptr for no bytes.
inline void* allocate_pinned(std::size_t bytes) {
  if (bytes == 0) {
    return nullptr;
  }
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    ACCRETE_THROW CudaOutOfMemory("cudaHostAlloc", bytes);
  }
  check_cuda(status, "cudaHostAlloc", {static_cast<Index>(bytes)});
  return memory;
}
/// Waits for what uses it.
inline void free_pinned(void* memory) noexcept {
  if (memory != nullptr) {
    cudaFreeHost(memory);
  }
}

/// Pinned memory of the host through which small arrays go to the device without a wait: a ring
/// whose parts are free again once the stream has been waited for.
class CudaStaging {
 public:
  CudaStaging() = default;
  CudaStaging(const CudaStaging&) = delete;
  CudaStaging& operator=(const CudaStaging&) = delete;
  ~CudaStaging() { free_pinned(memory_); }

  /// Room for `bytes` bytes that no copy uses. Waits for the stream where the ring is full.
  [[nodiscard]] std::byte* take(cudaStream_t stream, std::size_t bytes) {
    const std::size_t needed = (bytes + 15) / 16 * 16;
    if (used_ + needed > size_) {
      check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
      grow(needed);
      used_ = 0;
    }
    return memory_ + std::exchange(used_, used_ + needed);
  }
  /// The stream was waited for.
  void release() noexcept { used_ = 0; }

 private:
  static constexpr std::size_t least_size = std::size_t{1} << 18;

  void grow(std::size_t needed) {
    if (needed <= size_) {
      return;
    }
    free_pinned(std::exchange(memory_, nullptr));
    const std::size_t size = needed > least_size ? 2 * needed : least_size;
    size_ = 0;
    memory_ = static_cast<std::byte*>(allocate_pinned(size));
    size_ = size;
  }

  std::byte* memory_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
};

} // namespace detail

ACCRETE_END_NAMESPACE
