// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/incremental_pca.hpp>

#include <limits>

TEST_CASE_TEMPLATE("samples may be blocks and expressions of Eigen", S, TEST_SCALARS) {
  const Dense<S> source = random_matrix<S>(9, 30, 1);
  const auto near = source.block(2, 0, 5, 16); // columns apart from each other
  const auto far = source.block(1, 16, 5, 14) * S{2};
  accrete::IncrementalPCA<S, TestBackend> pca(5);
  pca.append(near);
  pca.append(far);
  Dense<S> x(5, 30);
  x << near, far;
  const double slack = 200 * std::numeric_limits<S>::epsilon() * static_cast<double>(source.norm());
  CHECK(pca.samples() == 30);
  CHECK((pca.mean() - x.rowwise().mean()).norm() <= slack);
  const Dense<S> back = pca.inverse_transform(pca.transform(x.middleCols(8, 16)));
  CHECK((back - x.middleCols(8, 16)).norm() <= slack);
}
