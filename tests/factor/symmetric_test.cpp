// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/symmetric.hpp>

#include <cmath>
#include <limits>

using accrete::ArgumentError;
using accrete::Index;
using accrete::inverse_sqrt;
using accrete::lazy;
using accrete::NumericError;
using accrete::ShapeError;
using accrete::to_host;
using accrete::transpose;
using accrete::truncated_eigen;

namespace {

template <class S>
constexpr double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());

Eigen::MatrixXd orthogonal(Index k) {
  return Eigen::HouseholderQR<Eigen::MatrixXd>(random_matrix<double>(k, k, 11)).householderQ() *
         Eigen::MatrixXd::Identity(k, k);
}

template <class S>
Dense<S> with_eigenvalues(const Eigen::VectorXd& values) {
  const Eigen::MatrixXd q = orthogonal(values.size());
  return (q * values.asDiagonal() * q.transpose()).cast<S>();
}

template <class S, class Result>
Dense<S> value_of(const Result& result) {
  const Dense<S> vectors = to_host(result.vectors);
  return vectors * result.values.asDiagonal() * vectors.transpose();
}

} // namespace

TEST_CASE_TEMPLATE("truncated_eigen keeps the values of largest magnitude", S, TEST_SCALARS) {
  const Eigen::VectorXd values{{0.5, -4, 0.25, 3, -2, 1}};
  const Dense<S> a = with_eigenvalues<S>(values);
  const double expected[] = {-4, 3, -2, 1, 0.5, 0.25};
  const double slack = 100 * epsilon<S>;
  for (Index rank = 0; rank <= 6; ++rank) {
    CAPTURE(rank);
    const auto result = truncated_eigen(operand(a), {.max_rank = rank});
    REQUIRE(result.values.size() == rank);
    REQUIRE(result.vectors.cols() == rank);
    double tail = 0;
    for (Index j = 0; j < 6; ++j) {
      if (j < rank) {
        CHECK(std::abs(static_cast<double>(result.values(j)) - expected[j]) <= slack);
      } else {
        tail += expected[j] * expected[j];
      }
    }
    const Dense<S> vectors = to_host(result.vectors);
    CHECK((vectors.transpose() * vectors - Dense<S>::Identity(rank, rank)).norm() <= slack);
    CHECK(std::abs(static_cast<double>((value_of<S>(result) - a).norm()) - std::sqrt(tail)) <=
          slack);
    CHECK(std::abs(result.discarded_energy - tail / values.squaredNorm()) <= slack);
  }
  // 1, 0.5 and 0.25 have the norm 1.146 of 5.506.
  CHECK(truncated_eigen(operand(a), {.tolerance = 0.209}).values.size() == 3);
  CHECK(truncated_eigen(operand(a), {.tolerance = 0.207}).values.size() == 4);
}

TEST_CASE_TEMPLATE("truncated_eigen drops what is zero within rounding", S, TEST_SCALARS) {
  const Dense<S> host = random_matrix<S>(9, 3, 1);
  const Dense<S> gram = host * host.transpose();
  const Stored<S> v = on_backend(host);
  const auto result = truncated_eigen(lazy<TestBackend>(v) * transpose(v), {});
  CHECK(result.values.size() == 3);
  CHECK((value_of<S>(result) - gram).norm() <= 100 * epsilon<S> * gram.norm());
  const Dense<S> zero = Dense<S>::Zero(4, 4);
  CHECK(truncated_eigen(operand(zero), {}).values.size() == 0);
  const Dense<S> empty(0, 0);
  CHECK(truncated_eigen(operand(empty), {}).values.size() == 0);
}

TEST_CASE_TEMPLATE("inverse_sqrt whitens", S, TEST_SCALARS) {
  const Dense<S> host = random_matrix<S>(40, 5, 2);
  const Stored<S> v = on_backend(host);
  const Dense<S> root = to_host(inverse_sqrt(lazy<TestBackend>(v).transpose() * v));
  const Dense<S> white = host * root;
  CHECK((white.transpose() * white - Dense<S>::Identity(5, 5)).norm() <= 200 * epsilon<S>);
  CHECK((root - root.transpose()).norm() <= 20 * epsilon<S> * root.norm());

  const Eigen::VectorXd values{{4, 1, 0.5, 0, 0}};
  const Dense<S> singular = with_eigenvalues<S>(values);
  const Dense<S> damped = to_host(inverse_sqrt(operand(singular), 0.25));
  const Eigen::MatrixXd q = orthogonal(5);
  const Eigen::VectorXd roots = (values.array() + 0.25).rsqrt();
  const Eigen::MatrixXd expected = q * roots.asDiagonal() * q.transpose();
  CHECK((damped.template cast<double>() - expected).norm() <= 200 * epsilon<S> * expected.norm());
  CHECK(inverse_sqrt(operand(Dense<S>(0, 0))).size() == 0);
}

TEST_CASE_TEMPLATE("matrices that have no inverse square root are refused", S, TEST_SCALARS) {
  const Dense<S> singular = with_eigenvalues<S>(Eigen::VectorXd{{4, 1, 0.5, 0, 0}});
  const Dense<S> indefinite = with_eigenvalues<S>(Eigen::VectorXd{{4, 1, -1}});
  const Dense<S> zero = Dense<S>::Zero(3, 3);
  CHECK_THROWS_AS((void)inverse_sqrt(operand(singular)), NumericError);
  Dense<S> rounded = Dense<S>::Identity(3, 3);
  rounded(2, 2) = std::numeric_limits<S>::epsilon() / 4; // positive, and nothing but rounding
  CHECK_THROWS_AS((void)inverse_sqrt(operand(rounded)), NumericError);
  CHECK_THROWS_AS((void)inverse_sqrt(operand(indefinite), 0.5), NumericError);
  CHECK_NOTHROW((void)inverse_sqrt(operand(indefinite), 1.5));
  CHECK_THROWS_AS((void)inverse_sqrt(operand(zero)), NumericError);
  CHECK_THROWS_AS((void)inverse_sqrt(operand(singular), -0.5), ArgumentError);
  CHECK_THROWS_AS((void)inverse_sqrt(operand(singular), std::nan("")), ArgumentError);
}

TEST_CASE("symmetric functions refuse other shapes and NaN") {
  const Eigen::MatrixXd wide = random_matrix<double>(3, 5, 1);
  CHECK_THROWS_AS((void)truncated_eigen(operand(wide), {}), ShapeError);
  CHECK_THROWS_AS((void)inverse_sqrt(operand(wide)), ShapeError);
  Eigen::MatrixXd nan = Eigen::MatrixXd::Identity(4, 4);
  CHECK_THROWS_AS((void)truncated_eigen(operand(nan), {.max_rank = -1}), ArgumentError);
  nan(2, 2) = std::nan("");
  CHECK_THROWS_AS((void)truncated_eigen(operand(nan), {}), NumericError);
  CHECK_THROWS_AS((void)inverse_sqrt(operand(nan), 1.0), NumericError);
}
