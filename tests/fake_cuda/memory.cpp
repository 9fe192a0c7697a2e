// SPDX-License-Identifier: MIT
#include "internal.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace fake_cuda::detail {
namespace {

constexpr std::size_t alignment = 256;
constexpr std::size_t page = 4096;
constexpr std::size_t red_zone = 256;
constexpr std::size_t device_limit = std::size_t{8} << 30;
constexpr std::size_t quarantine_limit = std::size_t{256} << 20;

// NaN in bfloat16, float and double alike; that of red zones differs, so that a copy of memory
// which nobody has written is noticed there.
constexpr int nan_byte = 0xFF;
constexpr std::byte red_bytes[] = {std::byte{0xF5}, std::byte{0xFF}};

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
/// Where the red zone behind a block ends; it has one byte at least.
Address end_of(Address first, std::size_t bytes) {
  return first + round_up(bytes + 1, alignment) + red_zone;
}
void paint(std::byte* first, std::byte* last) {
  for (; first < last; ++first) {
    *first = red_bytes[reinterpret_cast<Address>(first) % 2];
  }
}
bool is_painted(const std::byte* first, const std::byte* last) {
  for (; first < last; ++first) {
    if (*first != red_bytes[reinterpret_cast<Address>(first) % 2]) {
      return false;
    }
  }
  return true;
}

/// Under AddressSanitizer nobody may touch these bytes, until that is permitted: what a kernel
/// reads beside its memory is noticed there, too.
void forbid([[maybe_unused]] const std::byte* first, [[maybe_unused]] const std::byte* last) {
#ifdef __SANITIZE_ADDRESS__
  __asan_poison_memory_region(first, static_cast<std::size_t>(last - first));
#endif
}
void permit([[maybe_unused]] const std::byte* first, [[maybe_unused]] const std::byte* last) {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(first, static_cast<std::size_t>(last - first));
#endif
}

std::string hex(Address address) { return text("0x", std::hex, address); }

[[noreturn]] void stop(const char* what) {
  std::perror(what);
  std::abort();
}

} // namespace

DeviceMemory::DeviceMemory() {
  file_ = memfd_create("fake_cuda", 0);
  if (file_ < 0) {
    stop("fake_cuda: memfd_create");
  }
  // ThreadSanitizer leaves less room for the larger.
  for (const std::size_t reserved : {std::size_t{1} << 40, std::size_t{1} << 36}) {
    if (ftruncate(file_, static_cast<off_t>(reserved)) != 0) {
      continue;
    }
    const auto map = [&](int protection) {
      return mmap(nullptr, reserved, protection, MAP_SHARED | MAP_NORESERVE, file_, 0);
    };
    void* const pages = map(PROT_NONE);
    void* const alias = pages == MAP_FAILED ? MAP_FAILED : map(PROT_READ | PROT_WRITE);
    if (alias != MAP_FAILED) {
      reserved_ = reserved;
      first_ = address_of(pages);
      next_ = first_;
      alias_ = static_cast<std::byte*>(alias);
      return;
    }
    if (pages != MAP_FAILED) {
      munmap(pages, reserved);
    }
  }
  stop("fake_cuda: mmap");
}

Address DeviceMemory::allocate(std::size_t bytes, bool live, int device) {
  if (bytes > device_limit - held_bytes_ || end_of(next_ + red_zone, bytes) > first_ + reserved_) {
    throw std::bad_alloc();
  }
  const Address first = next_ + red_zone;
  const Address end = end_of(first, bytes);
  blocks_.emplace(first, Block{.bytes = bytes, .device = device, .live = live});
  next_ = end;
  ++held_blocks_;
  held_bytes_ += bytes;
  paint(alias_of(first - red_zone), alias_of(first));
  std::memset(alias_of(first), nan_byte, bytes);
  paint(alias_of(first + bytes), alias_of(end));
  forbid(alias_of(first - red_zone), alias_of(first));
  forbid(alias_of(first + bytes), alias_of(end));
  return first;
}

Block* DeviceMemory::block_at(Address address) {
  const auto block = blocks_.find(address);
  return block == blocks_.end() ? nullptr : &block->second;
}

void DeviceMemory::give_back(Block& block) {
  block.held = false;
  --held_blocks_;
  held_bytes_ -= block.bytes;
}

void DeviceMemory::release(Address address) {
  auto& block = blocks_.at(address);
  block.live = false;
  const std::byte* const end = alias_of(end_of(address, block.bytes));
  permit(alias_of(address - red_zone), end);
  const bool intact = is_painted(alias_of(address - red_zone), alias_of(address)) &&
                      is_painted(alias_of(address + block.bytes), end);
  std::memset(alias_of(address), nan_byte, block.bytes);
  quarantine_.push_back(address);
  quarantined_bytes_ += block.bytes;
  const std::size_t bytes = block.bytes;
  while (quarantined_bytes_ > quarantine_limit || quarantine_.size() > 65536) {
    forget_oldest();
  }
  if (!intact) {
    throw MemoryFault{text("the device wrote outside of the block of ", bytes, " bytes at ",
                           hex(address), " that is freed")};
  }
}

void DeviceMemory::forget_oldest() {
  const auto block = blocks_.find(quarantine_.front());
  quarantine_.pop_front();
  quarantined_bytes_ -= block->second.bytes;
  give_pages_back(block->first, block->first + block->second.bytes);
  blocks_.erase(block);
}

