// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/truncation.hpp>
#include <accrete/matrix/cumulative_update.hpp>

#include <cmath>
#include <limits>

using accrete::ArgumentError;
using accrete::Context;
using accrete::Index;
using accrete::LowRankMatrix;
using accrete::NumericError;
using accrete::ShapeError;
using accrete::to_host;
using accrete::TruncationOptions;
using accrete::TruncationReport;
using accrete::view_of;

namespace {

template <class S>
using LowRank = LowRankMatrix<S, TestBackend>;

template <class S>
double rounding(Index m, Index n) {
  return 30 * std::sqrt(static_cast<double>(std::max<Index>(m * n, 1))) *
         static_cast<double>(std::numeric_limits<S>::epsilon());
}

struct Shape {
  Index rows;
  Index cols;
  Index rank;
};

template <class U, class V>
LowRank<typename U::Scalar> stored(const U& u, const V& v) {
  return {on_backend(u), on_backend(v)};
}

// Factors of different column norms, so that the core is neither symmetric nor well scaled.
template <class S>
LowRank<S> random_product(const Shape& shape) {
  Dense<S> u = Dense<S>::Random(shape.rows, shape.rank);
  Dense<S> v = Dense<S>::Random(shape.cols, shape.rank);
  for (Index j = 0; j < shape.rank; ++j) {
    u.col(j) *= static_cast<S>(std::pow(0.7, j));
    v.col(j) *= static_cast<S>(1 + j % 3);
  }
  return stored(u, v);
}

template <class S>
Dense<S> formed(const LowRank<S>& matrix) {
  return to_host(matrix.U()) * to_host(matrix.V()).transpose();
}

// Error of the best approximation of each rank, from a full SVD in double.
template <class S>
double best_error(const Dense<S>& a, Index rank) {
  const Eigen::VectorXd values =
      Eigen::JacobiSVD<Eigen::MatrixXd>(a.template cast<double>()).singularValues();
  return values.tail(std::max<Index>(values.size() - rank, 0)).norm();
}

const Shape shapes[] = {{9, 7, 4}, {7, 9, 4}, {30, 20, 20}, {6, 20, 10}, {20, 6, 10},
                        {5, 4, 9}, {1, 1, 1}, {1, 8, 3},    {8, 1, 3},   {64, 48, 5}};

} // namespace

TEST_CASE_TEMPLATE("truncation reaches the best error of its rank", S, TEST_SCALARS) {
  for (const Shape& shape : shapes) {
    CAPTURE(shape.rows);
    CAPTURE(shape.cols);
    CAPTURE(shape.rank);
    const LowRank<S> start = random_product<S>(shape);
    const Dense<S> before = formed(start);
    const Index most = std::min({shape.rows, shape.cols, shape.rank});
    for (Index rank = 0; rank <= most; ++rank) {
      LowRank<S> matrix = start;
      const TruncationReport<S> report = matrix.truncate({.max_rank = rank});
      CHECK(report.rank_before == shape.rank);
      CHECK(report.rank_after == rank);
      CHECK(matrix.rank() == rank);
      CHECK(report.singular_values.size() == most);
      const double error = (formed(matrix) - before).norm();
      const double slack = rounding<S>(shape.rows, shape.cols) * before.norm();
      CHECK(error <= best_error(before, rank) + slack);
      const double discarded = std::sqrt(report.discarded_energy) * before.norm();
      CHECK(std::abs(discarded - error) <= slack);
    }
  }
}

TEST_CASE_TEMPLATE("truncated factors are balanced", S, TEST_SCALARS) {
  LowRank<S> matrix = random_product<S>({30, 20, 8});
  const TruncationReport<S> report = matrix.truncate({.max_rank = 5});
  const Dense<S> u = to_host(matrix.U());
  const Dense<S> v = to_host(matrix.V());
  Dense<S> expected = Dense<S>::Zero(5, 5);
  for (Index j = 0; j < 5; ++j) {
    expected(j, j) = static_cast<S>(report.singular_values[j]);
  }
  const double slack = rounding<S>(30, 20) * report.singular_values[0];
  CHECK((u.transpose() * u - expected).norm() <= slack);
  CHECK((v.transpose() * v - expected).norm() <= slack);
}

