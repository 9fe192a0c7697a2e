// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <limits>
#include <utility>

using accrete::Device;
using accrete::Index;
using accrete::NumericError;
using accrete::Order;
using accrete::ShapeError;
using accrete::View;
using accrete::view_of;

namespace {

using Kernels = accrete::Kernels<TestBackend>;
template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using RowMat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Shape {
  Index rows;
  Index cols;
};

// A norm-wise backward error of a stable factorisation, with room for its constant.
template <class S>
double rounding(Index m, Index n) {
  return 20 * std::sqrt(static_cast<double>(std::max<Index>(m * n, 1))) *
         static_cast<double>(std::numeric_limits<S>::epsilon());
}

template <class S>
Mat<S> random_matrix(Index m, Index n, unsigned seed) {
  Device<TestBackend> device;
  Mat<S> a(m, n);
  Kernels::fill_normal(device, seed, 1.0, view_of(a));
  return a;
}

template <class S>
double distance_from_orthonormal(const Mat<S>& q) {
  return static_cast<double>((q.transpose() * q - Mat<S>::Identity(q.cols(), q.cols())).norm());
}

template <class S, class Stored>
void check_qr(const Stored& a) {
  Device<TestBackend> device;
  Stored q = a;
  Stored r = Stored::Constant(a.cols(), a.cols(), S{7});
  Kernels::thin_qr(device, view_of(q), view_of(r));
  const double bound = rounding<S>(a.rows(), a.cols());
  CHECK(distance_from_orthonormal<S>(q) <= bound);
  CHECK(Mat<S>(r.template triangularView<Eigen::StrictlyLower>()).isZero(S{0}));
  const S largest = std::max(a.cwiseAbs().maxCoeff(), std::numeric_limits<S>::min());
  CHECK(((q * (r / largest)) - a / largest).norm() <= bound * (a / largest).norm());
}

template <class S, class Stored>
void check_svd(const Stored& a) {
  Device<TestBackend> device;
  const Index k = std::min(a.rows(), a.cols());
  Stored u(a.rows(), k);
  Stored v(a.cols(), k);
  Mat<S> values(k, 1);
  Kernels::svd(device, view_of(a), view_of(u), view_of(values), view_of(v));
  const double bound = rounding<S>(a.rows(), a.cols());
  CHECK(distance_from_orthonormal<S>(u) <= bound);
  CHECK(distance_from_orthonormal<S>(v) <= bound);
  for (Index i = 0; i < k; ++i) {
    CHECK(values(i, 0) >= S{0});
    CHECK((i == 0 || values(i, 0) <= values(i - 1, 0)));
  }
  const S largest = std::max(a.cwiseAbs().maxCoeff(), std::numeric_limits<S>::min());
  const Mat<S> rebuilt = u * (values / largest).col(0).asDiagonal() * v.transpose();
  CHECK((rebuilt - a / largest).norm() <= bound * (a / largest).norm());

  Mat<S> values_only(k, 1);
  Kernels::svd(device, view_of(a), View<S>{}, view_of(values_only), View<S>{});
  CHECK((values_only / largest - values / largest).norm() <= bound * (values / largest).norm());
}

} // namespace

TEST_CASE_TEMPLATE("thin_qr gives orthonormal columns and an upper triangle", S, float, double) {
  for (const Shape& shape : {Shape{1, 1}, {7, 1}, {9, 4}, {30, 30}, {120, 50}}) {
    CAPTURE(shape.rows);
    CAPTURE(shape.cols);
    const Mat<S> a = random_matrix<S>(shape.rows, shape.cols, 1);
    check_qr<S>(a);
    check_qr<S>(RowMat<S>(a));
  }
}

TEST_CASE_TEMPLATE("thin_qr keeps columns orthonormal where the operand is rank deficient", S,
                   float, double) {
  Mat<S> a = random_matrix<S>(12, 6, 2);
  a.col(3) = a.col(0) - a.col(1);
  a.col(4).setZero();
  check_qr<S>(a);
  check_qr<S>(Mat<S>(Mat<S>::Zero(8, 3)));
}

