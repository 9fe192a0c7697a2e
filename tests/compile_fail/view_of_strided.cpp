// SPDX-License-Identifier: MIT
// expected error: accrete: a view needs memory with unit inner stride
#include <accrete/backend/view.hpp>

#include <Eigen/Core>

void use(float* data) {
#ifdef ACCRETE_EXPECT_OK
  constexpr int inner = 1;
#else
  constexpr int inner = 2;
#endif
  using Stride = Eigen::Stride<Eigen::Dynamic, inner>;
  const Eigen::Map<Eigen::MatrixXf, Eigen::Unaligned, Stride> matrix(data, 3, 3, Stride(6, inner));
  (void)accrete::view_of(matrix);
}