TEST_CASE_TEMPLATE("the basis change maps old factors and gradients to new ones", S, TEST_SCALARS) {
  for (const Shape& shape :
       {Shape{9, 7, 4}, Shape{6, 20, 10}, Shape{20, 6, 10}, Shape{30, 20, 20}, Shape{64, 48, 5}}) {
    CAPTURE(shape.rows);
    const LowRank<S> start = random_product<S>(shape);
    const Dense<S> u_old = to_host(start.U());
    const Dense<S> v_old = to_host(start.V());
    LowRank<S> matrix = start;
    const TruncationReport<S> report = matrix.truncate({.max_rank = 3});
    const Dense<S> u_new = to_host(matrix.U());
    const Dense<S> v_new = to_host(matrix.V());
    // Rounding in the core is relative to the largest value, the basis change divides by the
    // square root of the smallest that is kept.
    const double slack = rounding<S>(shape.rows, shape.cols) * report.singular_values[0] /
                         std::sqrt(report.singular_values[2]);
    CHECK(report.basis.old_rank() == shape.rank);
    CHECK(report.basis.new_rank() == 3);
    CHECK((u_old * report.basis.left - u_new).norm() <= slack);
    CHECK((v_old * report.basis.right - v_new).norm() <= slack);

    const Dense<S> dw = Dense<S>::Random(shape.rows, shape.cols);
    const double steep = slack * static_cast<double>(dw.norm());
    CHECK((dw * v_old * report.basis.gradient_of_left() - dw * v_new).norm() <= steep);
    CHECK((dw.transpose() * u_old * report.basis.gradient_of_right() - dw.transpose() * u_new)
              .norm() <= steep);
  }
}

TEST_CASE_TEMPLATE("the tolerance bounds what is discarded, and no rank is wasted", S,
                   TEST_SCALARS) {
  const LowRank<S> start = random_product<S>({30, 20, 12});
  const Dense<S> before = formed(start);
  for (const double tolerance : {0.5, 0.1, 0.02}) {
    CAPTURE(tolerance);
    LowRank<S> matrix = start;
    const auto report = matrix.truncate({.tolerance = tolerance});
    const double slack = rounding<S>(30, 20);
    CHECK((formed(matrix) - before).norm() <= (tolerance + slack) * before.norm());
    CHECK(best_error(before, report.rank_after - 1) > (tolerance - slack) * before.norm());
  }
  LowRank<S> limited = start;
  CHECK(limited.truncate({.max_rank = 2, .tolerance = 1e-3}).rank_after == 2);
  LowRank<S> floor = start;
  CHECK(floor.truncate({.tolerance = 1.0, .min_rank = 4}).rank_after == 4);
  LowRank<S> nothing = start;
  CHECK(nothing.truncate({.tolerance = 1.0}).rank_after == 0);
}

TEST_CASE_TEMPLATE("the default drops only what is zero within rounding", S, TEST_SCALARS) {
  Dense<S> u = Dense<S>::Random(15, 6);
  const Dense<S> v = Dense<S>::Random(11, 6);
  u.col(4) = u.col(0) + u.col(1);
  u.col(5).setZero();
  const Dense<S> before = u * v.transpose();
  LowRank<S> matrix = stored(u, v);
  const auto report = matrix.truncate({});
  CHECK(report.rank_after == 4);
  CHECK((formed(matrix) - before).norm() <= rounding<S>(15, 11) * before.norm());

  LowRank<S> padded = stored(u, v);
  CHECK(padded.truncate({.min_rank = 6}).rank_after == 6);
  CHECK(to_host(padded.U()).rightCols(2).isZero(S{0}));
  CHECK(to_host(padded.V()).rightCols(2).isZero(S{0}));
  CHECK((formed(padded) - before).norm() <= rounding<S>(15, 11) * before.norm());
}

