// SPDX-License-Identifier: MIT
// expected error: accrete: a view needs memory with unit inner stride; evaluate the expression
#include <accrete/accrete.hpp>

#include <Eigen/Core>

void use(accrete::AdamW<float>& optimizer, Eigen::MatrixXf& u, const Eigen::MatrixXf& a) {
#ifdef ACCRETE_EXPECT_OK
  optimizer.step(u, (accrete::lazy(a) * a).eval(), 1e-3);
#else
  optimizer.step(u, accrete::lazy(a) * a, 1e-3);
#endif
}