TEST_CASE_TEMPLATE("factorisations of very large and very small entries", S, float, double) {
  const S huge = std::sqrt(std::numeric_limits<S>::max()) * S{8};
  const S tiny = std::sqrt(std::numeric_limits<S>::min()) / S{8};
  for (const S scale : {huge, tiny}) {
    const Mat<S> a = random_matrix<S>(11, 5, 3) * scale;
    check_qr<S>(a);
    check_svd<S>(a);
    check_svd<S>(Mat<S>(a.transpose()));
  }
}

TEST_CASE_TEMPLATE("svd rebuilds its operand from orthonormal factors", S, float, double) {
  for (const Shape& shape :
       {Shape{1, 1}, {5, 1}, {1, 5}, {9, 4}, {4, 9}, {20, 20}, {60, 33}, {33, 60}}) {
    CAPTURE(shape.rows);
    CAPTURE(shape.cols);
    const Mat<S> a = random_matrix<S>(shape.rows, shape.cols, 4);
    check_svd<S>(a);
    check_svd<S>(RowMat<S>(a));
  }
}

TEST_CASE_TEMPLATE("svd of zero and of rank-deficient matrices", S, float, double) {
  check_svd<S>(Mat<S>(Mat<S>::Zero(6, 4)));
  check_svd<S>(Mat<S>(Mat<S>::Zero(4, 6)));
  check_svd<S>(Mat<S>(random_matrix<S>(20, 3, 5) * random_matrix<S>(3, 12, 6)));
  check_svd<S>(Mat<S>(Mat<S>::Ones(9, 9)));
}

TEST_CASE_TEMPLATE("svd resolves values far below the largest", S, float, double) {
  // A graded spectrum down to epsilon: a method that goes through AᵀA loses its lower half.
  const Index n = 8;
  const S ratio = std::pow(std::numeric_limits<S>::epsilon(), S{0.75} / S{7});
  Device<TestBackend> device;
  Mat<S> left = random_matrix<S>(20, n, 7);
  Mat<S> right = random_matrix<S>(n, n, 8);
  Mat<S> triangle(n, n);
  Kernels::thin_qr(device, view_of(left), view_of(triangle));
  Kernels::thin_qr(device, view_of(right), view_of(triangle));
  Mat<S> expected(n, 1);
  for (Index i = 0; i < n; ++i) {
    expected(i, 0) = std::pow(ratio, static_cast<S>(i));
  }
  const Mat<S> a = left * expected.col(0).asDiagonal() * right.transpose();
  Mat<S> values(n, 1);
  Kernels::svd(device, view_of(a), View<S>{}, view_of(values), View<S>{});
  CHECK((values - expected).cwiseAbs().maxCoeff() <= rounding<S>(20, n));
  CHECK(values(n - 1, 0) == doctest::Approx(expected(n - 1, 0)).epsilon(0.05));
}

TEST_CASE_TEMPLATE("cholesky_qr gives a triangle, its inverse, and what they are worth", S, float,
                   double) {
  Device<TestBackend> device;
  const double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());
  const auto factor = [&](const auto& a, auto& r, auto& inverse) {
    r = Mat<S>::Constant(a.cols(), a.cols(), S{7});
    inverse = r;
    return Kernels::cholesky_qr(device, view_of(a), view_of(r), view_of(inverse));
  };
  const Mat<S> a = random_matrix<S>(90, 12, 9);
  // The squares of the last two leave the range of the scalar.
  for (const S unit : {S{1}, std::sqrt(std::numeric_limits<S>::max()) * S{8},
                       std::sqrt(std::numeric_limits<S>::min()) / S{8}}) {
    const Mat<S> scaled = a * unit;
    const RowMat<S> rows = scaled;
    Mat<S> r;
    Mat<S> inverse;
    RowMat<S> r_rows;
    RowMat<S> inverse_rows;
    const double growth = factor(scaled, r, inverse);
    CHECK(growth >= 12 * (1 - 1e-3)); // 12 for orthonormal columns
    CHECK(growth < 24);
    CHECK(factor(rows, r_rows, inverse_rows) == doctest::Approx(growth).epsilon(1e-3));
    const double bound = rounding<S>(90, 12) * growth;
    CHECK(distance_from_orthonormal<S>(Mat<S>(scaled * inverse)) <= bound);
    CHECK((r * inverse - Mat<S>::Identity(12, 12)).norm() <= bound);
    CHECK((Mat<S>(r_rows) / unit - r / unit).norm() <= bound * (r / unit).norm());
    CHECK(Mat<S>(r.template triangularView<Eigen::StrictlyLower>()).isZero(S{0}));
    CHECK(Mat<S>(inverse.template triangularView<Eigen::StrictlyLower>()).isZero(S{0}));
  }
  Mat<S> r;
  Mat<S> inverse;
  Mat<S> repeated = a;
  repeated.col(7) = repeated.col(2);
  CHECK(factor(repeated, r, inverse) * epsilon > 1e-3);
  Mat<S> with_zero = a;
  with_zero.col(3).setZero();
  CHECK(factor(with_zero, r, inverse) == std::numeric_limits<double>::infinity());
  Mat<S> nan = a;
  nan(4, 4) = std::numeric_limits<S>::quiet_NaN();
  CHECK(factor(nan, r, inverse) == std::numeric_limits<double>::infinity());
  CHECK(factor(Mat<S>(5, 0), r, inverse) == 0);
  CHECK(factor(Mat<S>(0, 2), r, inverse) == std::numeric_limits<double>::infinity());
}

