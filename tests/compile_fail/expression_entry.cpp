// SPDX-License-Identifier: MIT
// expected error: accrete: an expression has no entries, each would evaluate the whole of it; write
// expression.eval()
#include <accrete/accrete.hpp>

#include <Eigen/Core>

float use(const Eigen::MatrixXf& a) {
  const auto expression = accrete::lazy(a) * a;
#ifdef ACCRETE_EXPECT_OK
  return expression.eval()(1, 2);
#else
  return expression(1, 2);
#endif
}
