// SPDX-License-Identifier: MIT
// Small dense problems in host memory, which every backend shares.
#include <accrete/backend/host/cholesky_qr.hpp>
#include <accrete/backend/host/small_dense.hpp>
#include <accrete/backend/host/small_eigen.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

using accrete::Index;
using accrete::NumericError;
using accrete::ShapeError;
using accrete::View;
using accrete::view_of;
namespace detail = accrete::detail;

namespace {

using Mat = Eigen::MatrixXd;
using RowMat = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr double epsilon = std::numeric_limits<double>::epsilon();

double distance_from_orthonormal(const Mat& q) {
  return (q.transpose() * q - Mat::Identity(q.cols(), q.cols())).norm();
}

} // namespace

TEST_CASE("small products of any shape and order") {
  for (const Index m : {0, 1, 7, 64}) {
    for (const Index k : {0, 1, 4, 6, 33}) {
      for (const Index n : {0, 1, 2, 5}) {
        CAPTURE(m);
        CAPTURE(k);
        CAPTURE(n);
        const Mat a = Mat::Random(m, k);
        const Mat b = Mat::Random(k, n);
        const RowMat a_rows = a;
        const RowMat b_rows = b;
        const Mat c = Mat::Random(m, n);
        const Mat expected = 2 * a * b - 0.5 * c;
        const double slack =
            4 * static_cast<double>(k + 2) * epsilon * (a.norm() * b.norm() + c.norm());
        for (const View<const double>& left : {view_of(a), view_of(a_rows)}) {
          for (const View<const double>& right : {view_of(b), view_of(b_rows)}) {
            Mat flat = c;
            detail::small_product(2, left, right, -0.5, view_of(flat));
            CHECK((flat - expected).norm() <= slack);
            RowMat rows = c;
            detail::small_product(2, left, right, -0.5, view_of(rows));
            CHECK((rows - expected).norm() <= slack);
            Mat unread = Mat::Constant(m, n, std::numeric_limits<double>::quiet_NaN());
            detail::small_product(1, left, right, 0, view_of(unread));
            CHECK((unread - a * b).norm() <= slack);
          }
        }
      }
    }
  }
}

TEST_CASE("small_svd rebuilds its operand from orthonormal factors") {
  // Beyond 256 columns reflections are applied by blocks.
  for (const auto& shape : {std::pair{1, 1}, {9, 4}, {4, 9}, {40, 40}, {300, 110}, {280, 270}}) {
    const Index m = shape.first;
    const Index n = shape.second;
    CAPTURE(m);
    CAPTURE(n);
    const Mat a = Mat::Random(m, n);
    const Index k = (std::min)(m, n);
    Mat u(m, k);
    Mat values(k, 1);
    RowMat v(n, k);
    detail::small_svd(2, view_of(a), view_of(u), view_of(values), view_of(v));
    const double slack = 20 * std::sqrt(static_cast<double>(m * n)) * epsilon;
    CHECK(distance_from_orthonormal(u) <= slack);
    CHECK(distance_from_orthonormal(v) <= slack);
    CHECK((u * values.col(0).asDiagonal() * v.transpose() - a).norm() <= slack * a.norm());
    CHECK(std::is_sorted(values.data(), values.data() + k, std::greater<>()));
  }
}

TEST_CASE("small_symmetric_eigen diagonalises the lower triangle, in descending order") {
  for (const Index n : {0, 1, 2, 9, 40}) {
    for (const double unit : {1.0, 1e200, 1e-200}) {
      CAPTURE(n);
      CAPTURE(unit);
      Mat a = Mat::Random(n, n);
      a = unit * (a + a.transpose()).eval();
      Mat lower = a;
      lower.triangularView<Eigen::StrictlyUpper>().setConstant(
          std::numeric_limits<double>::quiet_NaN());
      Mat values(n, 1);
      Mat vectors(n, n);
      detail::small_symmetric_eigen(1, view_of(lower), view_of(values), view_of(vectors));
      const double slack = 20 * static_cast<double>(n) * epsilon;
      CHECK(distance_from_orthonormal(vectors) <= slack);
      CHECK(std::is_sorted(values.data(), values.data() + n, std::greater<>()));
      const Mat rebuilt = vectors * values.col(0).asDiagonal() * vectors.transpose();
      CHECK((rebuilt / unit - a / unit).norm() <= slack * (a / unit).norm());
    }
  }
}

TEST_CASE("what small problems cannot use they refuse before they write") {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Mat a = Mat::Random(5, 5);
    a(3, 1) = bad;
    Mat vectors = Mat::Ones(5, 5);
    Mat values = Mat::Ones(5, 1);
    CHECK_THROWS_AS(detail::small_symmetric_eigen(1, view_of(a), view_of(values), view_of(vectors)),
                    NumericError);
    CHECK_THROWS_AS(
        detail::small_svd(1, view_of(a), view_of(vectors), view_of(values), view_of(vectors)),
        NumericError);
    CHECK(vectors == Mat::Ones(5, 5));
    CHECK(values == Mat::Ones(5, 1));
  }
  const Mat wide = Mat::Random(3, 5);
  Mat vectors(3, 3);
  Mat values(3, 1);
  CHECK_THROWS_AS(
      detail::small_symmetric_eigen(1, view_of(wide), view_of(values), view_of(vectors)),
      ShapeError);
}

TEST_CASE("small_cholesky ends before the first column that depends on those before it") {
  const Index k = 6;
  Mat columns = Mat::Random(20, k);
  columns.col(4) = columns.col(1) - columns.col(2);
  const Mat gram = columns.transpose() * columns;
  Mat lower = gram;
  lower.triangularView<Eigen::StrictlyUpper>().setConstant(
      std::numeric_limits<double>::quiet_NaN());
  CHECK(detail::small_cholesky(k, lower.data(), 1e-10) == 4);
  const Mat leading = lower.topLeftCorner(4, 4);
  CHECK((leading * leading.transpose() - gram.topLeftCorner(4, 4)).norm() <=
        20 * epsilon * gram.norm());
  CHECK(Mat(leading.triangularView<Eigen::StrictlyUpper>()).isZero(0));
  Mat inverse(4, 4);
  detail::invert_lower(4, lower.data(), k, inverse.data());
  CHECK((inverse * leading - Mat::Identity(4, 4)).norm() <=
        20 * epsilon * inverse.norm() * leading.norm());
}