TEST_CASE_TEMPLATE("factorisations of a strided block leave its surroundings alone", S, float,
                   double) {
  Device<TestBackend> device;
  Mat<S> whole = random_matrix<S>(12, 9, 10);
  const Mat<S> before = whole;
  const auto part = view_of(whole).block(2, 3, 7, 4);
  Mat<S> r(4, 4);
  Kernels::thin_qr(device, part, view_of(r));
  const Mat<S> q = whole.block(2, 3, 7, 4);
  CHECK(distance_from_orthonormal<S>(q) <= rounding<S>(7, 4));
  CHECK((q * r - before.block(2, 3, 7, 4)).norm() <= rounding<S>(7, 4) * before.norm());
  whole.block(2, 3, 7, 4) = before.block(2, 3, 7, 4);
  CHECK(whole == before);
}

TEST_CASE_TEMPLATE("empty operands have empty factorisations", S, float, double) {
  Device<TestBackend> device;
  Mat<S> a(5, 0);
  Mat<S> r(0, 0);
  Mat<S> v(0, 0);
  Mat<S> values(0, 1);
  Kernels::thin_qr(device, view_of(a), view_of(r));
  Kernels::svd(device, view_of(a), view_of(a), view_of(values), view_of(v));
}

TEST_CASE_TEMPLATE("NaN and infinity are refused before anything changes", S, float, double) {
  Device<TestBackend> device;
  for (const S bad : {std::numeric_limits<S>::quiet_NaN(), -std::numeric_limits<S>::infinity()}) {
    Mat<S> a = random_matrix<S>(5, 5, 11);
    const Mat<S> fine = a;
    a(3, 1) = bad;
    Mat<S> q = a;
    Mat<S> r = fine;
    Mat<S> values = fine.leftCols(1);
    Mat<S> v = fine;
    CHECK_THROWS_AS(Kernels::thin_qr(device, view_of(q), view_of(r)), NumericError);
    CHECK_THROWS_WITH_AS(Kernels::svd(device, view_of(a), view_of(r), view_of(values), view_of(v)),
                         doctest::Contains("svd: the 5 x 5 operand"), NumericError);
    CHECK(q.col(0) == fine.col(0));
    CHECK(r == fine);
    CHECK(v == fine);
    CHECK(values == fine.leftCols(1));
  }
}

TEST_CASE("shapes that do not fit are refused") {
  Device<TestBackend> device;
  Eigen::MatrixXd a = Eigen::MatrixXd::Random(3, 5);
  Eigen::MatrixXd r(5, 5);
  Eigen::MatrixXd u(3, 3);
  Eigen::MatrixXd values(3, 1);
  Eigen::MatrixXd v(5, 2);
  CHECK_THROWS_AS(Kernels::thin_qr(device, view_of(a), view_of(r)), ShapeError);
  CHECK_THROWS_AS(Kernels::svd(device, view_of(a), view_of(u), view_of(values), view_of(v)),
                  ShapeError);
}
