// SPDX-License-Identifier: MIT
// expected error: accrete: the factors of outer(U, V) must have the same number of columns
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(const Eigen::Matrix<float, 4, 2>& u, const Eigen::Matrix<float, 3, 2>& v) {
#ifdef ACCRETE_EXPECT_OK
  (void)accrete::outer(u, v);
#else
  (void)accrete::outer(u, v.transpose());
#endif
}
