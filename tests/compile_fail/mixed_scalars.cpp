// SPDX-License-Identifier: MIT
// expected error: accrete: the operands have different scalar types
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(const Eigen::MatrixXf& a, const Eigen::MatrixXd& b) {
#ifdef ACCRETE_EXPECT_OK
  (void)(accrete::lazy(a) * b.cast<float>());
#else
  (void)(accrete::lazy(a) * b);
#endif
}
