// SPDX-License-Identifier: MIT
#pragma once

#include "model/parallel.hpp"

#include <Eigen/Core>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace gpt {

/// Limits OpenMP, Eigen and the library to `count` threads; 0 leaves one a core.
inline void set_threads(int count) {
  if (count < 1) {
    return;
  }
#ifdef _OPENMP
  omp_set_num_threads(count);
#endif
  Eigen::setNbThreads(count);
}

} // namespace gpt
