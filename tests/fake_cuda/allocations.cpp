// SPDX-License-Identifier: MIT
#include "streams.hpp"

#include <algorithm>
#include <cstring>

using namespace fake_cuda::detail;

namespace {

/// A block that the caller gives back now.
Block& given_back(void* pointer) {
  auto& device = state().device;
  Block* const block = device.block_at(address_of(pointer));
  if (block == nullptr) {
    refuse(cudaErrorInvalidValue, pointer, " is not the begin of an allocation of the device but ",
           name_of(place_of(pointer)));
  }
  if (!block->held) {
    refuse(cudaErrorInvalidValue, pointer, " was given back before");
  }
  device.give_back(*block);
  return *block;
}

cudaError_t allocate_pinned(void** pointer, std::size_t bytes) {
  forbid_while_capturing();
  if (pointer == nullptr) {
    return cudaErrorInvalidValue;
  }
  *pointer = bytes == 0 ? nullptr : state().pinned.allocate(bytes);
  ++state().session.counters.host_allocations;
  record(" ", bytes);
  return cudaSuccess;
}

// What stands for the only pool of each device.
std::array<char, device_count> default_pools;

bool is_pool(cudaMemPool_t pool) {
  return std::any_of(default_pools.begin(), default_pools.end(), [=](const char& known) {
    return pool == reinterpret_cast<cudaMemPool_t>(const_cast<char*>(&known));
  });
}

} // namespace

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return call<cudaError_t>("cudaMalloc", cudaErrorMemoryAllocation, [&] {
    forbid_while_capturing();
    if (pointer == nullptr) {
      return cudaErrorInvalidValue;
    }
    *pointer = nullptr;
    if (bytes > 0) {
      *pointer = reinterpret_cast<void*>(state().device.allocate(bytes, true, current_device()));
    }
    count_hidden_synchronization();
    ++state().session.counters.device_allocations;
    record(" ", bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaFree(void* pointer) {
  return release_call<cudaError_t>("cudaFree", [&] {
    forbid_while_capturing();
    count_hidden_synchronization();
    run_all();
    record();
    if (pointer != nullptr) {
      given_back(pointer);
      state().device.release(address_of(pointer));
    }
    return cudaSuccess;
  });
}

cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t handle) {
  return call<cudaError_t>("cudaMallocAsync", cudaErrorMemoryAllocation, [&] {
    const auto stream = stream_of(handle);
    if (pointer == nullptr || bytes == 0) {
      return cudaErrorInvalidValue;
    }
    if (stream->capture != nullptr) {
      forbid_captured(*stream); // allocations as nodes are more than this GPU knows
    }
    const Address address = state().device.allocate(bytes, false, stream->device);
    *pointer = reinterpret_cast<void*>(address);
    submit(stream, {.name = "cudaMallocAsync",
                    .run = [=] { state().device.block_at(address)->live = true; },
                    .after_fault = true});
    ++state().session.counters.device_allocations;
    record(" ", bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t handle) {
  return release_call<cudaError_t>("cudaFreeAsync", [&] {
    const auto stream = stream_of(handle);
    if (stream->capture != nullptr) {
      forbid_captured(*stream);
    }
    given_back(pointer);
    const Address address = address_of(pointer);
    submit(stream, {.name = "cudaFreeAsync",
                    .run =
                        [=] {
                          if (state().session.sticky == cudaSuccess) {
                            static_cast<void>(state().device.alias(address, 0, any_device));
                          }
                          state().device.release(address);
                        },
                    .after_fault = true});
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return call<cudaError_t>("cudaMallocHost", cudaErrorMemoryAllocation,
                           [&] { return allocate_pinned(pointer, bytes); });
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned flags) {
  return call<cudaError_t>("cudaHostAlloc", cudaErrorMemoryAllocation, [&] {
    return (flags & ~7U) != 0 ? cudaErrorInvalidValue : allocate_pinned(pointer, bytes);
  });
}

cudaError_t cudaFreeHost(void* pointer) {
  return release_call<cudaError_t>("cudaFreeHost", [&] {
    forbid_while_capturing();
    count_hidden_synchronization();
    run_all();
    if (pointer != nullptr) {
      state().pinned.release(pointer);
    }
    record();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return call<cudaError_t>("cudaDeviceGetDefaultMemPool", cudaErrorNotSupported, [&] {
    if (pool == nullptr || device < 0 || device >= device_count) {
      return pool == nullptr ? cudaErrorInvalidValue : cudaErrorInvalidDevice;
    }
    *pool = reinterpret_cast<cudaMemPool_t>(&default_pools.at(static_cast<std::size_t>(device)));
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return call<cudaError_t>("cudaMemPoolSetAttribute", cudaErrorNotSupported, [&] {
    if (!is_pool(pool) || value == nullptr || attribute < cudaMemPoolReuseFollowEventDependencies ||
        attribute > cudaMemPoolAttrReleaseThreshold) {
      return cudaErrorInvalidValue;
    }
    record(" ", attribute == cudaMemPoolAttrReleaseThreshold
                    ? *static_cast<const std::uint64_t*>(value)
                    : static_cast<std::uint64_t>(*static_cast<const int*>(value)));
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call<cudaError_t>("cudaPointerGetAttributes", cudaErrorInvalidValue, [&] {
    if (attributes == nullptr) {
      return cudaErrorInvalidValue;
    }
    *attributes = {};
    attributes->type = cudaMemoryTypeUnregistered;
    void* const same = const_cast<void*>(pointer);
    try {
      if (place_of(pointer) == Place::device) {
        attributes->device = state().device.check_held(address_of(pointer), 1);
        attributes->type = cudaMemoryTypeDevice;
        attributes->devicePointer = same;
      } else if (place_of(pointer) == Place::pinned) {
        state().pinned.check(address_of(pointer), 1);
        attributes->type = cudaMemoryTypeHost;
        attributes->devicePointer = attributes->hostPointer = same;
      }
    } catch (const MemoryFault&) { // memory that the library does not know any more
    }
    return cudaSuccess;
  });
}
