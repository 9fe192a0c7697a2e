// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// What storage and temporaries are aligned to, in bytes: a cache line, the widest vector.
inline constexpr std::size_t memory_alignment = 64;

/// Where a device's storage comes from: derive from it to give a Context an allocator of one's own.
class MemoryResource {
 public:
  MemoryResource() = default;
  MemoryResource(const MemoryResource&) = delete;
  MemoryResource& operator=(const MemoryResource&) = delete;
  virtual ~MemoryResource() = default;

  /// `bytes` > 0 uninitialised bytes, aligned to memory_alignment. @throws std::bad_alloc
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  /// Takes back what allocate() gave for as many bytes.
  virtual void deallocate(void* memory, std::size_t bytes) noexcept = 0;
};

/// The handle to the memory of a space that storage keeps: storage may outlive the context that it
/// was made with.
template <class Space>
class Memory {
 public:
  Memory() = default;
  explicit Memory(std::shared_ptr<MemoryResource> resource) : resource_(std::move(resource)) {}

  [[nodiscard]] void* allocate(std::size_t bytes) {
    return bytes == 0 ? nullptr : resource_->allocate(bytes);
  }
  void deallocate(void* memory, std::size_t bytes) noexcept {
    if (memory != nullptr) {
      resource_->deallocate(memory, bytes);
    }
  }

 private:
  std::shared_ptr<MemoryResource> resource_;
};

/// The heap.
template <>
class Memory<HostSpace> {
 public:
  [[nodiscard]] static void* allocate(std::size_t bytes) {
    return ::operator new(bytes, std::align_val_t{memory_alignment});
  }
  static void deallocate(void* memory, std::size_t) noexcept {
    ::operator delete(memory, std::align_val_t{memory_alignment});
  }
};

ACCRETE_END_NAMESPACE
