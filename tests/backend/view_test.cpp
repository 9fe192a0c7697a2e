// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

using accrete::Order;
using accrete::view_of;

TEST_CASE("a transposed view describes the same memory with indices exchanged") {
  const Stored<double> a = on_backend(Dense<double>::Random(5, 3));
  const auto t = view_of(a).transposed();
  CHECK(t.rows == 3);
  CHECK(t.cols == 5);
  CHECK(t.order == Order::row_major);
  CHECK(t.block(2, 4, 1, 1).data == view_of(a).block(4, 2, 1, 1).data);
  CHECK(exact(t) == exact(a).transpose());
}
