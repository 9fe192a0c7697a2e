// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/factor/svd.hpp>
#include <accrete/grow/growth.hpp>
#include <accrete/grow/spectral_initializers.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace init = accrete::init;
using accrete::Index;
using accrete::lazy;
using accrete::to_host;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using LowRank = accrete::LowRankMatrix<S, TestBackend>;
template <class S>
using Update = accrete::CumulativeUpdate<S, TestBackend>;

template <class S>
constexpr double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());

template <class Matrix>
Eigen::MatrixXd wide(const Matrix& matrix) {
  return to_host(matrix).template cast<double>();
}

template <class S>
auto svd_of(const Mat<S>& matrix) {
  return accrete::svd(lazy<TestBackend>(on_backend(matrix)));
}

// A matrix with orthonormal factors and the given singular values.
template <class S>
Mat<S> with_values(Index m, Index n, const std::vector<double>& values) {
  const auto k = static_cast<Index>(values.size());
  const auto orthonormal = [k](Index rows) {
    const Eigen::HouseholderQR<Eigen::MatrixXd> qr(Eigen::MatrixXd::Random(rows, k));
    return Eigen::MatrixXd(qr.householderQ() * Eigen::MatrixXd::Identity(rows, k));
  };
  const Eigen::Map<const Eigen::VectorXd> sigma(values.data(), k);
  return (orthonormal(m) * sigma.asDiagonal() * orthonormal(n).transpose()).template cast<S>();
}

Eigen::MatrixXd best_approximation(const Eigen::MatrixXd& a, Index rank) {
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(a, Eigen::ComputeThinU | Eigen::ComputeThinV);
  return svd.matrixU().leftCols(rank) * svd.singularValues().head(rank).asDiagonal() *
         svd.matrixV().leftCols(rank).transpose();
}

Eigen::MatrixXd projector(const Eigen::MatrixXd& orthonormal) {
  return orthonormal * orthonormal.transpose();
}

} // namespace

TEST_CASE_TEMPLATE("the spectral start is the best approximation, evenly split", S, TEST_SCALARS) {
  const Mat<S> w = with_values<S>(14, 9, {5, 4, 2, 1, 0.5, 0.3, 0.2, 0.1, 0.05});
  const LowRank<S> matrix = init::spectral(svd_of(w), 3);
  REQUIRE(matrix.rank() == 3);
  const Mat<S> u = to_host(matrix.U());
  const Mat<S> v = to_host(matrix.V());
  CHECK((wide(u * v.transpose()) - best_approximation(wide(w), 3)).norm() <= 200 * epsilon<S> * 5);
  CHECK((u.transpose() * u - v.transpose() * v).norm() <= S(200 * epsilon<S> * 5));
  const Mat<S> gram = u.transpose() * u;
  CHECK(static_cast<double>(gram(1, 1)) == doctest::Approx(4).epsilon(100 * epsilon<S>));
  CHECK(init::spectral(svd_of(w), 0).rank() == 0);
  const LowRank<S> random =
      init::spectral(accrete::randomized_svd(lazy<TestBackend>(on_backend(w)), {.rank = 3}), 3);
  CHECK(
      (wide(to_host(random.U()) * to_host(random.V()).transpose()) - best_approximation(wide(w), 3))
          .norm() <= 1e-5);
}

TEST_CASE_TEMPLATE("spectral ones keeps the directions and sets the values to 1", S, TEST_SCALARS) {
  const Mat<S> w = with_values<S>(10, 12, {5, 4, 2, 1});
  const LowRank<S> matrix = init::spectral_ones(svd_of(w), 2);
  const Eigen::MatrixXd u = wide(matrix.U());
  const Eigen::MatrixXd v = wide(matrix.V());
  const double small = 300 * epsilon<S>;
  CHECK((u.transpose() * u - Eigen::MatrixXd::Identity(2, 2)).norm() <= small);
  CHECK((v.transpose() * v - Eigen::MatrixXd::Identity(2, 2)).norm() <= small);
  const Eigen::MatrixXd best = best_approximation(wide(w), 2);
  CHECK((projector(u) * best - best).norm() <= 5 * small);
  CHECK((best * projector(v) - best).norm() <= 5 * small);
  CHECK((u.transpose() * best * v).trace() == doctest::Approx(9).epsilon(small));
}

