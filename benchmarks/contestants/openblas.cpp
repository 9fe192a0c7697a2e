// SPDX-License-Identifier: MIT
// A CBLAS, usually OpenBLAS. One column is a gemv, as an expert would write it.
#include "blas_steps.hpp"

#include <cblas.h>

namespace benchmarks {

namespace {

struct Cblas {
  static CBLAS_TRANSPOSE flag(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }
  static int narrow(long value) { return static_cast<int>(value); }

  template <class Scalar>
  static void gemm(const Factor<Scalar>& a, const Factor<Scalar>& b, int beta,
                   const Array<Scalar>& c) {
    const int m = narrow(c.rows);
    const int n = narrow(c.cols);
    const int k = narrow(a.cols());
    const int lda = narrow(a.array.rows);
    const int ldb = narrow(b.array.rows);
    const auto multiply = [&](auto with_vector, auto with_matrix) {
      if (n == 1 && !b.transposed) {
        with_vector(CblasColMajor, flag(a.transposed), lda, narrow(a.array.cols), Scalar{1},
                    a.array.data, lda, b.array.data, 1, static_cast<Scalar>(beta), c.data, 1);
      } else {
        with_matrix(CblasColMajor, flag(a.transposed), flag(b.transposed), m, n, k, Scalar{1},
                    a.array.data, lda, b.array.data, ldb, static_cast<Scalar>(beta), c.data, m);
      }
    };
    if constexpr (sizeof(Scalar) == sizeof(float)) {
      multiply(cblas_sgemv, cblas_sgemm);
    } else {
      multiply(cblas_dgemv, cblas_dgemm);
    }
  }
};

[[maybe_unused]] const bool entered =
    enter_blas<Cblas, float>("openblas", "openblas_by_hand", Pool::openblas) &&
    enter_blas<Cblas, double>("openblas", "openblas_by_hand", Pool::openblas);

} // namespace

} // namespace benchmarks
