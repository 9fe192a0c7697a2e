// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// Without it, compilers keep the sums of a block in memory instead of in registers.
#if defined(__clang__)
#define ACCRETE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ACCRETE_UNROLL _Pragma("GCC unroll 24")
#endif

// A vector that is used more than once stays in a register. Compilers take loads for free and
// repeat them at each use: inner products then take twice as long.
#if defined(__SSE2__)
#define ACCRETE_KEEP_LOADED(vector) __asm__("" : "+v"(vector))
#else
#define ACCRETE_KEEP_LOADED(vector) static_cast<void>(vector)
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

/// One vector register, of the width that this file is compiled for unless another is named. The
/// compilers' own vectors: explicit, since loops get half of the width, and not <immintrin.h>,
/// which takes a third of a second to compile. What is compiled for wider ones than the rest of a
/// file (native/avx512_tile.hpp) shares the type, but not the functions below: a vector that is
/// wider than a function's target cannot be its result.
template <class Scalar, std::size_t bytes = vector_bytes>
struct Lanes {
  typedef Scalar type __attribute__((vector_size(bytes)));
  static constexpr Index count = static_cast<Index>(bytes / sizeof(Scalar));

  using Bits = std::conditional_t<sizeof(Scalar) == 8, std::uint64_t, std::uint32_t>;
  typedef Bits mask __attribute__((vector_size(bytes)));
};

template <class Scalar>
typename Lanes<Scalar>::type load_lanes(const Scalar* from) noexcept {
  typename Lanes<Scalar>::type value;
  std::memcpy(&value, from, vector_bytes);
  return value;
}
template <class Scalar>
void store_lanes(Scalar* to, const typename Lanes<Scalar>::type& value) noexcept {
  std::memcpy(to, &value, vector_bytes);
}

/// No bits, then all bits of a vector: from place n on, a mask of the last n lanes.
template <class Scalar>
inline constexpr auto lane_masks = [] {
  std::array<typename Lanes<Scalar>::Bits, 2 * Lanes<Scalar>::count> bits{};
  for (std::size_t i = bits.size() / 2; i < bits.size(); ++i) {
    bits[i] = ~typename Lanes<Scalar>::Bits{0};
  }
  return bits;
}();

/// The vector that ends at `end`, all but its last `count` lanes zero.
template <class Scalar>
typename Lanes<Scalar>::type last_lanes(const Scalar* end, Index count) {
  typename Lanes<Scalar>::mask bits;
  typename Lanes<Scalar>::mask mask;
  std::memcpy(&bits, end - Lanes<Scalar>::count, vector_bytes);
  std::memcpy(&mask, lane_masks<Scalar>.data() + count, vector_bytes);
  bits &= mask;
  typename Lanes<Scalar>::type result;
  std::memcpy(&result, &bits, vector_bytes);
  return result;
}

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
template <class Scalar>
Scalar sum_of(const typename Lanes<Scalar>::type& value) noexcept {
  Scalar sums[Lanes<Scalar>::count];
  std::memcpy(sums, &value, vector_bytes);
  return sum_of_lanes(sums);
}

} // namespace detail

ACCRETE_END_NAMESPACE
