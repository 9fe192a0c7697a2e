// SPDX-License-Identifier: MIT
// expected error: accrete: the scalar of an operand must be float, double or bfloat16
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(const Eigen::MatrixXi& a) {
#ifdef ACCRETE_EXPECT_OK
  (void)accrete::lazy(a.cast<float>());
#else
  (void)accrete::lazy(a);
#endif
}
