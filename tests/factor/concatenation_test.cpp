// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/concatenation.hpp>

using accrete::block;
using accrete::Context;
using accrete::horizontal;
using accrete::Index;
using accrete::LowRankMatrix;
using accrete::ScopedContext;
using accrete::ShapeError;
using accrete::vertical;

namespace {

template <class S>
LowRankMatrix<S, TestBackend> low_rank(Index rows, Index cols, Index rank, unsigned seed) {
  return {on_backend(random_matrix<S>(rows, rank, seed)),
          on_backend(random_matrix<S>(cols, rank, seed + 100))};
}

template <class S>
Exact formed(const LowRankMatrix<S, TestBackend>& a) {
  return exact(a.U()) * exact(a.V()).transpose();
}

} // namespace

TEST_CASE_TEMPLATE("low-rank matrices beside and above each other", S, TEST_SCALARS) {
  const auto a = low_rank<S>(9, 6, 2, 1);
  const auto b = low_rank<S>(9, 4, 3, 2);
  const LowRankMatrix<S, TestBackend> wide = horizontal(a, b);
  REQUIRE(wide.rows() == 9);
  REQUIRE(wide.cols() == 10);
  CHECK(wide.rank() == 5);
  Exact expected(9, 10);
  expected << formed(a), formed(b);
  CHECK(formed(wide) == expected); // products with zeros are exact

  const LowRankMatrix<S, TestBackend> tall = vertical(a.transpose(), S{2} * b.transpose());
  REQUIRE(tall.rows() == 10);
  REQUIRE(tall.cols() == 9);
  CHECK(tall.rank() == 5);
  Exact stacked(10, 9);
  stacked << formed(a).transpose(), 2 * formed(b).transpose();
  CHECK_CLOSE(formed(tall), stacked, rounding_bound<S>(5, stacked.norm()));
}

TEST_CASE_TEMPLATE("concatenation with rank zero and with sums", S, TEST_SCALARS) {
  const auto a = low_rank<S>(5, 4, 2, 1);
  const auto b = low_rank<S>(5, 4, 3, 2);
  const LowRankMatrix<S, TestBackend> zero(5, 3);
  Exact expected = Exact::Zero(5, 7);
  expected.leftCols(4) = formed(a);
  CHECK(formed(horizontal(a, zero)) == expected);
  CHECK(horizontal(zero, zero).rank() == 0);
  const auto sum = horizontal(a + b, b);
  CHECK(sum.rank() == 8);
  Exact sums(5, 8);
  sums << formed(a) + formed(b), formed(b);
  CHECK_CLOSE(formed(sum), sums, rounding_bound<S>(8, sums.norm()));
}

TEST_CASE_TEMPLATE("blocks are rows of both factors", S, TEST_SCALARS) {
  const auto a = low_rank<S>(9, 7, 3, 1);
  const LowRankMatrix<S, TestBackend> part = block(a, 2, 1, 4, 5);
  CHECK(part.rank() == 3);
  CHECK(formed(part) == formed(a).block(2, 1, 4, 5));
  CHECK(formed(block(a, 0, 0, 9, 7)) == formed(a));
  CHECK(block(a, 9, 7, 0, 0).rows() == 0);
  const auto scaled = block(S{2} * a.transpose(), 1, 2, 5, 4);
  CHECK(formed(scaled) == 2 * formed(a).block(2, 1, 4, 5).transpose());
}

TEST_CASE_TEMPLATE("concatenation forms nothing", S, TEST_SCALARS) {
  const Index m = 1500;
  const Index n = 1200;
  Context<TestBackend> context;
  const ScopedContext<TestBackend> use(context);
  const auto a = low_rank<S>(m, n, 2, 1);
  (void)horizontal(a + a, a);
  (void)vertical(a, a);
  (void)block(a + a, 10, 10, m - 20, n - 20);
  CHECK(context.device().workspace().capacity() < std::size_t(m * n) * sizeof(S) / 8);
}

TEST_CASE("concatenation refuses shapes that do not fit") {
  const auto a = low_rank<double>(5, 4, 2, 1);
  const auto b = low_rank<double>(4, 5, 2, 2);
  CHECK_THROWS_AS((void)horizontal(a, b), ShapeError);
  CHECK_THROWS_AS((void)vertical(a, b), ShapeError);
  CHECK_THROWS_AS((void)block(a, 0, 0, 6, 1), ShapeError);
  CHECK_THROWS_AS((void)block(a, 2, 3, 1, 2), ShapeError);
  CHECK_THROWS_AS((void)block(a, -1, 0, 1, 1), ShapeError);
  CHECK_THROWS_AS((void)block(a, 0, 0, 1, -1), ShapeError);
}
