// SPDX-License-Identifier: MIT
#include "bfloat16_numerics.hpp"

namespace ac = accrete;
using ac::bfloat16;
using ac::Index;

TEST_CASE("row-major bfloat16 operands give a float value, summed in float") {
  using RowMajor = Eigen::Matrix<bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  for (const Index p : {1, 2, 5, 70}) {
    const RowMajor B = stored_bfloat16(90, 130, 1);
    const Eigen::MatrixX<bfloat16> X = stored_bfloat16(130, p, 2);
    const Exact expected = wide(B) * wide(X);
    // One product, no intermediate result: nothing is rounded to bfloat16.
    const long double bound = rounding_bound<float>(130 + 2, wide(B).norm() * wide(X).norm());
    const Eigen::MatrixXf Y = ac::lazy<TestBackend>(B) * X;
    CHECK((wide(Y) - expected).norm() <= bound);
    const Eigen::MatrixXf Z = ac::lazy<TestBackend>(X).transpose() * B.transpose();
    CHECK((wide(Z) - expected.transpose()).norm() <= bound);
  }
}
