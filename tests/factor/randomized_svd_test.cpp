// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/randomized_svd.hpp>

#include <cmath>
#include <limits>

using accrete::ArgumentError;
using accrete::block_power_iteration;
using accrete::Context;
using accrete::Index;
using accrete::lazy;
using accrete::LowRankMatrix;
using accrete::NumericError;
using accrete::randomized_svd;
using accrete::RandomizedSVDOptions;
using accrete::ScopedContext;
using accrete::ShapeError;
using accrete::to_host;

namespace {

struct Shape {
  Index rows;
  Index cols;
};

template <class S>
constexpr double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());

template <class S>
Dense<S> orthonormal(Index rows, Index cols, unsigned seed) {
  const Eigen::MatrixXd a = random_matrix<double>(rows, cols, seed);
  return (Eigen::HouseholderQR<Eigen::MatrixXd>(a).householderQ() *
          Eigen::MatrixXd::Identity(rows, cols))
      .template cast<S>();
}

/// A matrix with these singular values.
template <class S>
Dense<S> planted(Index rows, Index cols, const Eigen::VectorXd& values) {
  const Index count = values.size();
  return orthonormal<S>(rows, count, 1) * values.cast<S>().asDiagonal() *
         orthonormal<S>(cols, count, 2).transpose();
}

template <class Power>
Eigen::VectorXd spectrum(Index count, Power power) {
  return Eigen::VectorXd::NullaryExpr(count,
                                      [&](Index j) { return power(static_cast<double>(j)); });
}

double spectral_norm(const Eigen::MatrixXd& a) {
  return Eigen::JacobiSVD<Eigen::MatrixXd>(a).singularValues()(0);
}

template <class S>
double departure(const Dense<S>& q) {
  return static_cast<double>((q.transpose() * q - Dense<S>::Identity(q.cols(), q.cols())).norm());
}

/// Sine of the largest principal angle between two subspaces of equal dimension.
template <class S>
double largest_sine(const Dense<S>& a, const Dense<S>& b) {
  const Eigen::MatrixXd x = a.template cast<double>();
  const Eigen::MatrixXd y = b.template cast<double>();
  return spectral_norm(y - x * (x.transpose() * y));
}

template <class S, class Result>
Dense<S> value_of(const Result& svd) {
  return to_host(svd.U) * svd.singular_values.template cast<S>().asDiagonal() *
         to_host(svd.V).transpose();
}

} // namespace

TEST_CASE_TEMPLATE("randomized_svd of a matrix of low rank is its svd", S, TEST_SCALARS) {
  const Eigen::VectorXd values = spectrum(5, [](double j) { return std::pow(2.0, -j); });
  for (const Shape& shape : {Shape{40, 25}, Shape{25, 40}, Shape{30, 30}}) {
    const Index rows = shape.rows;
    const Index cols = shape.cols;
    CAPTURE(rows);
    const Dense<S> a = planted<S>(rows, cols, values);
    const auto svd = randomized_svd(operand(a), {.rank = 5, .oversampling = 3});
    const double slack = 100 * epsilon<S>;
    REQUIRE(svd.singular_values.size() == 5);
    CHECK((svd.singular_values.template cast<double>() - values).norm() <= slack);
    CHECK(static_cast<double>((value_of<S>(svd) - a).norm()) <= slack);
    CHECK(departure<S>(to_host(svd.U)) <= slack);
    CHECK(departure<S>(to_host(svd.V)) <= slack);

    // Wanted beyond the rank: the rest is zero within rounding and the bases stay orthonormal.
    const auto more = randomized_svd(operand(a), {.rank = 12});
    REQUIRE(more.singular_values.size() == 12);
    CHECK(static_cast<double>(more.singular_values.tail(7).norm()) <= slack);
    CHECK(departure<S>(to_host(more.U)) <= slack);
    CHECK(departure<S>(to_host(more.V)) <= slack);
  }
}

TEST_CASE("without power iterations the mean error keeps the bound of the range finder") {
  // Halko, Martinsson and Tropp (2011), theorem 10.5, for each split of the columns into k + p.
  const Index width = 12;
  const Eigen::VectorXd values = spectrum(30, [](double j) { return 1 / (1 + j); });
  const Eigen::MatrixXd a = planted<double>(60, 40, values);
  double mean = 0;
  const int trials = 30;
  for (int seed = 0; seed < trials; ++seed) {
    const auto svd = randomized_svd(
        operand(a),
        {.rank = width, .oversampling = 0, .power_iterations = 0, .seed = std::uint64_t(seed)});
    const Eigen::MatrixXd u = to_host(svd.U);
    mean += (a - u * (u.transpose() * a)).norm() / trials;
  }
  for (Index k = 1; k <= width - 2; ++k) {
    CAPTURE(k);
    const double p = static_cast<double>(width - k);
    CHECK(mean <= std::sqrt(1 + static_cast<double>(k) / (p - 1)) * values.tail(30 - k).norm());
  }
  CHECK(mean >= values.tail(30 - width).norm()); // no approximation of this rank is better
}

