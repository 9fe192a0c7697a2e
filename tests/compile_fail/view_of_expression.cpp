// SPDX-License-Identifier: MIT
// expected error: accrete: a view needs memory with unit inner stride
#include <accrete/backend/view.hpp>

#include <Eigen/Dense>

void use(const Eigen::MatrixXf& a, const Eigen::MatrixXf& b) {
#ifdef ACCRETE_EXPECT_OK
  const Eigen::MatrixXf sum = a + b;
  (void)accrete::view_of(sum);
#else
  (void)accrete::view_of(a + b);
#endif
}
