// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/polar.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

using accrete::Context;
using accrete::Index;
using accrete::NumericError;
using accrete::polar_factor;
using accrete::PolarMethod;
using accrete::ScopedContext;
using accrete::to_host;

namespace {

struct Shape {
  Index rows;
  Index cols;
};

template <class S>
constexpr double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());

Eigen::MatrixXd orthonormal(Index rows, Index cols, unsigned seed) {
  return Eigen::HouseholderQR<Eigen::MatrixXd>(random_matrix<double>(rows, cols, seed))
             .householderQ() *
         Eigen::MatrixXd::Identity(rows, cols);
}

/// A matrix of condition number 10^digits and its polar factor.
struct Planted {
  Eigen::MatrixXd value;
  Eigen::MatrixXd factor;
};
Planted planted(Index rows, Index cols, double digits) {
  const Index count = std::min(rows, cols);
  const Eigen::MatrixXd u = orthonormal(rows, count, 1);
  const Eigen::MatrixXd v = orthonormal(cols, count, 2);
  const Eigen::VectorXd values = Eigen::VectorXd::NullaryExpr(count, [&](Index j) {
    return std::pow(10.0, -digits * static_cast<double>(j) / double(std::max<Index>(count - 1, 1)));
  });
  return {u * values.asDiagonal() * v.transpose(), u * v.transpose()};
}

template <class S>
double departure(const Dense<S>& q) {
  Eigen::MatrixXd x = q.template cast<double>();
  if (x.rows() < x.cols()) {
    x.transposeInPlace();
  }
  const Index n = x.cols();
  const Eigen::MatrixXd gram = x.transpose() * x;
  return (gram - Eigen::MatrixXd::Identity(n, n)).norm();
}

} // namespace

TEST_CASE_TEMPLATE("the polar factor is orthogonal and the nearest", S, TEST_SCALARS) {
  for (const Shape& shape :
       {Shape{12, 12}, Shape{40, 8}, Shape{8, 40}, Shape{1, 5}, Shape{5, 1}, Shape{90, 65}}) {
    const Index rows = shape.rows;
    const Index cols = shape.cols;
    CAPTURE(rows);
    CAPTURE(cols);
    for (const double digits : {0.0, 1.0, 3.0}) {
      CAPTURE(digits);
      const Planted a = planted(rows, cols, digits);
      const Dense<S> value = a.value.cast<S>();
      const Dense<S> q = to_host(polar_factor(operand(value)));
      const double size = std::sqrt(static_cast<double>(std::min(rows, cols)));
      CHECK(departure<S>(q) <= 10 * epsilon<S> * size);
      // The factor moves by the rounding of A over the smallest singular value.
      CHECK((q.template cast<double>() - a.factor).norm() <=
            20 * epsilon<S> * size * std::pow(10.0, digits));
    }
  }
}

TEST_CASE("ill-conditioned matrices take more steps and end orthogonal") {
  for (const double digits : {6.0, 9.0, 12.0}) {
    CAPTURE(digits);
    const Planted a = planted(20, 10, digits);
    const Eigen::MatrixXd q = to_host(polar_factor(operand(a.value)));
    CHECK(departure<double>(q) <= 100 * epsilon<double>);
    CHECK((q - a.factor).norm() <= 100 * epsilon<double> * std::pow(10.0, digits));
    // A = q h with h symmetric and positive semi-definite.
    const Eigen::MatrixXd h = q.transpose() * a.value;
    CHECK((h - h.transpose()).norm() <= 100 * epsilon<double>);
  }
}

