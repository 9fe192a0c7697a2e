// SPDX-License-Identifier: MIT
// expected error: accrete: the operands live on different backends
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(const Eigen::MatrixXf& a, const Eigen::MatrixXf& b) {
#ifdef ACCRETE_EXPECT_OK
  (void)(accrete::lazy<accrete::Reference>(a) * accrete::lazy<accrete::Reference>(b));
#else
  (void)(accrete::lazy<accrete::Reference>(a) * accrete::lazy<accrete::Cpu>(b));
#endif
}
