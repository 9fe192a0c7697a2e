// SPDX-License-Identifier: MIT
#include "gemm_checks.hpp"

#include <array>

using accrete::Index;

// Sizes from which other ways are gone: long inner products in more than one piece, a transposed
// matrix times some columns, several threads for one vector, whose matrix is split by columns or by
// rows, or comes from memory, outer products with one column or some, on several threads by columns
// of the result or by its rows, with a last vector of rows that is not full.
constexpr std::array<std::array<Index, 3>, 10> large_shapes = {{{130, 2100, 5},
                                                                {1100, 1000, 21},
                                                                {600, 301, 1},
                                                                {1, 301, 600},
                                                                {2101, 67, 1},
                                                                {1501, 1101, 1},
                                                                {203, 16, 199},
                                                                {203, 1, 199},
                                                                {2003, 9, 15},
                                                                {139, 7, 41}}};

TEST_CASE_TEMPLATE("large products agree with exact arithmetic", Scalar, float, double) {
  for (const auto& [m, k, n] : large_shapes) {
    for (int orders = 0; orders < 4; ++orders) {
      for (const Scalar beta : {Scalar{0}, Scalar{1}, Scalar{-0.5}}) {
        check_gemm(m, k, n, orders, beta);
      }
    }
  }
}

TEST_CASE("products that a library gets in parts agree with exact arithmetic") {
  // Parts of rows and of columns, one pass over the inner dimension or some, the last one shorter.
  for (const auto& [m, k, n] :
       {std::array<Index, 3>{1061, 521, 21}, {21, 521, 1061}, {601, 523, 140}, {140, 523, 601}}) {
    for (int orders = 0; orders < 4; ++orders) {
      for (const float beta : {0.0F, -0.5F}) {
        check_gemm(m, k, n, orders, beta);
      }
    }
  }
}
