// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/host/parallel.hpp>
#include <accrete/backend/workspace.hpp>
#include <accrete/error.hpp>

#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Threads and workspace of the cpu backend. Belongs to one caller thread at a time.
template <>
class Device<Cpu> {
 public:
  [[nodiscard]] Workspace& workspace() noexcept { return workspace_; }

  /// Threads that a kernel may use: what was set, otherwise OpenMP's own limit; one inside a
  /// parallel region, where the caller has spread the work already.
  [[nodiscard]] int threads() const noexcept {
#ifdef _OPENMP
    if (omp_in_parallel() != 0) {
      return 1;
    }
    return threads_ > 0 ? threads_ : omp_get_max_threads();
#else
    return 1;
#endif
  }

  /// Limits the kernels to `count` threads. @throws ArgumentError when count < 1.
  void set_threads(int count) {
    if (count < 1) {
      ACCRETE_THROW ArgumentError("set_threads(" + std::to_string(count) +
                                  "): the number of threads must be at least 1");
    }
    threads_ = count;
  }

 private:
  Workspace workspace_;
  int threads_ = 0;
};

ACCRETE_END_NAMESPACE
