// SPDX-License-Identifier: MIT
// expected error: YOU_MIXED_DIFFERENT_NUMERIC_TYPES__YOU_NEED_TO_USE_THE_CAST_METHOD
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(const Eigen::MatrixXf& a, Eigen::MatrixXf& f, Eigen::MatrixXd& d) {
#ifdef ACCRETE_EXPECT_OK
  (void)d;
  f = accrete::lazy(a) * a;
#else
  (void)f;
  d = accrete::lazy(a) * a;
#endif
}