TEST_CASE_TEMPLATE("zero columns stay zero, and so does a zero matrix", S, TEST_SCALARS) {
  const Dense<S> zero = Dense<S>::Zero(6, 4);
  CHECK(to_host(polar_factor(operand(zero))).isZero(S{0}));
  CHECK(to_host(polar_factor(operand(zero), {.method = PolarMethod::muon})).isZero(S{0}));
  CHECK(polar_factor(operand(Dense<S>(4, 0))).size() == 0);
  Dense<S> a = random_matrix<S>(20, 5, 3);
  a.col(2).setZero();
  const Dense<S> q = to_host(polar_factor(operand(a)));
  CHECK(q.col(2).isZero(S{0}));
  const Dense<S> gram = q.transpose() * q;
  CHECK((gram * gram - gram).norm() <= 50 * epsilon<S>);
  CHECK(std::abs(static_cast<double>(gram.trace()) - 4) <= 50 * epsilon<S>);
}

TEST_CASE_TEMPLATE("the polar factor does not depend on the scale", S, TEST_SCALARS) {
  const Planted a = planted(15, 6, 1);
  const double most = std::is_same_v<S, double> ? 300 : 36;
  for (const double exponent : {-most - 1, -0.6 * most, 0.6 * most, most}) {
    CAPTURE(exponent);
    const Dense<S> value = (a.value * std::pow(10.0, exponent)).template cast<S>();
    const Dense<S> q = to_host(polar_factor(operand(value)));
    CHECK((q.template cast<double>() - a.factor).norm() <= 2000 * epsilon<S>);
  }
}

TEST_CASE_TEMPLATE("the iteration works in the smaller dimension", S, TEST_SCALARS) {
  const Index n = 600;
  const Dense<S> a = random_matrix<S>(4, n, 1);
  Context<TestBackend> context;
  const ScopedContext<TestBackend> use(context);
  CHECK(departure<S>(to_host(polar_factor(operand(a)))) <= 20 * epsilon<S>);
  CHECK(context.device().workspace().capacity() < std::size_t(n * n) * sizeof(S) / 2);
}

TEST_CASE_TEMPLATE("the polar factor of an expression", S, TEST_SCALARS) {
  const Dense<S> x = random_matrix<S>(15, 4, 1);
  const Dense<S> y = random_matrix<S>(4, 4, 2);
  const Dense<S> direct = to_host(polar_factor(operand(x * y)));
  const Dense<S> lazily = to_host(polar_factor(operand(x) * on_backend(y)));
  CHECK((lazily - direct).norm() <= 2000 * epsilon<S>);
}

TEST_CASE_TEMPLATE("five steps of Muon bring singular values near one", S, TEST_SCALARS) {
  for (const Shape& shape : {Shape{30, 12}, Shape{12, 30}}) {
    const Index rows = shape.rows;
    const Index cols = shape.cols;
    const Planted a = planted(rows, cols, 1.5);
    const Dense<S> value = a.value.cast<S>();
    const Dense<S> q = to_host(polar_factor(operand(value), {.method = PolarMethod::muon}));
    const Eigen::VectorXd values =
        Eigen::JacobiSVD<Eigen::MatrixXd>(q.template cast<double>()).singularValues();
    // The scalar iteration on each singular value gives the same numbers.
    Eigen::VectorXd expected =
        Eigen::JacobiSVD<Eigen::MatrixXd>(a.value).singularValues() / a.value.norm();
    for (int step = 0; step < 5; ++step) {
      expected = expected.unaryExpr(
          [](double t) { return t * (3.4445 + t * t * (-4.7750 + t * t * 2.0315)); });
    }
    std::sort(expected.data(), expected.data() + expected.size(), std::greater<>());
    CHECK((values - expected).norm() <= 5000 * epsilon<S>);
    CHECK(values.minCoeff() > 0.65);
    CHECK(values.maxCoeff() < 1.25);
    // The singular vectors are those of the operand.
    const Eigen::MatrixXd h = a.value.transpose() * q.template cast<double>();
    CHECK((h - h.transpose()).norm() <= 5000 * epsilon<S>);
  }
}

TEST_CASE("polar_factor refuses NaN and infinity") {
  Eigen::MatrixXd a = random_matrix<double>(5, 3, 1);
  a(1, 1) = std::nan("");
  CHECK_THROWS_AS((void)polar_factor(operand(a)), NumericError);
  a(1, 1) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS((void)polar_factor(operand(a)), NumericError);
}
