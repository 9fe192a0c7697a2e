// SPDX-License-Identifier: MIT
// expected error: accrete: the columns of a product's left operand must equal the rows of its right
// operand
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(const Eigen::Matrix<float, 4, 3>& a, const Eigen::Matrix<float, 5, 2>& b,
         const Eigen::Matrix<float, 3, 2>& c) {
#ifdef ACCRETE_EXPECT_OK
  (void)b;
  (void)(accrete::lazy(a) * c);
#else
  (void)c;
  (void)(accrete::lazy(a) * b);
#endif
}