TEST_CASE("power iterations take roots of the excess where the values decay slowly") {
  // Corollary 10.10, spectral norm.
  const Index k = 6;
  const Index p = 6;
  const Eigen::VectorXd values = spectrum(40, [](double j) { return 1 / std::sqrt(1 + j); });
  const Eigen::MatrixXd a = planted<double>(60, 40, values);
  const int trials = 10;
  double previous = std::numeric_limits<double>::infinity();
  for (const Index q : {0, 1, 3}) {
    CAPTURE(q);
    double mean = 0;
    for (int seed = 0; seed < trials; ++seed) {
      const auto svd = randomized_svd(
          operand(a),
          {.rank = k + p, .oversampling = 0, .power_iterations = q, .seed = std::uint64_t(seed)});
      const Eigen::MatrixXd u = to_host(svd.U);
      mean += spectral_norm(a - u * (u.transpose() * a)) / trials;
    }
    const double excess =
        1 + std::sqrt(6.0 / 5.0) + std::exp(1.0) * std::sqrt(12.0) / 6 * std::sqrt(40.0 - 6.0);
    CHECK(mean <= std::pow(excess, 1 / (2 * static_cast<double>(q) + 1)) * values(k));
    CHECK(mean < 0.97 * previous);
    previous = mean;
  }
}

TEST_CASE_TEMPLATE("a block as wide as the matrix gives the exact svd", S, TEST_SCALARS) {
  const Dense<S> a = random_matrix<S>(9, 6, 3);
  const Eigen::VectorXd expected =
      Eigen::JacobiSVD<Eigen::MatrixXd>(a.template cast<double>()).singularValues();
  for (const Index rank : {4, 6, 100}) {
    CAPTURE(rank);
    const auto svd = randomized_svd(operand(a), {.rank = rank});
    const Index kept = std::min<Index>(rank, 6);
    REQUIRE(svd.singular_values.size() == kept);
    CHECK(svd.U.cols() == kept);
    CHECK(svd.V.cols() == kept);
    CHECK((svd.singular_values.template cast<double>() - expected.head(kept)).norm() <=
          100 * epsilon<S> * expected.norm());
    CHECK(std::abs(static_cast<double>((value_of<S>(svd) - a).norm()) -
                   expected.tail(6 - kept).norm()) <= 100 * epsilon<S> * expected.norm());
  }
}

TEST_CASE_TEMPLATE("randomized_svd of zero and empty matrices", S, TEST_SCALARS) {
  const Dense<S> zero = Dense<S>::Zero(8, 5);
  const auto svd = randomized_svd(operand(zero), {.rank = 2});
  CHECK(svd.singular_values.isZero(S{0}));
  CHECK(departure<S>(to_host(svd.U)) <= 50 * epsilon<S>);
  CHECK(departure<S>(to_host(svd.V)) <= 50 * epsilon<S>);
  const Dense<S> empty(4, 0);
  const auto none = randomized_svd(operand(empty), {.rank = 2});
  CHECK(none.U.rows() == 4);
  CHECK(none.U.cols() == 0);
  CHECK(none.singular_values.size() == 0);
  const LowRankMatrix<S, TestBackend> rank_zero(6, 5);
  CHECK(randomized_svd(rank_zero, {.rank = 3}).singular_values.isZero(S{0}));
}

TEST_CASE_TEMPLATE("entries near the ends of the range do not overflow", S, TEST_SCALARS) {
  const S huge = std::sqrt(std::numeric_limits<S>::max()) * S{1000};
  const S tiny = S{1} / huge;
  const Dense<S> a = planted<S>(20, 12, spectrum(3, [](double j) { return 3 - j; }));
  for (const S scale : {huge, tiny}) {
    const Dense<S> scaled = a * scale;
    const auto svd = randomized_svd(operand(scaled), {.rank = 3});
    for (Index j = 0; j < 3; ++j) {
      CHECK(std::abs(static_cast<double>(svd.singular_values(j) / scale) - (3.0 - double(j))) <=
            200 * epsilon<S>);
    }
  }
}

