// SPDX-License-Identifier: MIT
#include "placed.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using accrete::Index;
using accrete::NumericError;
using accrete::ShapeError;
using accrete::to_host;
using accrete::view_of;

namespace {

using Kernels = accrete::Kernels<TestBackend>;
template <class S>
using Mat = Dense<S>;

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
Mat<S> normal_matrix(Index m, Index n, unsigned seed) {
  Stored<S> a(m, n);
  Kernels::fill_normal(test_device(), seed, 1.0, view_of(a));
  return to_host(a);
}

template <class S>
double distance_from_orthonormal(const Mat<S>& q) {
  return static_cast<double>((q.transpose() * q - Mat<S>::Identity(q.cols(), q.cols())).norm());
}

template <class S>
void check_qr(const Mat<S>& a, Layout layout = Layout::columns) {
  Placed<S> in_place(a, layout);
  Placed<S> triangle(Mat<S>::Constant(a.cols(), a.cols(), S{7}), layout);
  Kernels::thin_qr(test_device(), in_place.view(), triangle.view());
  const Mat<S> q = in_place.value();
  const Mat<S> r = triangle.value();
  const double bound = rounding<S>(a.rows(), a.cols());
  CHECK(distance_from_orthonormal<S>(q) <= bound);
  CHECK(Mat<S>(r.template triangularView<Eigen::StrictlyLower>()).isZero(S{0}));
  const S largest = std::max(a.cwiseAbs().maxCoeff(), std::numeric_limits<S>::min());
  CHECK(((q * (r / largest)) - a / largest).norm() <= bound * (a / largest).norm());
}

template <class S>
Mat<S> singular_values(const Mat<S>& a, Layout layout = Layout::columns) {
  const Placed<S> operand(a, layout);
  Stored<S> values(std::min(a.rows(), a.cols()), 1);
  Kernels::svd(test_device(), operand.view(), StoredView<S>{}, view_of(values), StoredView<S>{});
  return to_host(values);
}

template <class S>
void check_svd(const Mat<S>& a, Layout layout = Layout::columns) {
  const Index k = std::min(a.rows(), a.cols());
  const Placed<S> operand(a, layout);
  Placed<S> left(Mat<S>::Zero(a.rows(), k), layout);
  Placed<S> right(Mat<S>::Zero(a.cols(), k), layout);
  Stored<S> sigma(k, 1);
  Kernels::svd(test_device(), operand.view(), left.view(), view_of(sigma), right.view());
  const Mat<S> u = left.value();
  const Mat<S> v = right.value();
  const Mat<S> values = to_host(sigma);
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

  const Mat<S> values_only = singular_values<S>(a, layout);
  CHECK((values_only / largest - values / largest).norm() <= bound * (values / largest).norm());
}

} // namespace

TEST_CASE_TEMPLATE("thin_qr gives orthonormal columns and an upper triangle", S, float, double) {
  for (const Shape& shape : {Shape{1, 1}, {7, 1}, {9, 4}, {30, 30}, {120, 50}}) {
    CAPTURE(shape.rows);
    CAPTURE(shape.cols);
    const Mat<S> a = normal_matrix<S>(shape.rows, shape.cols, 1);
    check_qr<S>(a);
    check_qr<S>(a, Layout::rows);
  }
}

TEST_CASE_TEMPLATE("thin_qr keeps columns orthonormal where the operand is rank deficient", S,
                   float, double) {
  Mat<S> a = normal_matrix<S>(12, 6, 2);
  a.col(3) = a.col(0) - a.col(1);
  a.col(4).setZero();
  check_qr<S>(a);
  check_qr<S>(Mat<S>::Zero(8, 3));
}

TEST_CASE_TEMPLATE("factorisations of very large and very small entries", S, float, double) {
  const S huge = std::sqrt(std::numeric_limits<S>::max()) * S{8};
  const S tiny = std::sqrt(std::numeric_limits<S>::min()) / S{8};
  for (const S scale : {huge, tiny}) {
    const Mat<S> a = normal_matrix<S>(11, 5, 3) * scale;
    check_qr<S>(a);
    check_svd<S>(a);
    check_svd<S>(a.transpose());
  }
}

