// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/norms.hpp>

#include <cmath>
#include <limits>

using accrete::Context;
using accrete::frobenius_norm;
using accrete::Index;
using accrete::inner_product;
using accrete::lazy;
using accrete::LowRankMatrix;
using accrete::nuclear_norm;
using accrete::NumericError;
using accrete::outer;
using accrete::ScopedContext;
using accrete::ShapeError;
using accrete::spectral_norm;
using accrete::to_host;

namespace {

template <class S>
constexpr double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());

template <class S>
LowRankMatrix<S, TestBackend> low_rank(Index rows, Index cols, Index rank, unsigned seed) {
  return {on_backend(random_matrix<S>(rows, rank, seed)),
          on_backend(random_matrix<S>(cols, rank, seed + 100))};
}

template <class S>
Eigen::MatrixXd formed(const LowRankMatrix<S, TestBackend>& a) {
  return (exact(a.U()) * exact(a.V()).transpose()).template cast<double>();
}

double near(double value, double expected, double bound) {
  CHECK(std::abs(value - expected) <= bound);
  return value;
}

} // namespace

TEST_CASE_TEMPLATE("norms of low-rank matrices are those of the formed matrix", S, TEST_SCALARS) {
  for (const Index rank : {1, 5, 12}) { // 12 exceeds the smaller side
    CAPTURE(rank);
    const auto a = low_rank<S>(15, 9, rank, 1);
    const Eigen::VectorXd values = Eigen::JacobiSVD<Eigen::MatrixXd>(formed(a)).singularValues();
    const double bound = 100 * epsilon<S> * values.norm();
    near(frobenius_norm(a), values.norm(), bound);
    near(spectral_norm(a), values(0), bound);
    near(nuclear_norm(a), values.sum(), 3 * bound);
    const Stored<S> dense = on_backend(formed(a).template cast<S>());
    near(frobenius_norm(lazy<TestBackend>(dense)), values.norm(), bound);
    near(frobenius_norm(S{2} * lazy<TestBackend>(dense) + a), 3 * values.norm(), 3 * bound);
    near(spectral_norm(lazy<TestBackend>(dense)), values(0), bound);
    near(nuclear_norm(lazy<TestBackend>(dense)), values.sum(), 3 * bound);
    near(frobenius_norm(S{3} * a.transpose() - a.transpose()), 2 * values.norm(), 3 * bound);
  }
}

TEST_CASE_TEMPLATE("empty and zero matrices have norm zero", S, TEST_SCALARS) {
  const LowRankMatrix<S, TestBackend> empty(7, 5);
  CHECK(frobenius_norm(empty) == 0);
  CHECK(spectral_norm(empty) == 0);
  CHECK(nuclear_norm(empty) == 0);
  CHECK(inner_product(empty, empty) == 0);
  const LowRankMatrix<S, TestBackend> zero(on_backend(Dense<S>::Zero(7, 2)),
                                           on_backend(random_matrix<S>(5, 2, 1)));
  CHECK(frobenius_norm(zero) == 0);
  CHECK(nuclear_norm(zero) == 0);
  CHECK(frobenius_norm(operand(Dense<S>(0, 4))) == 0);
}

TEST_CASE_TEMPLATE("the norm of a difference keeps its digits", S, TEST_SCALARS) {
  // A and B differ by delta in one direction; from Gram matrices the result would be noise of the
  // size sqrt(epsilon) ‖A‖, or NaN.
  const Dense<S> u = random_matrix<S>(40, 3, 1);
  const Dense<S> v = random_matrix<S>(30, 3, 2);
  const auto delta = static_cast<S>(std::pow(epsilon<S>, 0.75));
  Dense<S> moved = v;
  moved.col(1) *= S{1} + delta;
  const Eigen::VectorXd step = (moved.col(1) - v.col(1)).template cast<double>();
  const double expected = u.col(1).template cast<double>().norm() * step.norm();
  const Stored<S> left = on_backend(u);
  const auto start = outer<TestBackend>(left, on_backend(v));
  const auto difference = outer<TestBackend>(left, on_backend(moved)) - start;
  const double norm = u.norm() * v.norm();
  CHECK(std::abs(frobenius_norm(difference) - expected) <= 20 * epsilon<S> * norm);
  CHECK(frobenius_norm(start - start) <= 20 * epsilon<S> * norm);
}

