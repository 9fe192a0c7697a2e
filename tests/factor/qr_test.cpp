// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/qr.hpp>

#include <cmath>
#include <limits>

using accrete::Index;
using accrete::NumericError;
using accrete::QrMethod;
using accrete::ShapeError;
using accrete::thin_qr;
using accrete::to_host;

namespace {

struct Shape {
  Index rows;
  Index cols;
};

constexpr QrMethod methods[] = {QrMethod::automatic, QrMethod::householder, QrMethod::cholesky};

template <class S>
constexpr double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());

template <class S, class Result>
void check(const Result& result, const Dense<S>& a) {
  const Index k = a.cols();
  const double slack =
      20 * epsilon<S> * std::sqrt(static_cast<double>(std::max<Index>(a.rows() * k, 1)));
  const Eigen::MatrixXd q = to_host(result.Q).template cast<double>();
  const Eigen::MatrixXd r = to_host(result.R).template cast<double>();
  const Eigen::MatrixXd expected = a.template cast<double>();
  CHECK((q.transpose() * q - Eigen::MatrixXd::Identity(k, k)).norm() <= slack);
  CHECK((q * r - expected).stableNorm() <= slack * expected.stableNorm());
  CHECK(Eigen::MatrixXd(r.triangularView<Eigen::StrictlyLower>()).isZero(0));
}

/// Condition number 10^digits, spread evenly.
template <class S>
Dense<S> ill_conditioned(Index rows, Index cols, double digits) {
  const auto orthonormal = [](Index m, Index n, unsigned seed) -> Eigen::MatrixXd {
    return Eigen::HouseholderQR<Eigen::MatrixXd>(random_matrix<double>(m, n, seed)).householderQ() *
           Eigen::MatrixXd::Identity(m, n);
  };
  Eigen::VectorXd values(cols);
  for (Index j = 0; j < cols; ++j) {
    values(j) = std::pow(10.0, -digits * static_cast<double>(j) / static_cast<double>(cols - 1));
  }
  return (orthonormal(rows, cols, 1) * values.asDiagonal() * orthonormal(cols, cols, 2).transpose())
      .template cast<S>();
}

} // namespace

TEST_CASE_TEMPLATE("thin_qr of a matrix and of an expression", S, TEST_SCALARS) {
  const Dense<S> a = random_matrix<S>(9, 4, 1);
  const Dense<S> b = random_matrix<S>(4, 4, 2);
  for (const QrMethod method : methods) {
    check<S>(thin_qr(operand(a), method), a);
    check<S>(thin_qr(operand(a) * on_backend(b), method), a * b);
  }
  for (const Shape& shape :
       {Shape{1, 1}, Shape{5, 5}, Shape{70, 33}, Shape{600, 40}, Shape{300, 97}, Shape{7, 0}}) {
    const Index rows = shape.rows;
    const Index cols = shape.cols;
    CAPTURE(rows);
    const Dense<S> c = random_matrix<S>(rows, cols, 3);
    for (const QrMethod method : methods) {
      check<S>(thin_qr(operand(c), method), c);
    }
  }
}

TEST_CASE_TEMPLATE("no method loses orthogonality on ill-conditioned matrices", S, TEST_SCALARS) {
  for (const double digits : {0.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0, 12.0, 16.0}) {
    CAPTURE(digits);
    const Dense<S> a = ill_conditioned<S>(300, 12, digits);
    for (const QrMethod method : methods) {
      check<S>(thin_qr(operand(a), method), a);
    }
  }
}

TEST_CASE_TEMPLATE("columns of very different length keep their digits", S, TEST_SCALARS) {
  Dense<S> a = random_matrix<S>(200, 6, 4);
  for (Index j = 0; j < 6; ++j) {
    a.col(j) *= static_cast<S>(std::pow(10.0, 2 * j - 5));
  }
  for (const QrMethod method : methods) {
    const auto result = thin_qr(operand(a), method);
    check<S>(result, a);
    for (Index j = 0; j < 6; ++j) {
      const Eigen::VectorXd column = a.col(j).template cast<double>();
      const Eigen::VectorXd back = to_host(result.Q).template cast<double>() *
                                   to_host(result.R).col(j).template cast<double>();
      CHECK((back - column).norm() <= 100 * epsilon<S> * column.norm());
    }
  }
}

TEST_CASE_TEMPLATE("Q is orthonormal where the operand is rank deficient", S, TEST_SCALARS) {
  Dense<S> repeated = random_matrix<S>(60, 5, 5);
  repeated.col(3) = repeated.col(1);
  Dense<S> with_zero = random_matrix<S>(60, 5, 6);
  with_zero.col(2).setZero();
  const Dense<S> product = random_matrix<S>(60, 3, 7) * random_matrix<S>(3, 8, 8);
  const Dense<S> zero = Dense<S>::Zero(60, 4);
  for (const Dense<S>& a : {repeated, with_zero, product, zero}) {
    for (const QrMethod method : methods) {
      check<S>(thin_qr(operand(a), method), a);
    }
  }
}

