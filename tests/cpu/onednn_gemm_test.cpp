// SPDX-License-Identifier: MIT
#include <accrete/accrete.hpp>

#include <doctest/doctest.h>

using accrete::Index;
using accrete::Order;
using accrete::View;
using accrete::detail::gemm_cut;
using accrete::detail::GemmCut;

namespace {

constexpr Order columns = Order::column_major;
constexpr Order rows = Order::row_major;

/// The cut of an m x k times k x n product on two threads.
GemmCut cut(Index m, Index k, Index n, Order a, Order b) {
  return gemm_cut(2, View<const float>{nullptr, m, k, a == columns ? m : k, a},
                  View<const float>{nullptr, k, n, b == columns ? k : n, b});
}

bool is_cut(const GemmCut& cut, bool by_columns, Index passes) {
  return cut.threads == 2 && cut.by_columns == by_columns && cut.passes == passes;
}

} // namespace

TEST_CASE("columns that lie a page apart are multiplied some hundred at a time") {
  CHECK(is_cut(cut(3072, 768, 64, columns, columns), false, 3));
  CHECK(is_cut(cut(1024, 4096, 16, columns, rows), false, 16));
  CHECK(cut(768, 3072, 64, columns, columns).threads == 0);
  CHECK(cut(3072, 768, 8, columns, columns).threads == 0);
  CHECK(cut(3072, 768, 128, columns, columns).threads == 0);
  CHECK(cut(3072, 200, 64, columns, columns).threads == 0);
}

TEST_CASE("rows of the right operand that lie a page apart are too, for any number of rows") {
  CHECK(is_cut(cut(16, 768, 3072, columns, rows), true, 3));
  CHECK(is_cut(cut(512, 4096, 1024, rows, rows), true, 16));
  CHECK(cut(16, 3072, 768, columns, rows).threads == 0);
}

TEST_CASE("a transposed matrix times some columns is shared out by rows") {
  CHECK(is_cut(cut(768, 3072, 64, rows, columns), false, 1));
  CHECK(is_cut(cut(4096, 1024, 128, rows, columns), false, 1));
  CHECK(is_cut(cut(256, 3072, 768, rows, columns), true, 1));
}

TEST_CASE("a medium number of columns shares out the rows") {
  CHECK(is_cut(cut(3072, 768, 256, columns, columns), false, 1));
  CHECK(is_cut(cut(3072, 768, 256, rows, columns), false, 1));
  CHECK(cut(3072, 256, 256, columns, columns).threads == 0);
}

TEST_CASE("where columns lie no whole pages apart, only a large result of a transposed matrix is") {
  CHECK(cut(2304, 768, 256, columns, columns).threads == 0);
  CHECK(cut(256, 768, 1024, rows, columns).threads == 0);
  CHECK(is_cut(cut(256, 1024, 1024, rows, columns), true, 1));
  CHECK(is_cut(cut(512, 768, 1024, rows, columns), true, 1));
  CHECK(is_cut(cut(2304, 768, 256, rows, columns), false, 1));
}

TEST_CASE("small products and large ones are left to the library") {
  CHECK(cut(1024, 64, 32, columns, columns).threads == 0);
  CHECK(cut(200, 3072, 64, rows, columns).threads == 0);
  CHECK(cut(3072, 768, 1024, columns, columns).threads == 0);
  CHECK(cut(3072, 768, 1024, rows, columns).threads == 0);
}
