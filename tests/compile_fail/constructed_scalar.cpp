// SPDX-License-Identifier: MIT
// expected error: accrete: the destination has another scalar type than the expression; write
// expression.cast<Scalar>()
#include <accrete/accrete.hpp>

#include <Eigen/Core>

float use(const Eigen::MatrixXd& a) {
#ifdef ACCRETE_EXPECT_OK
  const Eigen::MatrixXf f = (accrete::lazy(a) * a).cast<float>();
#else
  const Eigen::MatrixXf f = accrete::lazy(a) * a;
#endif
  return f.sum();
}
