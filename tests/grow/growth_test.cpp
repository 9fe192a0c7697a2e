// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/grow/growth.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <limits>

namespace init = accrete::init;
using accrete::Index;
using accrete::LowRankMatrix;
using accrete::to_host;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using LowRank = LowRankMatrix<S, TestBackend>;

template <class S>
LowRank<S> random_product(Index m, Index n, Index k) {
  return LowRank<S>(on_backend(Mat<S>::Random(m, k)), on_backend(Mat<S>::Random(n, k)));
}

template <class S, class Initializer>
void check_function_unchanged(const Initializer& initializer) {
  LowRank<S> matrix = random_product<S>(12, 9, 3);
  const Mat<S> u = to_host(matrix.U());
  const Mat<S> v = to_host(matrix.V());
  accrete::grow(matrix, 4, initializer);
  REQUIRE(matrix.rank() == 7);
  CHECK(to_host(matrix.U()).leftCols(3) == u);
  CHECK(to_host(matrix.V()).leftCols(3) == v);
  const Mat<S> new_u = to_host(matrix.U()).rightCols(4);
  const Mat<S> new_v = to_host(matrix.V()).rightCols(4);
  CHECK((new_u * new_v.transpose()).isZero(S{0}));
  for (Index j = 0; j < 4; ++j) {
    CHECK(new_u.col(j).norm() + new_v.col(j).norm() > S{0});
  }
}

} // namespace

TEST_CASE_TEMPLATE("growth leaves the function unchanged and reaches the new columns", S,
                   TEST_SCALARS) {
  check_function_unchanged<S>(init::zero());
  check_function_unchanged<S>(init::normal(0.02, 3));
  check_function_unchanged<S>(init::kaiming(4));
  check_function_unchanged<S>(init::orthogonal());
}

TEST_CASE_TEMPLATE("orthogonal columns complement the old ones, dependent or not", S,
                   TEST_SCALARS) {
  const double small = 200 * static_cast<double>(std::numeric_limits<S>::epsilon());
  Mat<S> u = Mat<S>::Random(15, 5);
  u.col(3) = u.col(0) - u.col(1);
  u.col(4).setZero();
  LowRank<S> matrix(on_backend(u), on_backend(Mat<S>::Random(20, 5)));
  accrete::grow(matrix, 3, init::orthogonal(0.5, 1));
  const Mat<S> grown = to_host(matrix.U()).rightCols(3);
  CHECK((grown.transpose() * grown - S{0.25} * Mat<S>::Identity(3, 3)).norm() <= small);
  CHECK((u.transpose() * grown).norm() <= small * u.norm());
  CHECK(to_host(matrix.V()).rightCols(3).isZero(S{0}));
}

TEST_CASE_TEMPLATE("successive growths of one seed differ, equal ones repeat", S, TEST_SCALARS) {
  LowRank<S> a(10, 8);
  accrete::grow(a, 2, init::normal(1.0, 5));
  accrete::grow(a, 2, init::normal(1.0, 5));
  const Mat<S> u = to_host(a.U());
  CHECK(u.leftCols(2) != u.rightCols(2));
  LowRank<S> b(10, 8);
  accrete::grow(b, 2, init::normal(1.0, 5));
  CHECK(to_host(b.U()) == u.leftCols(2));
}

TEST_CASE_TEMPLATE("a CumulativeUpdate grows from rank 0", S, TEST_SCALARS) {
  const Mat<S> base = Mat<S>::Random(6, 5);
  accrete::CumulativeUpdate<S, TestBackend> matrix(on_backend(base));
  matrix.grow(2, init::orthogonal());
  CHECK(matrix.rank() == 2);
  CHECK(to_host(matrix.base()) == base);
}

TEST_CASE("growth within the capacity moves no memory") {
  LowRank<double> matrix(9, 8, 6);
  const double* u = matrix.u_view().data;
  const double* v = matrix.v_view().data;
  for (int i = 0; i < 3; ++i) {
    accrete::grow(matrix, 2, init::orthogonal());
  }
  CHECK(matrix.rank() == 6);
  CHECK(matrix.u_view().data == u);
  CHECK(matrix.v_view().data == v);
}

TEST_CASE("growth outside what the shape allows is refused, and nothing changes") {
  LowRank<double> matrix = random_product<double>(6, 4, 3);
  CHECK_THROWS_WITH_AS(accrete::grow(matrix, 2, init::orthogonal()), doctest::Contains("at most 1"),
                       accrete::RankError);
  CHECK_THROWS_AS(accrete::grow(matrix, -1, init::orthogonal()), accrete::ArgumentError);
  CHECK(matrix.rank() == 3);
  CHECK_THROWS_AS((void)init::normal(0.0), accrete::ArgumentError);
  CHECK_THROWS_AS((void)init::orthogonal(std::numeric_limits<double>::infinity()),
                  accrete::ArgumentError);
  Mat<double> u = to_host(matrix.U());
  u(2, 2) = std::numeric_limits<double>::quiet_NaN();
  write(matrix.u_view(), u);
  CHECK_THROWS_AS(accrete::grow(matrix, 1, init::orthogonal()), accrete::NumericError);
  CHECK(matrix.rank() == 3);
}

TEST_CASE("growth by the largest index is refused like any that is too large") {
  constexpr Index largest = std::numeric_limits<Index>::max();
  LowRank<double> L = random_product<double>(6, 5, 2);
  CHECK_THROWS_WITH_AS(
      accrete::grow(L, largest, accrete::init::zero()),
      "accrete: grow: rank 2 + 9223372036854775807 exceeds min(m, n) of the 6 x 5 matrix; "
      "grow by at most 3",
      accrete::RankError);
  accrete::CumulativeUpdate<double, TestBackend> W(on_backend(Mat<double>::Ones(6, 5)));
  CHECK_THROWS_AS(W.reserve(largest), accrete::RankError);
  CHECK(L.rank() == 2);
}