TEST_CASE_TEMPLATE("svd rebuilds its operand from orthonormal factors", S, float, double) {
  for (const Shape& shape :
       {Shape{1, 1}, {5, 1}, {1, 5}, {9, 4}, {4, 9}, {20, 20}, {60, 33}, {33, 60}}) {
    CAPTURE(shape.rows);
    CAPTURE(shape.cols);
    const Mat<S> a = normal_matrix<S>(shape.rows, shape.cols, 4);
    check_svd<S>(a);
    check_svd<S>(a, Layout::rows);
  }
}

TEST_CASE_TEMPLATE("svd of zero and of rank-deficient matrices", S, float, double) {
  check_svd<S>(Mat<S>::Zero(6, 4));
  check_svd<S>(Mat<S>::Zero(4, 6));
  check_svd<S>(normal_matrix<S>(20, 3, 5) * normal_matrix<S>(3, 12, 6));
  check_svd<S>(Mat<S>::Ones(9, 9));
}

TEST_CASE_TEMPLATE("svd resolves values far below the largest", S, float, double) {
  // A graded spectrum down to epsilon: a method that goes through AᵀA loses its lower half.
  const Index n = 8;
  const S ratio = std::pow(std::numeric_limits<S>::epsilon(), S{0.75} / S{7});
  const auto orthonormal = [&](Index rows, unsigned seed) {
    Stored<S> q = on_backend(normal_matrix<S>(rows, n, seed));
    Stored<S> triangle(n, n);
    Kernels::thin_qr(test_device(), view_of(q), view_of(triangle));
    return to_host(q);
  };
  Mat<S> expected(n, 1);
  for (Index i = 0; i < n; ++i) {
    expected(i, 0) = std::pow(ratio, static_cast<S>(i));
  }
  const Mat<S> a =
      orthonormal(20, 7) * expected.col(0).asDiagonal() * orthonormal(n, 8).transpose();
  const Mat<S> values = singular_values<S>(a);
  CHECK((values - expected).cwiseAbs().maxCoeff() <= rounding<S>(20, n));
  CHECK(values(n - 1, 0) == doctest::Approx(expected(n - 1, 0)).epsilon(0.05));
}

TEST_CASE_TEMPLATE("cholesky_qr gives a triangle, its inverse, and what they are worth", S, float,
                   double) {
  const double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());
  Mat<S> r;
  Mat<S> inverse;
  const auto factor = [&](const Mat<S>& a, Layout layout = Layout::columns) {
    const Placed<S> operand(a, layout);
    Placed<S> triangle(Mat<S>::Constant(a.cols(), a.cols(), S{7}), layout);
    Placed<S> inverted = triangle;
    const double growth =
        Kernels::cholesky_qr(test_device(), operand.view(), triangle.view(), inverted.view());
    r = triangle.value();
    inverse = inverted.value();
    return growth;
  };
  const Mat<S> a = normal_matrix<S>(90, 12, 9);
  // The wides of the last two leave the range of the scalar.
  for (const S unit : {S{1}, std::sqrt(std::numeric_limits<S>::max()) * S{8},
                       std::sqrt(std::numeric_limits<S>::min()) / S{8}}) {
    const Mat<S> scaled = a * unit;
    const double growth_by_rows = factor(scaled, Layout::rows);
    const Mat<S> r_by_rows = r;
    const double growth = factor(scaled);
    CHECK(growth >= 12 * (1 - 1e-3)); // 12 for orthonormal columns
    CHECK(growth < 24);
    CHECK(growth_by_rows == doctest::Approx(growth).epsilon(1e-3));
    const double bound = rounding<S>(90, 12) * growth;
    CHECK(distance_from_orthonormal<S>(Mat<S>(scaled * inverse)) <= bound);
    CHECK((r * inverse - Mat<S>::Identity(12, 12)).norm() <= bound);
    CHECK((r_by_rows / unit - r / unit).norm() <= bound * (r / unit).norm());
    CHECK(Mat<S>(r.template triangularView<Eigen::StrictlyLower>()).isZero(S{0}));
    CHECK(Mat<S>(inverse.template triangularView<Eigen::StrictlyLower>()).isZero(S{0}));
  }
  Mat<S> repeated = a;
  repeated.col(7) = repeated.col(2);
  CHECK(factor(repeated) * epsilon > 1e-3);
  Mat<S> with_zero = a;
  with_zero.col(3).setZero();
  CHECK(factor(with_zero) == std::numeric_limits<double>::infinity());
  Mat<S> nan = a;
  nan(4, 4) = std::numeric_limits<S>::quiet_NaN();
  CHECK(factor(nan) == std::numeric_limits<double>::infinity());
  CHECK(factor(Mat<S>(5, 0)) == 0);
  CHECK(factor(Mat<S>(0, 2)) == std::numeric_limits<double>::infinity());
}

