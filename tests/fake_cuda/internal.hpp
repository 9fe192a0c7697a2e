// SPDX-License-Identifier: MIT
#pragma once

#include "fake_cuda.hpp"

#include "memory.hpp"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// What the files of this folder share and nobody else sees.

struct cublasContext;
struct cusolverDnContext;
struct cusolverDnParams;

namespace fake_cuda::detail {

/// A call that the real library would refuse, with its status.
template <class Status>
struct Refusal {
  Status status;
  std::string text;
};
/// The same of the runtime, which the other libraries call too.
struct RuntimeRefusal {
  cudaError_t status;
  std::string text;
};

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

/// A point of a stream's work.
struct Marker {
  bool passed = false;
  std::uint64_t time = 0;
};

struct Work {
  std::string name;
  std::function<void()> run;
  std::shared_ptr<Marker> awaited = nullptr;
  std::shared_ptr<Marker> passes = nullptr;
  bool after_fault = false; ///< what gives back runs on a device that has failed too
};

struct Node {
  std::string name;
  std::function<void()> run;
  std::vector<std::size_t> after;
};

struct Graph {
  std::vector<Node> nodes;
};

/// Pinned memory of the host that a copy on its way reads or writes.
struct PinnedUse {
  Address first;
  Address last;
  bool written;
};

struct Stream;

struct Capture {
  cudaStreamCaptureMode mode;
  std::vector<std::shared_ptr<Stream>> streams; ///< the first is where it began
  bool valid = true;
  bool active = true;
  Graph graph = {};
};

inline constexpr int device_count = 2;
/// Of this thread.
[[nodiscard]] int& current_device();

struct Stream {
  bool blocking = false; ///< ordered with the legacy default stream of its device
  int device = current_device();
  std::deque<Work> queue = {};
  std::shared_ptr<Capture> capture = nullptr;
  std::vector<std::size_t> last_nodes = {};
};

struct Event {
  bool timed = true;
  int device = current_device();
  std::shared_ptr<Marker> recorded = nullptr;
  std::shared_ptr<Capture> capture = nullptr; ///< where it was recorded last, if in one
  std::vector<std::size_t> nodes = {};
};

struct BlasHandle;
struct SolverHandle;
struct SolverParams;
struct LtHandle;
struct LtOperation;
struct LtLayout;
struct LtPreference;

/// Objects by handles that nobody can look into, and that are never given twice.
template <class Handle, class Object>
class Handles {
 public:
  Handle add(std::shared_ptr<Object> object) {
    static Address next = Address{0xFACE} << 48;
    next += 16;
    objects_.emplace(next, std::move(object));
    return reinterpret_cast<Handle>(next);
  }
  [[nodiscard]] std::shared_ptr<Object> find(Handle handle) const {
    const auto found = objects_.find(reinterpret_cast<Address>(handle));
    return found == objects_.end() ? nullptr : found->second;
  }
  std::shared_ptr<Object> remove(Handle handle) {
    const auto found = objects_.find(reinterpret_cast<Address>(handle));
    if (found == objects_.end()) {
      return nullptr;
    }
    auto object = std::move(found->second);
    objects_.erase(found);
    return object;
  }
  [[nodiscard]] std::size_t size() const { return objects_.size(); }

 private:
  std::map<Address, std::shared_ptr<Object>> objects_;
};

using DefaultStreams = std::array<std::shared_ptr<Stream>, device_count>;
[[nodiscard]] DefaultStreams default_streams();

/// All that `reset` makes new.
struct Session {
  std::mt19937 random{1};
  long calls = 0;
  long failing = -1;
  Counters counters;
  std::deque<std::string> log;
  std::string fault;
  cudaError_t sticky = cudaSuccess;
  cudaError_t last_error = cudaSuccess;
  std::uint64_t time = 0;

  Handles<cudaStream_t, Stream> streams;
  Handles<cudaEvent_t, Event> events;
  Handles<cudaGraph_t, Graph> graphs;
  Handles<cudaGraphExec_t, Graph> executables;
  Handles<cublasContext*, BlasHandle> blas_handles;
  Handles<cusolverDnContext*, SolverHandle> solver_handles;
  Handles<cusolverDnParams*, SolverParams> solver_params;

