// SPDX-License-Identifier: MIT
// expected error: accrete: the operands of a sum must have the same shape
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(const Eigen::Matrix<float, 4, 3>& a, const Eigen::Matrix<float, 3, 4>& b) {
#ifdef ACCRETE_EXPECT_OK
  (void)(accrete::lazy(a) + accrete::transpose(b));
#else
  (void)(accrete::lazy(a) + b);
#endif
}
