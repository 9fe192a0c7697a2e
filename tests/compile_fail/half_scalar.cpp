// SPDX-License-Identifier: MIT
// expected error: accrete: the scalar of an operand must be float, double or bfloat16
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(Eigen::MatrixXf& y, const Eigen::MatrixX<Eigen::half>& a) {
#ifdef ACCRETE_EXPECT_OK
  y = accrete::lazy(a.cast<float>()) * a.cast<float>();
#else
  y = accrete::lazy(a) * a;
#endif
}