TEST_CASE_TEMPLATE("zero and empty products", S, TEST_SCALARS) {
  LowRank<S> zero = stored(Dense<S>::Zero(6, 3), Dense<S>::Random(5, 3));
  const auto report = zero.truncate({});
  CHECK(report.rank_after == 0);
  CHECK(report.discarded_energy == 0);
  CHECK(report.basis.left.rows() == 3);
  CHECK(report.basis.left.cols() == 0);
  LowRank<S> empty(6, 5, 4);
  CHECK(empty.truncate({.max_rank = 2}).rank_after == 0);
  LowRank<S> kept = stored(Dense<S>::Zero(6, 3), Dense<S>::Random(5, 3));
  CHECK(kept.truncate({.min_rank = 2}).rank_after == 2);
  CHECK(formed(kept).isZero(S{0}));
  CHECK(to_host(kept.V()).isZero(S{0}));
}

TEST_CASE_TEMPLATE("truncate() of expressions", S, TEST_SCALARS) {
  const Dense<S> host_u = Dense<S>::Random(12, 5);
  const Dense<S> host_v = Dense<S>::Random(9, 5);
  const Dense<S> host_x = Dense<S>::Random(9, 7);
  const Stored<S> u = on_backend(host_u);
  const Stored<S> v = on_backend(host_v);
  const Stored<S> x = on_backend(host_x);
  const auto product = accrete::outer<TestBackend>(u, v) * x;
  const Dense<S> value = host_u * host_v.transpose() * host_x;
  const auto [low_rank, report] = accrete::truncate_with_report(product, {.max_rank = 3});
  CHECK(low_rank.rank() == 3);
  CHECK(report.rank_before == 5);
  const double slack = rounding<S>(12, 7) * static_cast<double>(value.norm());
  CHECK((formed(low_rank) - value).norm() <= best_error(value, 3) + slack);

  const Dense<S> host_base = Dense<S>::Random(12, 9);
  const Stored<S> base = on_backend(host_base);
  const Dense<S> sum = host_base + host_u * host_v.transpose();
  const auto [dense, dense_report] =
      accrete::truncate_with_report(base + accrete::outer<TestBackend>(u, v), {.max_rank = 4});
  CHECK(dense.rank() == 4);
  CHECK(dense_report.rank_before == 9);
  CHECK(dense_report.singular_values.size() == 9);
  CHECK(dense_report.basis.old_rank() == 0);
  CHECK((formed(dense) - sum).norm() <= best_error(sum, 4) + rounding<S>(12, 9) * sum.norm());
}

TEST_CASE_TEMPLATE("truncate() of an expression leaves its operands as they are", S, TEST_SCALARS) {
  Dense<S> host_u = Dense<S>::Random(40, 6);
  const Dense<S> host_v = Dense<S>::Random(33, 6);
  Stored<S> u = on_backend(host_u);
  const Stored<S> v = on_backend(host_v);
  const auto product = accrete::outer<TestBackend>(u, v);
  const auto [reported, report] = accrete::truncate_with_report(product, {.max_rank = 3});
  const LowRank<S> silent = accrete::truncate(product, {.max_rank = 3});
  LowRank<S> in_place = stored(host_u, host_v);
  in_place.truncate({.max_rank = 3});
  CHECK(to_host(u) == host_u);
  CHECK(to_host(v) == host_v);
  CHECK(to_host(silent.U()) == to_host(reported.U()));
  CHECK(to_host(silent.V()) == to_host(reported.V()));
  CHECK(formed(silent) == formed(in_place));
  const double slack =
      rounding<S>(40, 33) * report.singular_values[0] / std::sqrt(report.singular_values[2]);
  CHECK((host_u * report.basis.left - to_host(silent.U())).norm() <= slack);
  CHECK((host_v * report.basis.right - to_host(silent.V())).norm() <= slack);

  const LowRank<S> turned = accrete::truncate(product.transpose(), {.max_rank = 3});
  CHECK((formed(turned).transpose() - formed(silent)).norm() <=
        rounding<S>(40, 33) * formed(silent).norm());
  CHECK(accrete::truncate(product, {.max_rank = 0}).rank() == 0);
  const auto nothing = accrete::truncate_with_report(product, {.max_rank = 0});
  CHECK(nothing.matrix.rank() == 0);
  CHECK(nothing.report.basis.old_rank() == 6);
  CHECK(nothing.report.basis.new_rank() == 0);

  host_u(3, 2) = std::numeric_limits<S>::infinity();
  u = on_backend(host_u);
  CHECK_THROWS_WITH_AS((void)accrete::truncate_with_report(product, {.max_rank = 3}),
                       doctest::Contains("U: the 40 x 6"), NumericError);
  CHECK_THROWS_AS((void)accrete::truncate(product, {.max_rank = -1}), ArgumentError);
}