TEST_CASE_TEMPLATE("columns that could never move are refused", S, TEST_SCALARS) {
  const Mat<S> w = with_values<S>(8, 7, {3, 1});
  CHECK_THROWS_WITH_AS((void)init::spectral(svd_of(w), 3), doctest::Contains("only 2"),
                       accrete::RankError);
  CHECK_NOTHROW((void)init::spectral(svd_of(w), 2));
  CHECK_THROWS_AS((void)init::spectral(svd_of(w), 8), accrete::RankError);
  CHECK_THROWS_AS((void)init::spectral(svd_of(w), -1), accrete::RankError);
  const Mat<S> zero = Mat<S>::Zero(4, 4);
  CHECK_THROWS_AS((void)init::spectral(svd_of(zero), 1), accrete::RankError);
  auto bad = svd_of(w);
  bad.singular_values[0] = std::numeric_limits<S>::quiet_NaN();
  CHECK_THROWS_AS((void)init::spectral_ones(bad, 1), accrete::NumericError);
  // With ones, no column is zero even there.
  CHECK(to_host(init::spectral_ones(svd_of(w), 4).U()).colwise().norm().minCoeff() > S(0.9));
}

TEST_CASE_TEMPLATE("pissa leaves the matrix what it is, and takes the leading part", S,
                   TEST_SCALARS) {
  const Mat<S> w = with_values<S>(15, 11, {6, 3, 2, 1, 0.5, 0.25, 0.1});
  for (const double scale : {1.0, 0.25, -2.0}) {
    CAPTURE(scale);
    Update<S> matrix(on_backend(w));
    matrix.set_scale(S(scale));
    init::pissa(matrix, svd_of(w), 3);
    REQUIRE(matrix.rank() == 3);
    const Eigen::MatrixXd update = scale * wide(matrix.U()) * wide(matrix.V()).transpose();
    // W0 is rounded once, and each of its 3 products.
    CHECK((wide(matrix.base()) + update - wide(w)).norm() <= 10 * epsilon<S> * wide(w).norm());
    CHECK((update - best_approximation(wide(w), 3)).norm() <= 300 * epsilon<S> * 6);
    CHECK(wide(matrix.base()).norm() < 1.2);
    CHECK(std::abs(to_host(matrix.U()).norm() - to_host(matrix.V()).norm()) <= S(100 * epsilon<S>));
  }
  // Also of a decomposition that is not exact.
  Update<S> rough(on_backend(w));
  init::pissa(rough,
              accrete::randomized_svd(lazy<TestBackend>(on_backend(w)),
                                      {.rank = 2, .oversampling = 0, .power_iterations = 0}),
              2);
  const Eigen::MatrixXd whole = wide(rough.base()) + wide(rough.U()) * wide(rough.V()).transpose();
  CHECK((whole - wide(w)).norm() <= 10 * epsilon<S> * wide(w).norm());
}

TEST_CASE("pissa refuses what it cannot compensate, and changes nothing") {
  const Mat<double> w = with_values<double>(6, 5, {3, 1});
  Update<double> matrix(on_backend(w));
  const auto svd = svd_of(w);
  CHECK_THROWS_AS(init::pissa(matrix, svd, 3), accrete::RankError);
  CHECK_THROWS_AS(init::pissa(matrix, svd_of(Mat<double>(w.transpose())), 1), accrete::ShapeError);
  matrix.set_scale(0);
  CHECK_THROWS_AS(init::pissa(matrix, svd, 1), accrete::ArgumentError);
  matrix.set_scale(1);
  CHECK(matrix.rank() == 0);
  CHECK(to_host(matrix.base()) == w);
  matrix.grow(1, init::orthogonal());
  CHECK_THROWS_WITH_AS(init::pissa(matrix, svd, 1), doctest::Contains("merge()"),
                       accrete::RankError);
}

