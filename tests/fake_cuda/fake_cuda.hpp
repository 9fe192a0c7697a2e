// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

/// An NVIDIA GPU that a test can have anywhere: the entry points of the CUDA runtime, cuBLAS,
/// cuBLASLt and cuSOLVER that this library calls, defined against NVIDIA's own headers. What is
/// asynchronous there is late here: it runs at a synchronisation, in an order of the streams that
/// `seed` draws among those that events allow. Memory of the device cannot be read by the host,
/// holds NaN until it is written, and no address is given twice. There are two devices, each of
/// which reaches its own memory alone; copies reach both.
///
/// Pinned memory that the device writes holds NaN from the call on, and what the host changes
/// before the device has read it is a fault.
///
/// What the real library checks returns its status; so does, at once, what would go wrong there
/// later (an operand outside of one allocation, host memory as operand). What goes wrong while the
/// work runs is cudaErrorIllegalAddress from then on, as there. `last_fault` says it in words.
namespace fake_cuda {

/// What was called since `reset`.
struct Counters {
  long device_allocations = 0;      ///< cudaMalloc, cudaMallocAsync and creating a handle
  long host_allocations = 0;        ///< of pinned memory
  long synchronizations = 0;        ///< all, those with another name as well:
  long hidden_synchronizations = 0; ///< cudaMalloc, cudaFree, copies from or to pageable memory
  long copies = 0;                  ///< memset too
  long launches = 0;                ///< of our kernels and host functions
  long library_calls = 0;           ///< work given to cuBLAS and cuSOLVER
  long graph_launches = 0;
  long faults = 0; ///< calls that were refused and work that failed, injected failures aside
};

/// What was created and is not given back.
struct Balance {
  std::size_t device_blocks = 0;
  std::size_t device_bytes = 0;
  std::size_t pinned_blocks = 0;
  std::size_t streams = 0;
  std::size_t events = 0;
  std::size_t graphs = 0; ///< instantiated ones too
  std::size_t library_handles = 0;
  std::size_t descriptors = 0; ///< of cuBLASLt

  bool operator==(const Balance&) const = default;
};

/// As in a new process. What was created before is dead: its work never runs.
void reset();
/// Draws the order of the streams.
void seed(unsigned value);

/// The n-th call from now on fails (0: the next), once; negative: none. Calls that give something
/// back, and those that ask for an error or its text, are not counted.
void fail_at(long n);
/// Calls counted since `fail_at` or `reset`.
[[nodiscard]] long calls();

/// Which products cuBLASLt has an algorithm for, and how it says that there is none.
enum class LtSupport {
  all,
  none_found,    ///< the heuristic succeeds with no result
  unusable,      ///< its result has a status of its own
  not_supported, ///< it fails
  not_at_call    ///< the product does
};
void support(LtSupport support);

[[nodiscard]] Counters counters();
[[nodiscard]] Balance balance();

/// The last 4096 calls that were accepted and had work to do, with their sizes; "cublasSgemm N T 3
/// 4 5 ld 3 4 3".
[[nodiscard]] std::vector<std::string> log();
void clear_log();

/// What was refused or failed last, in words; empty when nothing was.
[[nodiscard]] std::string last_fault();

/// A kernel of our own: `body` runs later and finds its operands by `local`. What it captures is
/// what a kernel gets by value. The error is cudaGetLastError's as well.
cudaError_t launch(cudaStream_t stream, const char* name, std::function<void()> body);

namespace detail {
/// The host's alias of the bytes at `device_address`, which one live allocation holds.
[[nodiscard]] void* local_bytes(const void* device_address, std::size_t bytes);
} // namespace detail

/// What a kernel reads and writes: `count` entries at an address of the device. Only while a kernel
/// runs. @throws std::runtime_error that ends it with cudaErrorIllegalAddress if the entries are
/// not in one live allocation of the device.
template <class T>
[[nodiscard]] T* local(T* device_pointer, std::size_t count = 1) {
  void* const alias = detail::local_bytes(device_pointer, count * sizeof(T));
  return static_cast<std::remove_const_t<T>*>(alias);
}

} // namespace fake_cuda
