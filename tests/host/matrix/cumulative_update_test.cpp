// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <utility>

namespace ac = accrete;

TEST_CASE("a row-major base multiplies, and cannot be mapped as a column-major one") {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  RowMajor base = random_matrix<double>(2, 48, 7);
  const Dense<double> X = random_matrix<double>(48, 3, 8);
  auto W = ac::CumulativeUpdate<double, TestBackend>::borrow(ac::view_of(base));
  const Dense<double> Y = W * X;
  CHECK_CLOSE(Y, exact(base) * exact(X), rounding_bound<double>(48, 30));
  CHECK_THROWS_WITH_AS(static_cast<void>(W.base()),
                       "accrete: a column-major map of a row-major 2 x 48 view: it would read "
                       "other entries; use the View itself, or a copy of it",
                       ac::ArgumentError);
  RowMajor row = random_matrix<double>(1, 48, 9);
  const auto R = ac::CumulativeUpdate<double, TestBackend>::borrow(ac::view_of(row));
  CHECK(R.base() == row);
  const auto copy = std::move(W).base();
  CHECK(copy == base);
}
