// SPDX-License-Identifier: MIT
#include "streams.hpp"

#include <cstring>

namespace {

using namespace fake_cuda::detail;

/// One side of a copy: rows of bytes.
struct Rows {
  Address first;
  std::size_t pitch;
  std::size_t width;
  std::size_t height;
  Place place;

  [[nodiscard]] std::size_t extent() const { return (height - 1) * pitch + width; }

  void check_held() const {
    if (place == Place::device) {
      state().device.check_held(first, extent());
    } else if (place == Place::pinned) {
      state().pinned.check(first, extent());
    }
  }
  /// The bytes while the work runs.
  [[nodiscard]] std::byte* bytes() const {
    if (place == Place::device) {
      return state().device.alias(first, extent());
    }
    if (place == Place::pinned) {
      state().pinned.check(first, extent());
    }
    return reinterpret_cast<std::byte*>(first);
  }
};

void copy_rows(std::byte* to, std::size_t to_pitch, const std::byte* from, std::size_t from_pitch,
               std::size_t width, std::size_t height) {
  for (std::size_t row = 0; row < height; ++row) {
    std::memmove(to + row * to_pitch, from + row * from_pitch, width);
  }
}

/// @throws RuntimeRefusal if the direction says another place than the pointers.
void check_direction(cudaMemcpyKind kind, bool to_device, bool from_device) {
  const bool fits = kind == cudaMemcpyHostToHost       ? !to_device && !from_device
                    : kind == cudaMemcpyHostToDevice   ? to_device && !from_device
                    : kind == cudaMemcpyDeviceToHost   ? !to_device && from_device
                    : kind == cudaMemcpyDeviceToDevice ? to_device && from_device
                                                       : kind == cudaMemcpyDefault;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    refuse(cudaErrorInvalidMemcpyDirection, "no direction of a copy");
  }
  if (!fits) {
    refuse(cudaErrorInvalidValue, "the direction is not that of the pointers: from ",
           from_device ? "device" : "host", " to ", to_device ? "device" : "host");
  }
}

cudaError_t copy(const Rows& to, const Rows& from, cudaMemcpyKind kind, cudaStream_t handle) {
  auto& here = state();
  const auto stream = stream_of(handle);
  check_direction(kind, to.place == Place::device, from.place == Place::device);
  if (to.width == 0 || to.height == 0) {
    return cudaSuccess;
  }
  to.check_held();
  from.check_held();
  const bool pageable = to.place == Place::pageable || from.place == Place::pageable;
  if (pageable && stream->capture != nullptr) {
    forbid_captured(*stream); // the host has to take part in such a copy
  }
  if (from.place == Place::pageable) {
    // Read while the call lasts, as a real library that stages it.
    const auto staged = std::make_shared<std::vector<std::byte>>(from.width * from.height);
    copy_rows(staged->data(), from.width, from.bytes(), from.pitch, from.width, from.height);
    enqueue(stream, here.call, [=] {
      copy_rows(to.bytes(), to.pitch, staged->data(), to.width, to.width, to.height);
    });
  } else {
    enqueue(stream, here.call, [=] {
      copy_rows(to.bytes(), to.pitch, from.bytes(), from.pitch, to.width, to.height);
    });
  }
  ++here.session.counters.copies;
  static constexpr const char* directions[] = {"HostToHost", "HostToDevice", "DeviceToHost",
                                               "DeviceToDevice", "Default"};
  record(" ", directions[kind], " ", to.width, " x ", to.height);
  if (pageable) {
    count_hidden_synchronization();
  }
  if (to.place == Place::pageable) {
    run_stream(stream);
  }
  return cudaSuccess;
}

} // namespace

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call<cudaError_t>("cudaMemcpyAsync", cudaErrorUnknown, [&] {
    return copy({address_of(to), bytes, bytes, 1, place_of(to)},
                {address_of(from), bytes, bytes, 1, place_of(from)}, kind, stream);
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return call<cudaError_t>("cudaMemcpy2DAsync", cudaErrorUnknown, [&] {
    if (width > to_pitch || width > from_pitch) {
      refuse(cudaErrorInvalidPitchValue, "rows of ", width, " bytes with pitches ", to_pitch,
             " and ", from_pitch);
    }
    return copy({address_of(to), to_pitch, width, height, place_of(to)},
                {address_of(from), from_pitch, width, height, place_of(from)}, kind, stream);
  });
}

cudaError_t cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t handle) {
  return call<cudaError_t>("cudaMemsetAsync", cudaErrorUnknown, [&] {
    const auto stream = stream_of(handle);
    if (bytes == 0) {
      return cudaSuccess;
    }
    const Address address = address_of(pointer);
    state().device.check_held(address, bytes);
    enqueue(stream, "cudaMemsetAsync",
            [=] { std::memset(state().device.alias(address, bytes), value, bytes); });
    ++state().session.counters.copies;
    record(" ", bytes);
    return cudaSuccess;
  });
}
