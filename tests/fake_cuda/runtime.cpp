// SPDX-License-Identifier: MIT
#include "streams.hpp"

#include <algorithm>
#include <iterator>

namespace fake_cuda {
namespace detail {

State& state() {
  static auto* const state = new State;
  return *state;
}

int& current_device() {
  thread_local int device = 0;
  return device;
}

DefaultStreams default_streams() {
  DefaultStreams streams;
  for (int device = 0; device < device_count; ++device) {
    streams.at(static_cast<std::size_t>(device)) =
        std::make_shared<Stream>(Stream{.blocking = true, .device = device});
  }
  return streams;
}

void note_fault(const std::string& what) {
  state().session.fault = what;
  ++state().session.counters.faults;
}

bool is_failing() {
  auto& session = state().session;
  return session.calls++ == session.failing;
}

void* local_bytes(const void* device_address, std::size_t bytes) {
  auto& here = state();
  const std::lock_guard lock(here.mutex);
  if (!here.running) {
    throw std::logic_error("fake_cuda: local() is for kernels while they run");
  }
  return here.device.alias(address_of(device_address), bytes, here.running_on);
}

namespace {

std::unique_lock<std::recursive_mutex> lock() { return std::unique_lock(state().mutex); }

} // namespace
} // namespace detail

using detail::lock;
using detail::state;

void reset() {
  const auto locked = lock();
  for (const auto captures = state().session.captures; const auto& capture : captures) {
    detail::end_capture(capture); // which hold each other
  }
  detail::current_device() = 0;
  state().session = {};
  state().device.clear();
  state().pinned.clear();
}

void seed(unsigned value) {
  const auto locked = lock();
  state().session.random.seed(value);
}

void fail_at(long n) {
  const auto locked = lock();
  state().session.calls = 0;
  state().session.failing = n;
}

void support(LtSupport support) {
  const auto locked = lock();
  state().session.lt_support = support;
}

long calls() {
  const auto locked = lock();
  return state().session.calls;
}

Counters counters() {
  const auto locked = lock();
  return state().session.counters;
}

Balance balance() {
  const auto locked = lock();
  const auto& session = state().session;
  return {.device_blocks = state().device.held_blocks(),
          .device_bytes = state().device.held_bytes(),
          .pinned_blocks = state().pinned.held_blocks(),
          .streams = session.streams.size(),
          .events = session.events.size(),
          .graphs = session.graphs.size() + session.executables.size(),
          .library_handles = session.blas_handles.size() + session.lt_handles.size() +
                             session.solver_handles.size() + session.solver_params.size(),
          .descriptors = session.lt_operations.size() + session.lt_layouts.size() +
                         session.lt_preferences.size()};
}

std::vector<std::string> log() {
  const auto locked = lock();
  return {state().session.log.begin(), state().session.log.end()};
}

void clear_log() {
  const auto locked = lock();
  state().session.log.clear();
}

std::string last_fault() {
  const auto locked = lock();
  return state().session.fault;
}

cudaError_t launch(cudaStream_t stream, const char* name, std::function<void()> body) {
  return detail::call<cudaError_t>(name, cudaErrorLaunchOutOfResources, [&] {
    const auto target = detail::stream_of(stream);
    detail::check_current(*target);
    detail::enqueue(target, name, std::move(body));
    ++state().session.counters.launches;
    detail::record();
    return cudaSuccess;
  });
}

} // namespace fake_cuda

using namespace fake_cuda::detail;

