// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <algorithm>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace gpt {

/// Most threads that a parallel loop can use, and the number of the calling one in it.
inline int thread_count() noexcept {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}
inline int thread_number() noexcept {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/// Calls function(i) for i in [0, count); every index on one thread, none may throw.
template <class Function>
void parallel_for(Index count, const Function& function) {
#ifdef _OPENMP
#pragma omp parallel for schedule(static)
#endif
  for (Index i = 0; i < count; ++i) {
    function(i);
  }
}

/// Calls function(first, size) for consecutive pieces of [0, count) of at most `piece` indices.
///
/// The pieces do not depend on the number of threads, so a sum over pieces does not either.
template <class Function>
void parallel_pieces(Index count, Index piece, const Function& function) {
  parallel_for((count + piece - 1) / piece, [&](Index i) {
    const Index first = i * piece;
    function(first, std::min(piece, count - first));
  });
}

} // namespace gpt
