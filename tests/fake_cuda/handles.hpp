// SPDX-License-Identifier: MIT
#pragma once

#include "streams.hpp"

// Handles of cuBLAS and cuSOLVER, which are made and given back alike.

namespace fake_cuda::detail {

/// @throws Refusal if there is no such handle.
template <class Status, class Handle, class Object>
std::shared_ptr<Object> find_handle(const Handles<Handle, Object>& handles, Handle handle) {
  if (auto found = handles.find(handle)) {
    return found;
  }
  throw Refusal<Status>{Codes<Status>::no_handle, "no handle, or one that was destroyed"};
}

/// A handle works on the device where it was made. @throws RuntimeRefusal for another.
inline void check_device(int device, const Stream& stream) {
  if (stream.device != device) {
    refuse(cudaErrorInvalidResourceHandle, "the handle is one of device ", device,
           ", its stream one of device ", stream.device);
  }
  check_current(stream);
}

/// It allocates memory of the device, for which it waits.
template <class Status, class Handle, class Object>
Status create_handle(const char* name, Handles<Handle, Object>& handles, Handle* handle) {
  return call<Status>(name, Codes<Status>::no_memory, [&] {
    forbid_while_capturing();
    if (handle == nullptr) {
      return Codes<Status>::invalid;
    }
    *handle = handles.add(std::make_shared<Object>());
    ++state().session.counters.device_allocations;
    count_hidden_synchronization();
    record();
    return Status{};
  });
}

template <class Status, class Handle, class Object>
Status destroy_handle(const char* name, Handles<Handle, Object>& handles, Handle handle) {
  return release_call<Status>(name, [&] {
    forbid_while_capturing();
    if (find_handle<Status>(handles, handle)->device != current_device()) {
      refuse(cudaErrorInvalidResourceHandle, "the handle is one of another device");
    }
    count_hidden_synchronization();
    run_all();
    handles.remove(handle);
    record();
    return Status{};
  });
}

} // namespace fake_cuda::detail