TEST_CASE_TEMPLATE("a CumulativeUpdate truncates its update and keeps its base", S, TEST_SCALARS) {
  const Dense<S> base = Dense<S>::Random(8, 6);
  accrete::CumulativeUpdate<S, TestBackend> matrix(on_backend(base), random_product<S>({8, 6, 5}));
  const auto report = matrix.truncate({.max_rank = 2});
  CHECK(report.rank_after == 2);
  CHECK(matrix.rank() == 2);
  CHECK(to_host(matrix.base()) == base);
}

TEST_CASE("options and operands outside their domain are refused, and nothing changes") {
  LowRank<double> matrix = random_product<double>({6, 5, 3});
  const Eigen::MatrixXd u = to_host(matrix.U());
  CHECK_THROWS_AS(matrix.truncate({.max_rank = -1}), ArgumentError);
  CHECK_THROWS_AS(matrix.truncate({.max_rank = 2, .min_rank = 3}), ArgumentError);
  CHECK_THROWS_AS(matrix.truncate({.tolerance = -0.1}), ArgumentError);
  CHECK_THROWS_AS(matrix.truncate({.tolerance = std::nan("")}), ArgumentError);
  Eigen::MatrixXd nan = to_host(matrix.V());
  nan(2, 1) = std::numeric_limits<double>::quiet_NaN();
  matrix.v_view() = operand(nan);
  CHECK_THROWS_WITH_AS(matrix.truncate({.max_rank = 1}), doctest::Contains("V: the 5 x 3"),
                       NumericError);
  CHECK(matrix.rank() == 3);
  CHECK(to_host(matrix.U()) == u);
  Stored<double> a = on_backend(Eigen::MatrixXd::Random(4, 2));
  Stored<double> b = on_backend(Eigen::MatrixXd::Random(4, 3));
  CHECK_THROWS_AS(accrete::detail::truncate_factors<TestBackend>(
                      Context<TestBackend>::current(), view_of(a), view_of(b), TruncationOptions{}),
                  ShapeError);
}

TEST_CASE_TEMPLATE("an absolute tolerance bounds the norm of what is discarded", S, TEST_SCALARS) {
  const LowRank<S> start = random_product<S>({30, 20, 12});
  const Dense<S> before = formed(start);
  const double norm = static_cast<double>(before.norm());
  for (const double absolute : {0.5 * norm, 0.1 * norm, 0.02 * norm}) {
    LowRank<S> matrix = start;
    const auto report = matrix.truncate({.absolute_tolerance = absolute});
    const double slack = rounding<S>(30, 20) * norm;
    CHECK((formed(matrix) - before).norm() <= absolute + slack);
    CHECK(best_error(before, report.rank_after - 1) > absolute - slack);
    // The larger of both tolerances counts.
    LowRank<S> looser = start;
    CHECK(looser.truncate({.tolerance = absolute / norm / 4, .absolute_tolerance = absolute})
              .rank_after == report.rank_after);
    LowRank<S> relative = start;
    LowRank<S> both = start;
    CHECK(relative.truncate({.tolerance = 0.3}).rank_after ==
          both.truncate({.tolerance = 0.3, .absolute_tolerance = 0.01 * norm}).rank_after);
  }
  LowRank<S> all = start;
  CHECK(all.truncate({.absolute_tolerance = std::numeric_limits<double>::infinity()}).rank_after ==
        0);
  LowRank<S> refused = start;
  CHECK_THROWS_AS(refused.truncate({.absolute_tolerance = -1}), ArgumentError);
  CHECK_THROWS_AS(refused.truncate({.absolute_tolerance = std::nan("")}), ArgumentError);
}

