// SPDX-License-Identifier: MIT
#pragma once

#include "fake_cuda.hpp"

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#define CHECK_CONTAINS(text, part)                                                                 \
  do {                                                                                             \
    const std::string text_(text);                                                                 \
    INFO(text_);                                                                                   \
    CHECK_NE(text_.find(part), std::string::npos);                                                 \
  } while (false)

// What the tests of the fake GPU share.
namespace fake_cuda_test {

inline void ok(cudaError_t status) {
  INFO(fake_cuda::last_fault());
  CHECK_EQ(status, cudaSuccess);
}

class Stream {
 public:
  Stream() { ok(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  operator cudaStream_t() const { return stream_; } // NOLINT(*-explicit-*)

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { ok(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  operator cudaEvent_t() const { return event_; } // NOLINT(*-explicit-*)

 private:
  cudaEvent_t event_ = nullptr;
};

template <class T>
class Buffer {
 public:
  Buffer(cudaStream_t stream, std::size_t count) : stream_(stream), count_(count) {
    ok(cudaMallocAsync(&data_, count * sizeof(T), stream));
  }
  Buffer(cudaStream_t stream, const std::vector<T>& values) : Buffer(stream, values.size()) {
    ok(cudaMemcpyAsync(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice, stream));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { static_cast<void>(cudaFreeAsync(data_, stream_)); }
  operator T*() const { return data_; } // NOLINT(*-explicit-*)

  /// An entry, once a stream has come there.
  [[nodiscard]] T download(cudaStream_t stream, std::size_t index = 0) const {
    T value{};
    ok(cudaMemcpyAsync(&value, data_ + index, sizeof(T), cudaMemcpyDeviceToHost, stream));
    return value;
  }
  [[nodiscard]] std::vector<T> values() const {
    std::vector<T> result(count_);
    ok(cudaMemcpyAsync(result.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost, stream_));
    return result;
  }

 private:
  cudaStream_t stream_;
  std::size_t count_;
  T* data_ = nullptr;
};

} // namespace fake_cuda_test
