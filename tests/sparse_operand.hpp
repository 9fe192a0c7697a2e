// SPDX-License-Identifier: MIT
#pragma once

#include "numerics.hpp"

#include <cstddef>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

/// A rows x cols operand whose columns (rows) lie `stride` entries apart in a range of addresses of
/// which only the pages that are touched are memory. No data where the system has no such range.
template <class Scalar>
class SparseOperand {
 public:
  SparseOperand(Eigen::Index rows, Eigen::Index cols, Eigen::Index stride, bool row_major,
                unsigned seed)
      : bytes_(static_cast<std::size_t>(stride) *
               static_cast<std::size_t>(row_major ? rows : cols) * sizeof(Scalar)) {
#if __has_include(<sys/mman.h>)
    memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_ == MAP_FAILED) {
      memory_ = nullptr;
      return;
    }
    view = {static_cast<Scalar*>(memory_), rows, cols, stride,
            row_major ? accrete::Order::row_major : accrete::Order::column_major};
    const Dense<Scalar> values = random_matrix<Scalar>(rows, cols, seed);
    for (Eigen::Index j = 0; j < cols; ++j) {
      for (Eigen::Index i = 0; i < rows; ++i) {
        view(i, j) = values(i, j);
      }
    }
#endif
  }
  SparseOperand(const SparseOperand&) = delete;
  SparseOperand& operator=(const SparseOperand&) = delete;
  ~SparseOperand() {
#if __has_include(<sys/mman.h>)
    if (memory_ != nullptr) {
      ::munmap(memory_, bytes_);
    }
#endif
  }
  [[nodiscard]] Exact value() const {
    return Exact::NullaryExpr(view.rows, view.cols, [this](Eigen::Index i, Eigen::Index j) {
      return static_cast<long double>(static_cast<double>(view(i, j)));
    });
  }

  accrete::View<Scalar> view;

 private:
  std::size_t bytes_;
  void* memory_ = nullptr;
};
