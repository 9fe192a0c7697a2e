// SPDX-License-Identifier: MIT
// expected error: accrete: gradients() of a product whose right operand is the weight
#include <accrete/accrete.hpp>

void use(const accrete::CumulativeUpdate<float>& weight, const Eigen::MatrixXf& samples,
         const Eigen::MatrixXf& upstream) {
#ifdef ACCRETE_EXPECT_OK
  (void)accrete::gradients(weight * samples.transpose(), upstream.transpose());
#else
  (void)accrete::gradients(samples * weight.transpose(), upstream);
#endif
}
