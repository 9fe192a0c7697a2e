// SPDX-License-Identifier: MIT
#pragma once

#include "numerics.hpp"
#include "test_backend.hpp"

/// A rows x cols operand in either order, inside a larger allocation, so that strides are wider
/// than the operand.
template <class Scalar>
struct Padded {
  Stored<Scalar> memory;
  StoredView<Scalar> view;

  Padded(Eigen::Index rows, Eigen::Index cols, bool row_major, unsigned seed)
      : memory(on_backend(
            random_matrix<Scalar>((row_major ? cols : rows) + 3, row_major ? rows : cols, seed))),
        view(accrete::view_of(memory).block(0, 0, row_major ? cols : rows,
                                            row_major ? rows : cols)) {
    if (row_major) {
      view = view.transposed();
    }
  }
  [[nodiscard]] Exact value() const { return exact(view); }
};

/// c = 2 a b + beta c against exact arithmetic; three bits say which of a, b, c are row-major.
template <class Scalar>
void check_gemm(Eigen::Index m, Eigen::Index k, Eigen::Index n, int orders, Scalar beta) {
  const Padded<Scalar> a(m, k, (orders & 1) != 0, 1);
  const Padded<Scalar> b(k, n, (orders & 2) != 0, 2);
  Padded<Scalar> c(m, n, (orders & 4) != 0, 3);
  const Exact before = c.value();
  const Exact left = a.value();
  const Exact right = b.value();
  const Exact expected = 2.0L * left * right + static_cast<long double>(beta) * before;
  accrete::Kernels<TestBackend>::gemm(test_device(), Scalar{2}, a.view.as_const(),
                                      b.view.as_const(), beta, c.view);
  const long double norms = 2 * left.norm() * right.norm() + before.norm();
  CHECK((c.value() - expected).norm() <= rounding_bound<Scalar>(k + 3, norms));
}
