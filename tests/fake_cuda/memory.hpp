// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <stdexcept>
#include <string>

namespace fake_cuda::detail {

using Address = std::uintptr_t;

inline Address address_of(const void* pointer) { return reinterpret_cast<Address>(pointer); }

/// Why memory is not what a call or a kernel needs.
struct MemoryFault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Place { device, pinned, pageable };

/// An allocation as its two sides see it: the host gives it back by a call, the device by work that
/// runs later.
struct Block {
  std::size_t bytes = 0;
  int device = 0;
  bool held = true;  ///< by the host: no call has given it back
  bool live = false; ///< on the device, whose work has allocated and not freed it
};

inline constexpr int any_device = -1;

/// Addresses of pages that the host cannot touch, and a second mapping of them for the work. All
/// devices share them, as they share one space of addresses.
class DeviceMemory {
 public:
  DeviceMemory();

  [[nodiscard]] bool contains(Address address) const {
    return address >= first_ && address < first_ + reserved_;
  }
  /// Filled with NaN, between red zones. @throws std::bad_alloc beyond the device's memory.
  Address allocate(std::size_t bytes, bool live, int device);
  /// The block that begins at an address, or nullptr.
  [[nodiscard]] Block* block_at(Address address);
  /// The host gives a block back.
  void give_back(Block& block);
  /// The device frees a block: it is poisoned. @throws MemoryFault if a red zone was written to.
  void release(Address address);

  /// The device that has them. @throws MemoryFault unless the bytes lie in one block that the host
  /// holds.
  int check_held(Address address, std::size_t bytes) const;
  /// The alias of bytes. @throws MemoryFault unless they lie in one block that is live, and on that
  /// device.
  [[nodiscard]] std::byte* alias(Address address, std::size_t bytes, int device) const;

  [[nodiscard]] std::size_t held_blocks() const { return held_blocks_; }
  [[nodiscard]] std::size_t held_bytes() const { return held_bytes_; }
  void clear();

 private:
  using Blocks = std::map<Address, Block>;

  [[nodiscard]] std::byte* alias_of(Address address) const { return alias_ + (address - first_); }
  [[nodiscard]] const Blocks::value_type& block_with(Address address, std::size_t bytes) const;
  void forget_oldest();
  void give_pages_back(Address from, Address to) const;

  std::size_t reserved_ = 0;
  int file_ = -1;
  Address first_ = 0;
  Address next_ = 0;
  std::byte* alias_ = nullptr;
  Blocks blocks_;
  std::deque<Address> quarantine_;
  std::size_t quarantined_bytes_ = 0;
  std::size_t held_blocks_ = 0;
  std::size_t held_bytes_ = 0;
};

/// Page-locked memory of the host, filled with NaN. What was given back cannot be touched.
class PinnedMemory {
 public:
  /// @throws std::bad_alloc
  void* allocate(std::size_t bytes);
  /// @throws MemoryFault if it is not the begin of a block, or was written beyond its end.
  void release(const void* pointer);
  /// Whether an address is pinned, or was.
  [[nodiscard]] bool contains(Address address) const { return find(address) != nullptr; }
  /// @throws MemoryFault unless the bytes lie in one block.
  void check(Address address, std::size_t bytes) const;
  [[nodiscard]] std::size_t held_blocks() const { return held_blocks_; }
  void clear();

 private:
  struct Pages {
    std::size_t bytes;
    std::size_t mapped;
    bool held;
  };
  using Blocks = std::map<Address, Pages>;

  [[nodiscard]] const Blocks::value_type* find(Address address) const;
  void give_back(Address first, Pages& pages);

  Blocks blocks_;
  std::size_t held_blocks_ = 0;
};

[[nodiscard]] Place place_of(const void* pointer);
[[nodiscard]] const char* name_of(Place place);

} // namespace fake_cuda::detail
