// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/rounding.hpp>

#include <algorithm>

#ifdef _OPENMP
#include <omp.h>
#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// While it lives, a library that asks OpenMP for its thread count sees this one: the product
/// library, and Eigen where it multiplies inside a factorisation.
class OpenmpThreads {
 public:
  explicit OpenmpThreads([[maybe_unused]] int threads) {
#ifdef _OPENMP
    if (omp_in_parallel() == 0 && threads != omp_get_max_threads()) {
      before_ = omp_get_max_threads();
      omp_set_num_threads(threads);
    }
#endif
  }
  OpenmpThreads(const OpenmpThreads&) = delete;
  OpenmpThreads& operator=(const OpenmpThreads&) = delete;
  ~OpenmpThreads() {
#ifdef _OPENMP
    if (before_ > 0) {
      omp_set_num_threads(before_);
    }
#endif
  }

 private:
  [[maybe_unused]] int before_ = 0;
};

/// Length of the ranges, but for the last one, into which parallel_ranges() splits [0, count):
/// range i begins at i times this.
[[nodiscard]] inline Index range_length(int threads, Index count, Index grain) noexcept {
  const Index grains = ceil_div(count, grain);
  const Index pieces = (std::max<Index>)(1, (std::min<Index>)(threads, grains));
  return (std::max<Index>)(1, ceil_div(grains, pieces)) * grain;
}

/// Splits [0, count) into one contiguous, `grain`-aligned range a thread and runs
/// body(first, length) on each. The split depends on the numbers alone, so results repeat.
template <class Body>
void parallel_ranges(int threads, Index count, Index grain, const Body& body) {
  const Index step = range_length(threads, count, grain);
  const Index pieces = ceil_div(count, step);
  if (pieces <= 1) {
    if (count > 0) {
      body(Index{0}, count);
    }
    return;
  }
#ifdef _OPENMP
// Not `for`: the OpenMP of LLVM allocates memory in each such loop.
#pragma omp parallel num_threads(static_cast<int>(pieces))
  for (Index piece = omp_get_thread_num(); piece < pieces; piece += omp_get_num_threads()) {
    const Index first = piece * step;
    if (first < count) {
      body(first, (std::min)(step, count - first));
    }
  }
#endif
}

/// Bytes below which starting a team of threads costs more than it saves.
inline constexpr Index parallel_bytes = Index{1} << 18;

} // namespace detail

ACCRETE_END_NAMESPACE
