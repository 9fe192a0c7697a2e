// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>

#include <cstddef>
#include <cstring>

// Without it, compilers keep the sums of a block in memory instead of in registers.
#if defined(__clang__)
#define ACCRETE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ACCRETE_UNROLL _Pragma("GCC unroll 16")
#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail {

#if defined(__AVX512F__)
inline constexpr std::size_t vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr std::size_t vector_bytes = 32;
#else
inline constexpr std::size_t vector_bytes = 16;
#endif

/// One vector register. Explicit, since compilers choose half of the width for loops.
template <class Scalar>
struct Lanes {
  typedef Scalar type __attribute__((vector_size(vector_bytes)));
  static constexpr Index count = static_cast<Index>(vector_bytes / sizeof(Scalar));
};

/// Sum of the `bytes / sizeof(Scalar)` entries at `lanes`, always in the same order.
template <class Scalar, std::size_t bytes = vector_bytes>
Scalar sum_of_lanes(const Scalar* lanes) {
  if constexpr (bytes == sizeof(Scalar)) {
    return *lanes;
  } else {
    typedef Scalar Half __attribute__((vector_size(bytes / 2)));
    Half low;
    Half high;
    std::memcpy(&low, lanes, bytes / 2);
    std::memcpy(&high, lanes + bytes / 2 / sizeof(Scalar), bytes / 2);
    low += high;
    Scalar sums[bytes / 2 / sizeof(Scalar)];
    std::memcpy(sums, &low, bytes / 2);
    return sum_of_lanes<Scalar, bytes / 2>(sums);
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
