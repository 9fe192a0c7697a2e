// SPDX-License-Identifier: MIT
// expected error: accrete: a CumulativeUpdate is made of a dense matrix and an update of low rank
#include <accrete/accrete.hpp>

#include <Eigen/Core>

accrete::Index use(const Eigen::MatrixXf& a) {
#ifdef ACCRETE_EXPECT_OK
  const accrete::CumulativeUpdate<float> weight((accrete::lazy(a) * a).eval());
#else
  const accrete::CumulativeUpdate<float> weight(accrete::lazy(a) * a);
#endif
  return weight.rank();
}