TEST_CASE_TEMPLATE("factorisations of a strided block leave its surroundings alone", S, float,
                   double) {
  const Mat<S> before = normal_matrix<S>(12, 9, 10);
  Stored<S> whole = on_backend(before);
  Stored<S> triangle(4, 4);
  Kernels::thin_qr(test_device(), view_of(whole).block(2, 3, 7, 4), view_of(triangle));
  Mat<S> after = to_host(whole);
  const Mat<S> q = after.block(2, 3, 7, 4);
  CHECK(distance_from_orthonormal<S>(q) <= rounding<S>(7, 4));
  CHECK((q * to_host(triangle) - before.block(2, 3, 7, 4)).norm() <=
        rounding<S>(7, 4) * before.norm());
  after.block(2, 3, 7, 4) = before.block(2, 3, 7, 4);
  CHECK(after == before);
}

TEST_CASE_TEMPLATE("empty operands have empty factorisations", S, float, double) {
  Stored<S> a(5, 0);
  Stored<S> r(0, 0);
  Stored<S> v(0, 0);
  Stored<S> values(0, 1);
  Kernels::thin_qr(test_device(), view_of(a), view_of(r));
  Kernels::svd(test_device(), view_of(a), view_of(a), view_of(values), view_of(v));
}

TEST_CASE_TEMPLATE("NaN and infinity are refused before anything changes", S, float, double) {
  for (const S bad : {std::numeric_limits<S>::quiet_NaN(), -std::numeric_limits<S>::infinity()}) {
    const Mat<S> fine = normal_matrix<S>(5, 5, 11);
    Mat<S> entries = fine;
    entries(3, 1) = bad;
    const Stored<S> a = on_backend(entries);
    Stored<S> q = a;
    Stored<S> r = on_backend(fine);
    Stored<S> values = on_backend(fine.leftCols(1));
    Stored<S> v = on_backend(fine);
    CHECK_THROWS_AS(Kernels::thin_qr(test_device(), view_of(q), view_of(r)), NumericError);
    CHECK_THROWS_WITH_AS(
        Kernels::svd(test_device(), view_of(a), view_of(r), view_of(values), view_of(v)),
        doctest::Contains("svd: the 5 x 5 operand"), NumericError);
    CHECK(to_host(q).col(0) == fine.col(0));
    CHECK(to_host(r) == fine);
    CHECK(to_host(v) == fine);
    CHECK(to_host(values) == fine.leftCols(1));
  }
}

TEST_CASE("shapes that do not fit are refused") {
  Stored<double> a = on_backend(Dense<double>::Random(3, 5));
  Stored<double> r(5, 5);
  Stored<double> u(3, 3);
  Stored<double> values(3, 1);
  Stored<double> v(5, 2);
  CHECK_THROWS_AS(Kernels::thin_qr(test_device(), view_of(a), view_of(r)), ShapeError);
  CHECK_THROWS_AS(Kernels::svd(test_device(), view_of(a), view_of(u), view_of(values), view_of(v)),
                  ShapeError);
}
