// SPDX-License-Identifier: MIT
// expected error: accrete: products of bfloat16 operands need #include <accrete/bfloat16.hpp>
#include <accrete/accrete.hpp>

#include <Eigen/Core>

#ifdef ACCRETE_EXPECT_OK
#include <accrete/bfloat16.hpp>
#endif

void use(Eigen::MatrixXf& y, const Eigen::MatrixX<accrete::bfloat16>& a) {
  y = accrete::lazy(a) * a;
}