void DeviceMemory::give_pages_back(Address from, Address to) const {
  const std::size_t first = round_up(from - first_, page);
  const std::size_t last = (to - first_) / page * page;
  if (first < last) {
    // No more than a waste of memory if it fails.
    static_cast<void>(fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                static_cast<off_t>(first), static_cast<off_t>(last - first)));
  }
}

void DeviceMemory::clear() {
  give_pages_back(first_, next_);
  next_ = first_ + round_up(next_ - first_, page);
  blocks_.clear();
  quarantine_.clear();
  quarantined_bytes_ = held_blocks_ = held_bytes_ = 0;
}

const DeviceMemory::Blocks::value_type& DeviceMemory::block_with(Address address,
                                                                 std::size_t bytes) const {
  const std::string range = text(bytes, " bytes at ", hex(address));
  if (!contains(address)) {
    throw MemoryFault{text(range, " are not memory of the device but ",
                           name_of(place_of(reinterpret_cast<const void*>(address))))};
  }
  auto block = blocks_.upper_bound(address);
  if (block == blocks_.begin()) {
    throw MemoryFault{range + " are in no allocation"};
  }
  --block;
  const Address end = block->first + block->second.bytes;
  if (address > end || (address == end && bytes > 0)) {
    throw MemoryFault{text(range, " are in no allocation; the nearest below has ",
                           block->second.bytes, " bytes at ", hex(block->first))};
  }
  if (bytes > end - address) {
    throw MemoryFault{text(range, " go ", bytes - (end - address),
                           " bytes beyond their allocation of ", block->second.bytes, " at ",
                           hex(block->first))};
  }
  return *block;
}

int DeviceMemory::check_held(Address address, std::size_t bytes) const {
  const auto& [first, block] = block_with(address, bytes);
  if (!block.held) {
    throw MemoryFault{text(bytes, " bytes at ", hex(address), " are in the block of ", block.bytes,
                           " at ", hex(first), ", which was given back")};
  }
  return block.device;
}

std::byte* DeviceMemory::alias(Address address, std::size_t bytes, int device) const {
  const auto& [first, block] = block_with(address, bytes);
  if (!block.live) {
    throw MemoryFault{text(bytes, " bytes at ", hex(address), " are in the block of ", block.bytes,
                           " at ", hex(first), ", which is ",
                           block.held ? "not allocated yet" : "not allocated yet or freed",
                           " at this point of the order of the streams")};
  }
  if (device != any_device && device != block.device) {
    throw MemoryFault{text(bytes, " bytes at ", hex(address), " lie on device ", block.device,
                           ", which device ", device, " does not reach")};
  }
  return alias_of(address);
}

void* PinnedMemory::allocate(std::size_t bytes) {
  const std::size_t mapped = round_up(bytes + 1, page);
  void* const pages =
      mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    throw std::bad_alloc();
  }
  auto* const first = static_cast<std::byte*>(pages);
  std::memset(pages, nan_byte, bytes);
  paint(first + bytes, first + mapped);
  forbid(first + bytes, first + mapped);
  blocks_.emplace(address_of(pages), Pages{bytes, mapped, true});
  ++held_blocks_;
  return pages;
}

void PinnedMemory::release(const void* pointer) {
  const auto block = blocks_.find(address_of(pointer));
  if (block == blocks_.end() || !block->second.held) {
    throw MemoryFault{text(pointer, " is no pinned memory that is in use")};
  }
  auto& [first, pages] = *block;
  const auto* const bytes = reinterpret_cast<const std::byte*>(first);
  permit(bytes, bytes + pages.mapped);
  const bool intact = is_painted(bytes + pages.bytes, bytes + pages.mapped);
  give_back(first, pages);
  if (!intact) {
    throw MemoryFault{text("pinned memory of ", pages.bytes, " bytes was written beyond its end")};
  }
}

void PinnedMemory::give_back(Address first, Pages& pages) {
  pages.held = false;
  --held_blocks_;
  void* const memory = reinterpret_cast<void*>(first);
  madvise(memory, pages.mapped, MADV_DONTNEED);
  mprotect(memory, pages.mapped, PROT_NONE);
}

void PinnedMemory::check(Address address, std::size_t bytes) const {
  const auto* const block = find(address);
  if (block == nullptr || !block->second.held) {
    throw MemoryFault{text("pinned memory at ", hex(address), " was given back")};
  }
  if (address + bytes > block->first + block->second.bytes) {
    throw MemoryFault{text(bytes, " bytes at ", hex(address), " go beyond the pinned block of ",
                           block->second.bytes, " bytes")};
  }
}

const PinnedMemory::Blocks::value_type* PinnedMemory::find(Address address) const {
  auto block = blocks_.upper_bound(address);
  if (block == blocks_.begin()) {
    return nullptr;
  }
  --block;
  return address < block->first + block->second.mapped ? &*block : nullptr;
}

void PinnedMemory::clear() {
  for (auto& [first, pages] : blocks_) {
    if (pages.held) {
      const auto* const bytes = reinterpret_cast<const std::byte*>(first);
      permit(bytes, bytes + pages.mapped);
      give_back(first, pages);
    }
  }
}

Place place_of(const void* pointer) {
  const Address address = address_of(pointer);
  if (state().device.contains(address)) {
    return Place::device;
  }
  return state().pinned.contains(address) ? Place::pinned : Place::pageable;
}

const char* name_of(Place place) {
  return place == Place::device   ? "memory of the device"
         : place == Place::pinned ? "pinned memory of the host"
                                  : "pageable memory of the host";
}

} // namespace fake_cuda::detail
