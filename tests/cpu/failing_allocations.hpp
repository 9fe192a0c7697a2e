// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdlib>

// Lets one allocation of the process fail, and counts those that are in use, by replacing malloc
// and its relatives (glibc's own versions stay reachable under their internal names). For one file
// of a binary of its own.

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

/// The number of allocations before the one that fails; negative for none.
inline std::atomic<long> until_failure{-1};
/// Allocations that were not given back yet.
inline std::atomic<long> in_use{0};

namespace failing_allocations {

inline bool fails() { return until_failure >= 0 && until_failure-- == 0; }

inline void* counted(void* memory) {
  in_use += memory != nullptr ? 1 : 0;
  return memory;
}

} // namespace failing_allocations

extern "C" {
void* malloc(std::size_t size) {
  using namespace failing_allocations;
  return fails() ? nullptr : counted(__libc_malloc(size));
}
void* calloc(std::size_t items, std::size_t size) {
  using namespace failing_allocations;
  return fails() ? nullptr : counted(__libc_calloc(items, size));
}
void* realloc(void* old, std::size_t size) {
  using namespace failing_allocations;
  if (fails()) {
    return nullptr;
  }
  void* const memory = __libc_realloc(old, size);
  return old == nullptr ? counted(memory) : memory;
}
void* memalign(std::size_t alignment, std::size_t size) {
  using namespace failing_allocations;
  return fails() ? nullptr : counted(__libc_memalign(alignment, size));
}
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  *result = memalign(alignment, size);
  return *result != nullptr ? 0 : ENOMEM;
}
void free(void* memory) {
  in_use -= memory != nullptr ? 1 : 0;
  __libc_free(memory);
}
}
