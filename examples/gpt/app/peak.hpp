// SPDX-License-Identifier: MIT
#pragma once

#include "model/storage.hpp"

#include <algorithm>
#include <chrono>

namespace gpt {

/// GFLOP/s of the library's own product m x k by k x n: the best of about 0.1 s of trials.
template <class Scalar, class Backend = accrete::Cpu>
double measured_gemm_rate(accrete::Index m, accrete::Index k, accrete::Index n) {
  auto& device = current_device<Backend>();
  using Clock = std::chrono::steady_clock;
  const auto a = constant_matrix<Scalar, Backend>(m, k, Scalar(0.5));
  const auto b = constant_matrix<Scalar, Backend>(k, n, Scalar(0.25));
  Matrix<Scalar, Backend> c(m, n);
  const auto start = Clock::now();
  double best = 1e300;
  for (int trial = 0; trial < 3 || Clock::now() - start < std::chrono::milliseconds(100); ++trial) {
    const auto before = Clock::now();
    accrete::Kernels<Backend>::template gemm<Scalar>(device, Scalar(1), accrete::view_of(a),
                                                     accrete::view_of(b), Scalar(0),
                                                     accrete::view_of(c));
    if constexpr (!accrete::is_host_backend<Backend>) {
      device.synchronize();
    }
    best = std::min(best, std::chrono::duration<double>(Clock::now() - before).count());
  }
  return 2.0 * static_cast<double>(m * k) * static_cast<double>(n) / best * 1e-9;
}

/// The best rate(m, k, n) of several products: squares, flat ones, and the largest of a model of
/// this width over `tokens` columns. One shape alone may miss the peak by a quarter.
template <class Rate>
double gemm_peak(accrete::Index width, accrete::Index tokens, const Rate& rate) {
  constexpr accrete::Index most = 2048; // longer products are not faster
  const accrete::Index w = std::min(width, most);
  const accrete::Index n = std::min(tokens, most);
  return std::max({rate(512, 512, 512), rate(768, 768, 768), rate(1152, 1152, 1152),
                   rate(2048, 512, 1024), rate(std::min(4 * w, most), w, n)});
}

} // namespace gpt