TEST_CASE("a spectrum that halves a hundred times is rounded to the tolerance") {
  // Singular values 2^-j, j = 1 ... 100. The discarded tail beyond rank r has the Frobenius norm
  // sqrt(Σ_{j>r} 4^-j) = 2^-r / sqrt(3), which is at most 2^-26, the sum of the values from 27 on
  // but for its last digit, from r = 26 on.
  Dense<double> u = Dense<double>::Identity(100, 100);
  for (Index j = 0; j < 100; ++j) {
    u(j, j) = std::ldexp(1.0, -static_cast<int>(j) - 1);
  }
  const LowRank<double> start = stored(u, Dense<double>::Identity(100, 100));
  double absolute = 0;
  for (Index j = 100; j >= 27; --j) {
    absolute += std::ldexp(1.0, -static_cast<int>(j));
  }
  const auto rounded = [&](const TruncationOptions& options) {
    LowRank<double> matrix = start;
    const auto report = matrix.truncate(options);
    const double discarded = std::sqrt(report.discarded_energy) * formed(start).norm();
    const double error = (formed(matrix) - formed(start)).norm();
    CHECK(std::abs(error - discarded) <= 2e-14); // what counts as zero
    return report.rank_after;
  };
  CHECK(rounded({.absolute_tolerance = absolute}) == 26);
  CHECK(rounded({.max_rank = 10, .absolute_tolerance = absolute}) == 10);
  CHECK(rounded({.absolute_tolerance = absolute, .min_rank = 35}) == 35);
  CHECK(rounded({.absolute_tolerance = absolute, .min_rank = 90}) == 90);
}

TEST_CASE_TEMPLATE("truncation does not depend on the unit of the entries", Scalar, TEST_SCALARS) {
  const Dense<Scalar> u = random_matrix<Scalar>(300, 6, 1);
  const Dense<Scalar> v = random_matrix<Scalar>(200, 6, 2);
  LowRank<Scalar> plain = stored(u, v);
  const auto expected = plain.truncate({.max_rank = 3});
  const int far = sizeof(Scalar) == 8 ? 530 : 73;
  const auto epsilon = static_cast<double>(std::numeric_limits<Scalar>::epsilon());
  for (const int exponent : {-far, far}) {
    CAPTURE(exponent);
    const Scalar unit = std::ldexp(Scalar{1}, exponent);
    LowRank<Scalar> scaled = stored(u * unit, v);
    const auto report = scaled.truncate({.max_rank = 3});
    CHECK(report.rank_after == 3);
    CHECK(report.discarded_energy ==
          doctest::Approx(expected.discarded_energy).epsilon(1000 * epsilon));
    for (Index j = 0; j < 6; ++j) {
      CHECK(report.singular_values[j] / static_cast<double>(unit) ==
            doctest::Approx(expected.singular_values[j]).epsilon(100 * epsilon));
    }
    const Exact value =
        exact(scaled.U()) * exact(scaled.V()).transpose() / static_cast<long double>(unit);
    CHECK((value - exact(plain.U()) * exact(plain.V()).transpose()).norm() <=
          1000 * epsilon * expected.singular_values[0]);
  }
}
