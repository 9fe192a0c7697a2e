// SPDX-License-Identifier: MIT
#include "streams.hpp"

#include <algorithm>
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
      return state().device.alias(first, extent(), any_device);
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

std::vector<std::byte> bytes_of(const Rows& rows) {
  std::vector<std::byte> bytes(rows.width * rows.height);
  copy_rows(bytes.data(), rows.width, rows.bytes(), rows.pitch, rows.width, rows.height);
  return bytes;
}

/// Whether a copy on its way uses some of it, or writes some of it.
bool is_used(const Rows& rows, bool written) {
  const auto& uses = state().session.pinned_uses;
  return std::any_of(uses.begin(), uses.end(), [&](const auto& use) {
    return (use->written || !written) && use->first < rows.first + rows.extent() &&
           rows.first < use->last;
  });
}

std::shared_ptr<const PinnedUse> add_use(const Rows& rows, bool written) {
  auto use =
      std::make_shared<const PinnedUse>(PinnedUse{rows.first, rows.first + rows.extent(), written});
  state().session.pinned_uses.push_back(use);
  return use;
}

/// Between a copy from or to pinned memory and the wait for it the host must not touch that memory.
/// A change of what is read is a fault when the copy runs; what is written holds NaN until then.
std::function<void()> guarded(const Rows& to, const Rows& from, std::function<void()> run) {
  std::vector<std::shared_ptr<const PinnedUse>> uses;
  std::vector<std::byte> given;
  if (to.place == Place::pinned) {
    if (!is_used(to, false)) {
      for (std::size_t row = 0; row < to.height; ++row) {
        std::memset(to.bytes() + row * to.pitch, 0xFF, to.width);
      }
    }
    uses.push_back(add_use(to, true));
  }
  if (from.place == Place::pinned) {
    if (!is_used(from, true)) {
      given = bytes_of(from);
    }
    uses.push_back(add_use(from, false));
  }
  return [=, run = std::move(run)] {
    if (!given.empty() && given != bytes_of(from)) {
      throw MemoryFault{text("the host changed pinned memory, ", from.width, " x ", from.height,
                             " bytes, before the copy from it had run")};
    }
    run();
    auto& all = state().session.pinned_uses;
    for (const auto& use : uses) {
      std::erase(all, use);
    }
  };
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
    std::function<void()> run = [=] {
      copy_rows(to.bytes(), to.pitch, from.bytes(), from.pitch, to.width, to.height);
    };
    // A graph reads what is there when it is launched.
    enqueue(stream, here.call,
            stream->capture != nullptr ? std::move(run) : guarded(to, from, std::move(run)));
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
            [=] { std::memset(state().device.alias(address, bytes, any_device), value, bytes); });
    ++state().session.counters.copies;
    record(" ", bytes);
    return cudaSuccess;
  });
}