namespace {

struct ErrorName {
  cudaError_t status;
  const char* name;
  const char* text;
};

#define FAKE_CUDA_ERROR(status, text)                                                              \
  ErrorName { status, #status, text }
constexpr ErrorName error_names[] = {
    FAKE_CUDA_ERROR(cudaSuccess, "no error"),
    FAKE_CUDA_ERROR(cudaErrorInvalidValue, "invalid argument"),
    FAKE_CUDA_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    FAKE_CUDA_ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    FAKE_CUDA_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    FAKE_CUDA_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    FAKE_CUDA_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    FAKE_CUDA_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    FAKE_CUDA_ERROR(cudaErrorIllegalState, "the operation cannot be performed in this state"),
    FAKE_CUDA_ERROR(cudaErrorNotReady, "device not ready"),
    FAKE_CUDA_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    FAKE_CUDA_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    FAKE_CUDA_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    FAKE_CUDA_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    FAKE_CUDA_ERROR(cudaErrorNotSupported, "operation not supported"),
    FAKE_CUDA_ERROR(cudaErrorStreamCaptureUnsupported,
                    "operation not permitted when stream is capturing"),
    FAKE_CUDA_ERROR(cudaErrorStreamCaptureInvalidated,
                    "operation failed due to a previous error during capture"),
    FAKE_CUDA_ERROR(cudaErrorStreamCaptureMerge,
                    "operation would result in a merge of separate capture sequences"),
    FAKE_CUDA_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream"),
    FAKE_CUDA_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    FAKE_CUDA_ERROR(cudaErrorStreamCaptureIsolation,
                    "dependency created on uncaptured work in another stream"),
    FAKE_CUDA_ERROR(cudaErrorStreamCaptureImplicit,
                    "operation would make the legacy stream depend on a capturing blocking stream"),
    FAKE_CUDA_ERROR(cudaErrorCapturedEvent,
                    "operation not permitted on an event last recorded in a capturing stream"),
    FAKE_CUDA_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef FAKE_CUDA_ERROR

const ErrorName* find_error(cudaError_t status) {
  const auto* const found =
      std::find_if(std::begin(error_names), std::end(error_names),
                   [=](const ErrorName& error) { return error.status == status; });
  return found == std::end(error_names) ? nullptr : found;
}

constexpr int version = CUDART_VERSION;

cudaError_t write_version(const char* name, int* value) {
  return call<cudaError_t>(name, cudaErrorUnknown, [&] {
    if (value == nullptr) {
      return cudaErrorInvalidValue;
    }
    *value = version;
    return cudaSuccess;
  });
}

int attribute_value(cudaDeviceAttr attribute) {
  switch (attribute) {
  case cudaDevAttrMaxThreadsPerBlock:
    return 1024;
  case cudaDevAttrWarpSize:
    return 32;
  case cudaDevAttrMultiProcessorCount:
    return 132;
  case cudaDevAttrMaxSharedMemoryPerBlock:
    return 48 << 10;
  case cudaDevAttrMaxGridDimX:
    return 2147483647;
  case cudaDevAttrL2CacheSize:
    return 50 << 20;
  case cudaDevAttrComputeCapabilityMajor:
    return 9;
  case cudaDevAttrComputeCapabilityMinor:
    return 0;
  case cudaDevAttrUnifiedAddressing:
    return 1;
  case cudaDevAttrMemoryPoolsSupported:
    return 1;
  default:
    return 0;
  }
}

} // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  return call<cudaError_t>("cudaGetDeviceCount", cudaErrorNoDevice, [&] {
    if (count == nullptr) {
      return cudaErrorInvalidValue;
    }
    *count = device_count;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call<cudaError_t>("cudaGetDevice", cudaErrorNoDevice, [&] {
    if (device == nullptr) {
      return cudaErrorInvalidValue;
    }
    *device = current_device();
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call<cudaError_t>("cudaSetDevice", cudaErrorNoDevice, [&] {
    if (device < 0 || device >= device_count) {
      return cudaErrorInvalidDevice;
    }
    current_device() = device;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call<cudaError_t>("cudaDeviceGetAttribute", cudaErrorUnknown, [&] {
    if (value == nullptr || attribute <= 0 || attribute >= cudaDevAttrMax) {
      return cudaErrorInvalidValue;
    }
    if (device < 0 || device >= device_count) {
      return cudaErrorInvalidDevice;
    }
    *value = attribute_value(attribute);
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* value) {
  return write_version("cudaRuntimeGetVersion", value);
}
cudaError_t cudaDriverGetVersion(int* value) {
  return write_version("cudaDriverGetVersion", value);
}

cudaError_t cudaPeekAtLastError() {
  const std::lock_guard lock(state().mutex);
  const auto& session = state().session;
  return session.sticky != cudaSuccess ? session.sticky : session.last_error;
}

cudaError_t cudaGetLastError() {
  const std::lock_guard lock(state().mutex);
  auto& session = state().session;
  const auto last = std::exchange(session.last_error, cudaSuccess);
  return session.sticky != cudaSuccess ? session.sticky : last;
}

const char* cudaGetErrorName(cudaError_t status) {
  const auto* const error = find_error(status);
  return error == nullptr ? "unrecognized error code" : error->name;
}
const char* cudaGetErrorString(cudaError_t status) {
  const auto* const error = find_error(status);
  return error == nullptr ? "unrecognized error code" : error->text;
}
