// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/cpu.hpp>

#include <algorithm>
#include <chrono>
#include <vector>

namespace gpt {

/// GFLOP/s of the library's own product at 768 x 768 x 768: the best of about 0.3 s of trials.
template <class Scalar>
double measured_gemm_peak() {
  accrete::Device<accrete::Cpu> device;
  using Clock = std::chrono::steady_clock;
  constexpr accrete::Index n = 768;
  std::vector<Scalar> a(n * n, Scalar(0.5));
  std::vector<Scalar> b(n * n, Scalar(0.25));
  std::vector<Scalar> c(n * n);
  const auto start = Clock::now();
  double best = 1e300;
  for (int trial = 0; trial < 3 || Clock::now() - start < std::chrono::milliseconds(300); ++trial) {
    const auto before = Clock::now();
    accrete::Kernels<accrete::Cpu>::gemm<Scalar>(
        device, Scalar(1), accrete::dense_view(a.data(), n, n), accrete::dense_view(b.data(), n, n),
        Scalar(0), accrete::dense_view(c.data(), n, n));
    best = std::min(best, std::chrono::duration<double>(Clock::now() - before).count());
  }
  return 2.0 * n * n * n / best * 1e-9;
}

} // namespace gpt
