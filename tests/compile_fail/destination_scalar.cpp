// SPDX-License-Identifier: MIT
// expected error: accrete: the destination has another scalar type than the expression; write
// expression.cast<Scalar>()
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(const Eigen::MatrixXf& a, Eigen::MatrixXd& d) {
#ifdef ACCRETE_EXPECT_OK
  d = (accrete::lazy(a) * a).cast<double>();
#else
  d = accrete::lazy(a) * a;
#endif
}