TEST_CASE_TEMPLATE("the gradient's subspace is the leading one of what the old columns leave", S,
                   TEST_SCALARS) {
  // One direction far above the others lies in the span of the old columns.
  const Index m = 16;
  const Index n = 13;
  const Mat<S> old_u = Mat<S>::Random(m, 2);
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(wide(old_u));
  const Eigen::MatrixXd rest = Eigen::MatrixXd::Identity(m, m) -
                               projector(qr.householderQ() * Eigen::MatrixXd::Identity(m, 2));
  const Eigen::MatrixXd gradient = rest * with_values<double>(m, n, {4, 3, 2, 0.1, 0.05}) +
                                   100 * wide(old_u).col(0) * Eigen::MatrixXd::Random(1, n);
  const Stored<S> dy = on_backend(Mat<S>::Identity(m, m));
  const Stored<S> x = on_backend(Mat<S>(gradient.transpose().cast<S>()));

  LowRank<S> matrix(on_backend(old_u), on_backend(Mat<S>::Random(n, 2)));
  accrete::grow(matrix, 3, init::gradient_subspace(dy, x, 0.5));
  const Eigen::MatrixXd grown = wide(matrix.U()).rightCols(3) / 0.5;
  // Rounding of the part in the old span, 100 times as large, is not told from the rest.
  const double small = 2000 * epsilon<S> * 100;
  CHECK((grown.transpose() * grown - Eigen::MatrixXd::Identity(3, 3)).norm() <= 300 * epsilon<S>);
  CHECK((wide(old_u).transpose() * grown).norm() <= 300 * epsilon<S> * wide(old_u).norm());
  const Eigen::JacobiSVD<Eigen::MatrixXd> svd(rest * gradient, Eigen::ComputeThinU);
  CHECK((projector(grown) - projector(svd.matrixU().leftCols(3))).norm() <= small);
  CHECK(wide(matrix.V()).rightCols(3).isZero(0.0));
  // The gradient of the new columns of V has the norm of the three values.
  const double reached = (gradient.transpose() * grown).squaredNorm();
  CHECK(reached == doctest::Approx(svd.singularValues().head(3).squaredNorm()).epsilon(small));
}

TEST_CASE("a gradient of any form, from rank 0, by temporaries too") {
  using S = double; // four expression types are enough to compile
  const Mat<S> left = Mat<S>::Random(12, 2);
  const Mat<S> right = Mat<S>::Random(10, 2);
  const Stored<S> a = on_backend(left);
  const Stored<S> b = on_backend(right);
  const auto from = [&](const auto& initializer) {
    LowRank<S> matrix(12, 10);
    accrete::grow(matrix, 2, initializer);
    const Eigen::MatrixXd u = wide(matrix.U());
    CHECK((projector(u) * left - left).norm() <= 300 * epsilon<S> * left.norm());
  };
  from(init::gradient_subspace(a, b));
  from(init::gradient_subspace(accrete::outer<TestBackend>(a, b)));
  from(init::gradient_subspace(on_backend(left * right.transpose())));
  from(init::gradient_subspace(on_backend(left), on_backend(right)));
}

TEST_CASE_TEMPLATE("a large gradient within the old columns does not hide the rest", S,
                   TEST_SCALARS) {
  // More directions within the old span than the sketch has columns, each a hundred times the rest.
  const Index m = 80;
  const Index n = 70;
  const Mat<S> old_u = Mat<S>::Random(m, 20);
  const Mat<S> rest = Mat<S>::Random(m, 3);
  const Stored<S> dy = on_backend((Mat<S>(m, 23) << S{100} * old_u, rest).finished());
  const Stored<S> x = on_backend(Mat<S>::Random(n, 23));
  LowRank<S> matrix(on_backend(old_u), on_backend(Mat<S>::Random(n, 20)));
  accrete::grow(matrix, 3, init::gradient_subspace(dy, x));
  const Eigen::MatrixXd grown = wide(matrix.U()).rightCols(3);
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(wide(old_u));
  const Eigen::MatrixXd basis = qr.householderQ() * Eigen::MatrixXd::Identity(m, 20);
  const Eigen::MatrixXd outside = wide(rest) - projector(basis) * wide(rest);
  const Eigen::MatrixXd missed = outside - projector(grown) * outside;
  CHECK(missed.norm() <= 1e5 * epsilon<S> * outside.norm());
}