TEST_CASE_TEMPLATE("norms of very large and very small entries", S, TEST_SCALARS) {
  const bool is_double = std::is_same_v<S, double>;
  const double far = is_double ? 0x1p500 : 0x1p60;
  for (const double scale : {far, 1 / far}) {
    const Dense<S> base = random_matrix<S>(12, 7, 3);
    const Stored<S> a = on_backend(base * static_cast<S>(scale));
    const double expected = base.template cast<double>().norm();
    near(frobenius_norm(lazy<TestBackend>(a)) / scale, expected, 50 * epsilon<S> * expected);
    near(frobenius_norm(outer<TestBackend>(a, on_backend(Dense<S>::Identity(7, 7)))) / scale,
         expected, 50 * epsilon<S> * expected);
  }
  if (is_double) {
    const Eigen::MatrixXd huge = Eigen::MatrixXd::Constant(3, 3, 1e300);
    const Eigen::MatrixXd tiny = Eigen::MatrixXd::Constant(3, 3, 1e-300);
    near(frobenius_norm(operand(huge)) / 1e300, 3, 1e-14);
    near(frobenius_norm(operand(tiny)) / 1e-300, 3, 1e-14);
  }
}

TEST_CASE_TEMPLATE("inner products of low-rank matrices, with each other and with others", S,
                   TEST_SCALARS) {
  const auto a = low_rank<S>(15, 9, 4, 1);
  const auto b = low_rank<S>(15, 9, 3, 2);
  const Stored<S> c = on_backend(random_matrix<S>(15, 9, 3));
  const Eigen::MatrixXd dense = to_host(c).template cast<double>();
  const double bound = 100 * epsilon<S> * formed(a).norm() * formed(b).norm();
  const double expected = formed(a).cwiseProduct(formed(b)).sum();
  near(inner_product(a, b), expected, bound);
  near(inner_product(b, a), expected, bound);
  near(inner_product(S{2} * a, b - a), 2 * expected - 2 * formed(a).squaredNorm(), 20 * bound);
  near(inner_product(a, c), formed(a).cwiseProduct(dense).sum(), bound);
  near(inner_product(lazy<TestBackend>(c), a), formed(a).cwiseProduct(dense).sum(), bound);
  CHECK_THROWS_AS((void)inner_product(a, b.transpose()), ShapeError);
}

TEST_CASE_TEMPLATE("the trace of a square low-rank matrix", S, TEST_SCALARS) {
  const auto a = low_rank<S>(11, 11, 3, 1);
  near(accrete::trace(a), formed(a).trace(), 100 * epsilon<S> * formed(a).norm());
  near(accrete::trace(S{2} * a + a.transpose()), 3 * formed(a).trace(),
       300 * epsilon<S> * formed(a).norm());
  CHECK(accrete::trace(LowRankMatrix<S, TestBackend>(4, 4)) == 0);
  CHECK_THROWS_AS((void)accrete::trace(low_rank<S>(4, 5, 2, 1)), ShapeError);
}

TEST_CASE_TEMPLATE("norms and inner products form nothing", S, TEST_SCALARS) {
  const Index m = 1500;
  const Index n = 1200;
  Context<TestBackend> context;
  const ScopedContext<TestBackend> use(context);
  const auto a = low_rank<S>(m, n, 3, 1);
  const auto b = low_rank<S>(m, n, 4, 2);
  (void)frobenius_norm(a - b);
  (void)spectral_norm(a);
  (void)nuclear_norm(S{2} * a);
  (void)inner_product(a, b);
  (void)inner_product(a + b, b);
  CHECK(context.device().workspace().capacity() < std::size_t(m * n) * sizeof(S) / 8);
}

TEST_CASE("norms refuse NaN and infinity") {
  Eigen::MatrixXd entries = random_matrix<double>(6, 2, 1);
  const Stored<double> v = on_backend(random_matrix<double>(5, 2, 2));
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    entries(3, 1) = bad;
    const Stored<double> u = on_backend(entries);
    CHECK_THROWS_AS((void)frobenius_norm(outer<TestBackend>(u, v)), NumericError);
    CHECK_THROWS_AS((void)spectral_norm(outer<TestBackend>(v, u)), NumericError);
    CHECK_THROWS_AS((void)nuclear_norm(outer<TestBackend>(u, v)), NumericError);
    CHECK_THROWS_AS((void)frobenius_norm(lazy<TestBackend>(u)), NumericError);
  }
}