TEST_CASE_TEMPLATE("the random block does not overflow where the operand does not", S,
                   TEST_SCALARS) {
  // One row whose norm is 0.8 of the largest number: 20 random numbers of variance 1 would do it.
  const S entry = std::numeric_limits<S>::max() / 25;
  Dense<S> a = Dense<S>::Zero(5, 400);
  a.row(2).setConstant(entry);
  const auto svd = randomized_svd(operand(a), {.rank = 1});
  CHECK(std::abs(static_cast<double>(svd.singular_values(0) / entry) - 20) <= 200 * epsilon<S>);
}

TEST_CASE_TEMPLATE("randomized_svd of low-rank and implicit operands", S, TEST_SCALARS) {
  const Dense<S> host_u = random_matrix<S>(30, 4, 1);
  const Dense<S> host_v = random_matrix<S>(20, 4, 2);
  const Dense<S> host_dy = random_matrix<S>(6, 30, 3);
  const Dense<S> host_x = random_matrix<S>(6, 20, 4);
  const Stored<S> u = on_backend(host_u);
  const Stored<S> v = on_backend(host_v);
  const Stored<S> dy = on_backend(host_dy);
  const Stored<S> x = on_backend(host_x);
  const Dense<S> product = host_u * host_v.transpose();
  const Dense<S> implicit = host_dy.transpose() * host_x;
  const auto check = [](const auto& svd, const Dense<S>& expected) {
    CHECK(static_cast<double>((value_of<S>(svd) - expected).norm()) <=
          100 * epsilon<S> * static_cast<double>(expected.norm()));
  };
  const LowRankMatrix<S, TestBackend> matrix(u, v);
  check(randomized_svd(matrix, {.rank = 4}), product);
  check(randomized_svd(S{2} * matrix + accrete::outer(u, v), {.rank = 4}), S{3} * product);
  check(randomized_svd(lazy<TestBackend>(dy).transpose() * x, {.rank = 6}), implicit);
  check(randomized_svd(lazy<TestBackend>(dy).transpose() * x + matrix, {.rank = 10}),
        implicit + product);
}

TEST_CASE_TEMPLATE("an implicit operand is never formed", S, TEST_SCALARS) {
  const Index m = 1200;
  const Index n = 1000;
  const auto product = [&] {
    return operand(random_matrix<S>(20, m, 1)).transpose() * on_backend(random_matrix<S>(20, n, 2));
  };
  const std::size_t formed = std::size_t(m * n) * sizeof(S);
  {
    Context<TestBackend> context;
    const ScopedContext<TestBackend> use(context);
    (void)randomized_svd(product(), {.rank = 4, .oversampling = 4});
    const std::size_t bytes = context.device().workspace().capacity();
    CHECK(bytes > 0);
    CHECK(bytes < formed / 8);
  }
  {
    Context<TestBackend> context;
    const ScopedContext<TestBackend> use(context);
    const Stored<S> basis = on_backend(random_matrix<S>(m, 4, 3));
    (void)block_power_iteration(product(), basis, 2);
    CHECK(context.device().workspace().capacity() < formed / 8);
  }
}

TEST_CASE_TEMPLATE("the seed decides the result", S, TEST_SCALARS) {
  const Dense<S> a = random_matrix<S>(20, 15, 5);
  const auto values = [&](std::uint64_t seed) {
    return randomized_svd(operand(a),
                          {.rank = 3, .oversampling = 0, .power_iterations = 0, .seed = seed})
        .singular_values;
  };
  CHECK(values(7) == values(7));
  CHECK(values(7) != values(8));
}

