// SPDX-License-Identifier: MIT
// expected error: truncate(expr, {.max_rank = ...})
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(accrete::LowRankMatrix<float>& l, const Eigen::MatrixXf& a) {
#ifdef ACCRETE_EXPECT_OK
  l = l * accrete::lazy(a);
#else
  l = l + accrete::lazy(a);
#endif
}
