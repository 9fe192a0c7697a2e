// SPDX-License-Identifier: MIT
#pragma once

#include "model/parallel.hpp"

#include <accrete/backend/cpu/cpu.hpp>

#include <algorithm>
#include <vector>

namespace gpt {

/// Sum of squares of many matrices in double, on all threads; the order of the additions depends on
/// the shapes alone.
class SquaredNorm {
 public:
  template <class Scalar>
  void add(accrete::View<const Scalar> matrix) {
    if (matrix.empty()) {
      return;
    }
    const Index piece = std::max<Index>(1, entries / matrix.rows);
    sums_.assign(static_cast<std::size_t>((matrix.cols + piece - 1) / piece), 0.0);
    parallel_pieces(matrix.cols, piece, [&](Index first, Index size) {
      thread_local accrete::Device<accrete::Cpu> device;
      sums_[static_cast<std::size_t>(first / piece)] =
          accrete::Kernels<accrete::Cpu>::squared_norm(device, matrix.columns(first, size));
    });
    for (const double sum : sums_) {
      total_ += sum;
    }
  }

  [[nodiscard]] double value() const noexcept { return total_; }
  void reset() noexcept { total_ = 0; }

 private:
  static constexpr Index entries = 1 << 15; // of one piece

  std::vector<double> sums_;
  double total_ = 0;
};

} // namespace gpt