TEST_CASE_TEMPLATE("a warm start converges to the top subspace", S, TEST_SCALARS) {
  const Index k = 4;
  const Eigen::VectorXd values = spectrum(15, [](double j) { return j < 4 ? 5 - j : 0.5 / j; });
  for (const Shape& shape : {Shape{30, 20}, Shape{20, 30}}) {
    const Index rows = shape.rows;
    const Index cols = shape.cols;
    const Dense<S> a = planted<S>(rows, cols, values);
    const Dense<S> top = orthonormal<S>(rows, 15, 1).leftCols(k);
    const Stored<S> start = on_backend(orthonormal<S>(rows, k, 9));
    const double ratio = std::pow(values(4) / values(3), 2);
    double previous = 0;
    for (const Index iterations : {1, 2, 3, 12}) {
      CAPTURE(iterations);
      const auto estimate = block_power_iteration(operand(a), start, iterations);
      const Dense<S> basis = to_host(estimate.basis);
      const double sine = largest_sine<S>(top, basis);
      CHECK(departure<S>(basis) <= 100 * epsilon<S>);
      if (iterations == 2 || iterations == 3) {
        // The tangent shrinks by the ratio each time, and the sine is below the tangent.
        CHECK(sine <=
              1.01 * ratio * previous / std::sqrt(1 - previous * previous) + 50 * epsilon<S>);
      }
      for (Index j = 0; j < k; ++j) {
        CHECK(static_cast<double>(estimate.singular_values(j)) <=
              values(j) * (1 + 50 * epsilon<S>));
      }
      previous = sine;
    }
    CHECK(previous <= 100 * epsilon<S>);
    const auto last = block_power_iteration(operand(a), start, 12);
    CHECK((last.singular_values.template cast<double>() - values.head(k)).norm() <=
          100 * epsilon<S>);
    // Columns are ordered: the first alone is the top singular vector.
    CHECK(largest_sine<S>(top.leftCols(1), to_host(last.basis).leftCols(1)) <= 200 * epsilon<S>);

    const auto right =
        block_power_iteration(operand(a).transpose(), on_backend(orthonormal<S>(cols, k, 8)), 12);
    CHECK(largest_sine<S>(orthonormal<S>(cols, 15, 2).leftCols(k), to_host(right.basis)) <=
          100 * epsilon<S>);
  }
}

TEST_CASE_TEMPLATE("a warm start follows a matrix that changes a little", S, TEST_SCALARS) {
  const Eigen::VectorXd values = spectrum(12, [](double j) { return j < 3 ? 3 - 0.5 * j : 0.2; });
  const Dense<S> before = planted<S>(25, 20, values);
  const Dense<S> after = before + S(0.05) * random_matrix<S>(25, 20, 4);
  const Stored<S> old_basis =
      block_power_iteration(operand(before), on_backend(random_matrix<S>(25, 3, 5)), 15).basis;
  const Stored<S> new_basis = block_power_iteration(operand(after), old_basis, 1).basis;
  const Dense<S> top =
      Eigen::JacobiSVD<Eigen::MatrixXd>(after.template cast<double>(), Eigen::ComputeThinU)
          .matrixU()
          .leftCols(3)
          .template cast<S>();
  const double stale = largest_sine<S>(top, to_host(old_basis));
  const double warm = largest_sine<S>(top, to_host(new_basis));
  CHECK(stale > 0.01);
  CHECK(warm < 0.15 * stale);
}

TEST_CASE("randomized_svd and block_power_iteration refuse what they cannot use") {
  Eigen::MatrixXd entries = random_matrix<double>(6, 5, 1);
  Stored<double> a = on_backend(entries);
  const auto node = lazy<TestBackend>(a);
  CHECK_THROWS_AS((void)randomized_svd(node, {}), ArgumentError);
  CHECK_THROWS_AS((void)randomized_svd(node, {.rank = 2, .oversampling = -1}), ArgumentError);
  CHECK_THROWS_AS((void)randomized_svd(node, {.rank = 2, .power_iterations = -1}), ArgumentError);
  Eigen::MatrixXd host_basis = random_matrix<double>(6, 3, 2);
  Stored<double> basis = on_backend(host_basis);
  CHECK_THROWS_AS((void)block_power_iteration(node, basis, 0), ArgumentError);
  CHECK_THROWS_AS((void)block_power_iteration(node, Stored<double>(5, 3), 1), ShapeError);
  CHECK_THROWS_AS((void)block_power_iteration(node, Stored<double>(6, 6), 1), ShapeError);
  CHECK(block_power_iteration(node, Stored<double>(6, 0), 1).basis.cols() == 0);
  host_basis(2, 1) = std::nan("");
  basis = on_backend(host_basis);
  CHECK_THROWS_AS((void)block_power_iteration(node, basis, 1), NumericError);
  entries(3, 2) = std::nan("");
  a = on_backend(entries);
  CHECK_THROWS_WITH_AS((void)randomized_svd(node, {.rank = 2}),
                       doctest::Contains("randomized_svd: the 6 x 5 operand holds NaN"),
                       NumericError);
  CHECK_THROWS_AS((void)block_power_iteration(node, on_backend(random_matrix<double>(6, 3, 2)), 1),
                  NumericError);
  entries(3, 2) = std::numeric_limits<double>::infinity();
  a = on_backend(entries);
  CHECK_THROWS_AS((void)randomized_svd(node, {.rank = 2}), NumericError);
}
