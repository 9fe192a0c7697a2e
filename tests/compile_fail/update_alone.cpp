// SPDX-License-Identifier: MIT
// expected error: accrete: a CumulativeUpdate is made of a dense matrix and an update of low rank
#include <accrete/accrete.hpp>

#include <Eigen/Core>

accrete::Index use(const Eigen::MatrixXf& a, const accrete::LowRankMatrix<float>& update) {
#ifdef ACCRETE_EXPECT_OK
  const accrete::CumulativeUpdate<float> weight(a, update);
#else
  (void)a;
  const accrete::CumulativeUpdate<float> weight(update);
#endif
  return weight.rank();
}