TEST_CASE_TEMPLATE("columns beyond the gradient's rank are orthonormal all the same", S,
                   TEST_SCALARS) {
  const Stored<S> zero = on_backend(Mat<S>::Zero(9, 4));
  const Stored<S> x = on_backend(Mat<S>::Random(8, 4));
  LowRank<S> matrix(on_backend(Mat<S>::Random(9, 2)), on_backend(Mat<S>::Random(8, 2)));
  accrete::grow(matrix, 3, init::gradient_subspace(zero, x));
  const Mat<S> u = to_host(matrix.U());
  const Mat<S> grown = u.rightCols(3);
  const S small = S(300 * epsilon<S>);
  CHECK((grown.transpose() * grown - Mat<S>::Identity(3, 3)).norm() <= small);
  CHECK((u.leftCols(2).transpose() * grown).norm() <= small * u.norm());
}

TEST_CASE_TEMPLATE("growth within the capacity moves no byte of an old column", S, TEST_SCALARS) {
  const Stored<S> dy = on_backend(Mat<S>::Random(40, 6));
  const Stored<S> x = on_backend(Mat<S>::Random(30, 6));
  const auto check = [&](const auto& initializer) {
    LowRank<S> matrix(40, 30);
    matrix.reserve(9);
    matrix.set_rank(3);
    const Mat<S> u = Mat<S>::Random(40, 3);
    const Mat<S> v = Mat<S>::Random(30, 3);
    write(matrix.u_view(), u);
    write(matrix.v_view(), v);
    const S* u_data = matrix.u_view().data;
    const S* v_data = matrix.v_view().data;
    for (int i = 0; i < 3; ++i) {
      accrete::grow(matrix, 2, initializer);
    }
    CHECK(matrix.u_view().data == u_data);
    CHECK(matrix.v_view().data == v_data);
    const Mat<S> grown_u = to_host(matrix.U());
    const Mat<S> grown_v = to_host(matrix.V());
    CHECK(std::memcmp(grown_u.data(), u.data(), sizeof(S) * 120) == 0);
    CHECK(std::memcmp(grown_v.data(), v.data(), sizeof(S) * 90) == 0);
    CHECK(matrix.rank() == 9);
    for (Index j = 3; j < 9; ++j) {
      CHECK(grown_u.col(j).norm() + grown_v.col(j).norm() > S{0});
    }
  };
  check(init::zero());
  check(init::normal(0.02));
  check(init::kaiming());
  check(init::orthogonal());
  check(init::gradient_subspace(dy, x));
}

TEST_CASE("a gradient that does not fit is refused, and nothing changes") {
  LowRank<double> matrix(9, 8, 4);
  Mat<double> upstream = Mat<double>::Random(9, 3);
  Stored<double> dy = on_backend(upstream);
  const Stored<double> x = on_backend(Mat<double>::Random(8, 3));
  CHECK_THROWS_AS(accrete::grow(matrix, 2, init::gradient_subspace(x, dy)), accrete::ShapeError);
  CHECK_THROWS_AS((void)init::gradient_subspace(dy, x, 0.0), accrete::ArgumentError);
  CHECK_NOTHROW(accrete::grow(matrix, 0, init::gradient_subspace(dy, x)));
  upstream(0, 0) = std::numeric_limits<double>::quiet_NaN();
  dy = on_backend(upstream);
  CHECK_THROWS_AS(accrete::grow(matrix, 2, init::gradient_subspace(dy, x)), accrete::NumericError);
  CHECK(matrix.rank() == 0);
}
