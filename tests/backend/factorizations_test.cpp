// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/cpu/symmetric_eigen.hpp>
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

TEST_CASE_TEMPLATE("symmetric_eigen diagonalises, in descending order", S, float, double) {
  Device<TestBackend> device;
  for (const Index n : {Index{1}, Index{2}, Index{9}, Index{40}}) {
    CAPTURE(n);
    Mat<S> a = random_matrix<S>(n, n, 9);
    a = (a + a.transpose()).eval();
    Mat<S> values(n, 1);
    Mat<S> vectors(n, n);
    Kernels::symmetric_eigen(device, view_of(a), view_of(values), view_of(vectors));
    CHECK(distance_from_orthonormal<S>(vectors) <= rounding<S>(n, n));
    for (Index i = 1; i < n; ++i) {
      CHECK(values(i, 0) <= values(i - 1, 0));
    }
    const Mat<S> rebuilt = vectors * values.col(0).asDiagonal() * vectors.transpose();
    CHECK((rebuilt - a).norm() <= rounding<S>(n, n) * a.norm());
  }
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
  Kernels::symmetric_eigen(device, view_of(r), view_of(values), view_of(v));
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
    CHECK_THROWS_AS(Kernels::symmetric_eigen(device, view_of(a), view_of(values), view_of(v)),
                    NumericError);
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
  CHECK_THROWS_AS(Kernels::symmetric_eigen(device, view_of(a), view_of(values), view_of(u)),
                  ShapeError);
}

TEST_CASE_TEMPLATE("triangular_solve divides from the right, in any order and stride", S, float,
                   double) {
  Device<TestBackend> device;
  for (const Shape& shape : {Shape{1, 1}, Shape{9, 4}, Shape{700, 40}, Shape{5000, 70}, Shape{3, 5},
                             Shape{0, 3}, Shape{6, 0}}) {
    const Index rows = shape.rows;
    const Index cols = shape.cols;
    CAPTURE(rows);
    CAPTURE(cols);
    // Close to the identity: well conditioned for every size.
    Mat<S> r = random_matrix<S>(cols, cols, 1) / S(2 + cols) + Mat<S>::Identity(cols, cols);
    const Mat<S> upper = r.template triangularView<Eigen::Upper>();
    r.template triangularView<Eigen::StrictlyLower>().setConstant(
        std::numeric_limits<S>::quiet_NaN()); // not read
    const RowMat<S> r_rows = r;
    const Mat<S> a = random_matrix<S>(rows, cols, 2);
    const double bound = rounding<S>(rows, cols) * static_cast<double>(a.norm());
    Mat<S> padded = Mat<S>::Constant(rows + 3, cols + 1, S{7});
    padded.topLeftCorner(rows, cols) = a;
    Kernels::triangular_solve(device, view_of(std::as_const(r)),
                              view_of(padded.topLeftCorner(rows, cols)));
    CHECK((padded.topLeftCorner(rows, cols) * upper - a).norm() <= bound);
    CHECK((padded.bottomRows(3).array() == S{7}).all());
    CHECK((padded.rightCols(1).array() == S{7}).all());
    RowMat<S> by_rows = a;
    Kernels::triangular_solve(device, view_of(r_rows), view_of(by_rows));
    CHECK((by_rows * upper - a).norm() <= bound);
  }
  Mat<S> r = Mat<S>::Identity(3, 3);
  Mat<S> a = Mat<S>::Ones(4, 2);
  CHECK_THROWS_AS(Kernels::triangular_solve(device, view_of(std::as_const(r)), view_of(a)),
                  ShapeError);
}