TEST_CASE_TEMPLATE("pivots that are positive by rounding alone are noticed", S, TEST_SCALARS) {
  for (const Index k : {4, 10, 20}) {
    for (unsigned seed = 0; seed < 40; ++seed) {
      CAPTURE(k);
      CAPTURE(seed);
      const Dense<S> a = random_matrix<S>(99, k - 1, seed) * random_matrix<S>(k - 1, k, seed + 50);
      check<S>(thin_qr(operand(a), QrMethod::cholesky), a);
    }
  }
}

TEST_CASE_TEMPLATE("very large and very small entries", S, TEST_SCALARS) {
  const bool is_double = std::is_same_v<S, double>;
  for (const double exponent : {-150.0, -30.0, 30.0, 150.0}) {
    if (std::abs(exponent) > 100 && !is_double) {
      continue;
    }
    CAPTURE(exponent);
    const Dense<S> a =
        (random_matrix<double>(150, 7, 9) * std::pow(10.0, exponent)).template cast<S>();
    for (const QrMethod method : methods) {
      check<S>(thin_qr(operand(a), method), a);
    }
  }
}

TEST_CASE_TEMPLATE("CholeskyQR2 is taken where it is safe and only there", S, TEST_SCALARS) {
  auto& device = accrete::Context<TestBackend>::current().device();
  const auto taken = [&](const Dense<S>& a) {
    const Stored<S> stored = on_backend(a);
    accrete::detail::QrFactors<S, TestBackend> factors;
    accrete::detail::Frame<TestBackend> frame(device.workspace());
    return accrete::detail::cholesky_qr2<TestBackend, S>(device, frame, accrete::view_of(stored),
                                                         factors);
  };
  const double digits = -std::log10(epsilon<S>);
  CHECK(taken(ill_conditioned<S>(300, 12, 0.3 * digits)));
  CHECK_FALSE(taken(ill_conditioned<S>(300, 12, 0.7 * digits)));
  // The squares of the entries need not be representable, the reciprocals of the lengths have to.
  const S far = std::is_same_v<S, double> ? S(1e-100) : S(1e-15);
  CHECK(taken(ill_conditioned<S>(300, 12, 1.0) * far));
  CHECK(taken(ill_conditioned<S>(300, 12, 1.0) / far));
  CHECK(taken(ill_conditioned<S>(300, 12, 1.0) * far * far));
  CHECK_FALSE(taken(ill_conditioned<S>(300, 12, 1.0) * std::numeric_limits<S>::min() / 64));
  CHECK_FALSE(taken(Dense<S>::Zero(10, 3)));
  // What is measured to be faster; `automatic` takes reflections for all else.
  const auto faster = [](Index rows, Index cols) {
    return accrete::detail::cholesky_is_faster(accrete::View<S>{nullptr, rows, cols, rows});
  };
  CHECK(faster(3072, 64));
  CHECK_FALSE(faster(128, 128));
  CHECK(faster(12, 4));
  CHECK_FALSE(faster(11, 4));
}

TEST_CASE("thin_qr refuses wide matrices and NaN") {
  const Eigen::MatrixXd wide = random_matrix<double>(3, 5, 1);
  Eigen::MatrixXd nan = random_matrix<double>(8, 3, 2);
  nan(4, 1) = std::nan("");
  Eigen::MatrixXd infinite = random_matrix<double>(8, 3, 2);
  infinite(7, 2) = std::numeric_limits<double>::infinity();
  for (const QrMethod method : methods) {
    CHECK_THROWS_AS((void)thin_qr(operand(wide), method), ShapeError);
    CHECK_THROWS_AS((void)thin_qr(operand(nan), method), NumericError);
    CHECK_THROWS_AS((void)thin_qr(operand(infinite), method), NumericError);
  }
}

TEST_CASE_TEMPLATE("Q is orthonormal where squares leave the range of the scalar", S,
                   TEST_SCALARS) {
  // Subnormal or no squares, infinite ones; then the columns far apart from each other.
  const int far = sizeof(S) == 8 ? 530 : 73;
  for (const QrMethod method : methods) {
    for (const Index cols : {1, 4}) {
      for (const int exponent : {-far, -far * 5 / 6, far}) {
        CAPTURE(cols);
        CAPTURE(exponent);
        Dense<S> a = random_matrix<S>(300, cols, 1) * std::ldexp(S{1}, exponent);
        check(thin_qr(operand(a), method), a);
        a.col(0) = random_matrix<S>(300, 1, 2);
        check(thin_qr(operand(a), method), a);
      }
    }
  }
  const Dense<S> constant = Dense<S>::Constant(300, 1, std::ldexp(S{1}, -far));
  const auto result = thin_qr(operand(constant));
  CHECK(std::abs(static_cast<double>(to_host(result.Q).norm()) - 1) <= 300 * epsilon<S>);
}
