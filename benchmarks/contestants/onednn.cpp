// SPDX-License-Identifier: MIT
#include "blas_steps.hpp"

#include <dnnl.h>

#include <cstdlib>

namespace benchmarks {

namespace {

struct Onednn {
  /// The interface is row-major: there our operands are transposed, and cᵀ = bᵀ aᵀ.
  static void gemm(const Factor<float>& a, const Factor<float>& b, int beta,
                   const Array<float>& c) {
    const auto flag = [](const Factor<float>& x) { return x.transposed ? 'T' : 'N'; };
    const dnnl_status_t status =
        dnnl_sgemm(flag(b), flag(a), c.cols, c.rows, a.cols(), 1, b.array.data, b.array.rows,
                   a.array.data, a.array.rows, static_cast<float>(beta), c.data, c.rows);
    if (status != dnnl_success) {
      std::abort();
    }
  }
};

[[maybe_unused]] const bool entered =
    enter_blas<Onednn, float>("onednn", "onednn_by_hand", Pool::openmp);

} // namespace

} // namespace benchmarks
