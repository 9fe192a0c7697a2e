// SPDX-License-Identifier: MIT
#include <accrete/backend/view.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

using accrete::Order;
using accrete::view_of;

TEST_CASE("a transposed view reads the same memory with indices exchanged") {
  const Eigen::MatrixXd a = Eigen::MatrixXd::Random(5, 3);
  const auto t = view_of(a).transposed();
  CHECK(t.rows == 3);
  CHECK(t.cols == 5);
  CHECK(t.order == Order::row_major);
  CHECK(&t(2, 4) == &a(4, 2));
}
