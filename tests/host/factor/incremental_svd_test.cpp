// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/incremental_svd.hpp>

#include <limits>

namespace {

template <class S>
using Stream = accrete::IncrementalSVD<S, TestBackend>;

} // namespace

TEST_CASE_TEMPLATE("updates take blocks, maps and expressions of Eigen as they are", S,
                   TEST_SCALARS) {
  const Dense<S> source = random_matrix<S>(20, 16, 1);
  const Dense<S> a = random_matrix<S>(12, 2, 2);
  const Dense<S> b = random_matrix<S>(9, 2, 3);
  const Eigen::Map<const Dense<S>> map(b.data(), 9, 2);
  Stream<S> svd(12);
  svd.append_columns(source.topLeftCorner(12, 4)); // columns apart from each other
  svd.append_columns(source.block(2, 5, 12, 5) * S{2});
  svd.add(a * S{3}, map);
  svd.revise(1, source.col(7).head(12));
  svd.append_rows(source.block(15, 0, 2, 9));

  Dense<S> x(14, 9);
  x.topRows(12) << source.topLeftCorner(12, 4), source.block(2, 5, 12, 5) * S{2};
  x.topRows(12) += S{3} * a * b.transpose();
  x.col(1).head(12) = source.col(7).head(12);
  x.bottomRows(2) = source.block(15, 0, 2, 9);
  const double slack =
      200 * std::numeric_limits<S>::epsilon() * static_cast<double>(source.norm() + x.norm());
  const auto values = svd.singular_values().template cast<S>().eval();
  CHECK((svd.U() * values.asDiagonal() * svd.V().transpose() - x).norm() <= slack);
  CHECK((svd.reconstruct() - x).norm() <= slack);
  CHECK((svd.low_rank().U() * svd.low_rank().V().transpose() - x).norm() <= slack);

  const auto block = source.block(3, 2, 14, 3);
  CHECK((svd.project(block) - svd.U().transpose() * block).norm() <= slack);
  CHECK((svd.residual(block) + svd.U() * svd.project(block) - block).norm() <= slack);
  CHECK((svd.project(S{2} * block) - S{2} * svd.project(block)).norm() <= slack);
}