  DefaultStreams legacy = default_streams();
  DefaultStreams per_thread = default_streams();
  std::vector<std::shared_ptr<Stream>> working; ///< those that have work, destroyed ones too
  std::vector<std::shared_ptr<Capture>> captures;
  std::vector<std::shared_ptr<const PinnedUse>> pinned_uses;

  Handles<cublasLtHandle_t, LtHandle> lt_handles;
  Handles<cublasLtMatmulDesc_t, LtOperation> lt_operations;
  Handles<cublasLtMatrixLayout_t, LtLayout> lt_layouts;
  Handles<cublasLtMatmulPreference_t, LtPreference> lt_preferences;
  LtSupport lt_support = LtSupport::all;

  std::size_t below(std::size_t count) { return random() % count; }
};

/// Of the process; lives until its end, for thread-local objects give back late.
struct State {
  std::recursive_mutex mutex;
  DeviceMemory device;
  PinnedMemory pinned;
  Session session;
  const char* call = "";
  bool running = false;        ///< work of a device, which may not call the library
  int running_on = any_device; ///< the device that it runs on
};

State& state();

/// Keeps the text of what was refused or failed.
void note_fault(const std::string& what);

/// Adds to the log: the name of the call and its sizes.
template <class... Parts>
void record(const Parts&... parts) {
  auto& log = state().session.log;
  if (log.size() == 4096) {
    log.pop_front();
  }
  log.push_back(text(state().call, parts...));
}

template <class... Parts>
[[noreturn]] void refuse(cudaError_t status, const Parts&... parts) {
  throw RuntimeRefusal{status, text(parts...)};
}

/// Counts a call. Whether it is the one that is to fail.
bool is_failing();

/// What the calls of a library return: `broken` once the device has failed, `refused` for memory
/// that is not what the call needs.
template <class Status>
struct Codes;

template <>
struct Codes<cudaError_t> {
  static cudaError_t broken() { return state().session.sticky; }
  static cudaError_t of(cudaError_t status) { return status; }
  static constexpr auto refused = cudaErrorInvalidValue;
  static constexpr auto no_memory = cudaErrorMemoryAllocation;
  static constexpr auto while_running = cudaErrorNotPermitted;
};

template <class Status, class Body>
Status refusing(Body&& body) {
  auto& here = state();
  const auto refuse = [&](Status status, const std::string& why) {
    note_fault(text(here.call, ": ", why));
    return status;
  };
  try {
    const Status status = body();
    return here.session.sticky == cudaSuccess ? status : Codes<Status>::broken();
  } catch (const Refusal<Status>& refusal) {
    return refuse(refusal.status, refusal.text);
  } catch (const RuntimeRefusal& refusal) {
    return refuse(Codes<Status>::of(refusal.status), refusal.text);
  } catch (const MemoryFault& fault) {
    return refuse(Codes<Status>::refused, fault.what());
  } catch (const std::bad_alloc&) {
    return refuse(Codes<Status>::no_memory, "out of memory");
  }
}

/// A call that gives something back: it is not counted and works on a device that has failed too.
template <class Status, class Body>
Status release_call(const char* name, Body&& body) {
  auto& here = state();
  const std::lock_guard lock(here.mutex);
  if (here.running) {
    note_fault(text(name, ": called while work of the device runs"));
    return Codes<Status>::while_running;
  }
  here.call = name;
  const Status status = refusing<Status>(body);
  if constexpr (std::is_same_v<Status, cudaError_t>) {
    if (status != cudaSuccess && status != cudaErrorNotReady) {
      here.session.last_error = status;
    }
  }
  return status;
}

/// Any other call. `injected` is what it returns when it is the one that is to fail.
template <class Status, class Body>
Status call(const char* name, Status injected, Body&& body) {
  return release_call<Status>(name, [&]() -> Status {
    if (is_failing()) {
      return injected;
    }
    return state().session.sticky == cudaSuccess ? body() : Codes<Status>::broken();
  });
}

} // namespace fake_cuda::detail
