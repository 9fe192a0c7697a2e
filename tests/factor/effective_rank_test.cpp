// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/effective_rank.hpp>

#include <cmath>
#include <limits>
#include <span>
#include <vector>

using accrete::ArgumentError;
using accrete::entropy_rank;
using accrete::Index;
using accrete::LowRankMatrix;
using accrete::participation_rank;
using accrete::stable_rank;

TEST_CASE("equal values count each, whatever their scale") {
  for (const double scale : {1e-300, 1.0, 1e300}) {
    std::vector<double> values(7, 0.0);
    for (std::size_t k = 1; k <= 7; ++k) {
      values[k - 1] = scale;
      CHECK(entropy_rank(values) == doctest::Approx(static_cast<double>(k)));
      CHECK(stable_rank(values) == doctest::Approx(static_cast<double>(k)));
      CHECK(participation_rank(values) == doctest::Approx(static_cast<double>(k)));
    }
  }
}

TEST_CASE("values worked out by hand") {
  const std::vector<double> values{2, 1, 1};
  // p = 1/2, 1/4, 1/4: entropy 3/2 ln 2.
  CHECK(entropy_rank(values) == doctest::Approx(std::pow(2.0, 1.5)));
  CHECK(stable_rank(values) == doctest::Approx(6.0 / 4));
  CHECK(participation_rank(values) == doctest::Approx(36.0 / 18));
}

TEST_CASE("a vector of singular values is no matrix of one column") {
  const Eigen::MatrixXd identity = Eigen::MatrixXd::Identity(6, 6);
  const auto svd = accrete::svd(operand(identity));
  CHECK(stable_rank(svd.singular_values) == doctest::Approx(6));
  CHECK(entropy_rank(svd.singular_values) == doctest::Approx(6));
  CHECK(participation_rank(svd.singular_values) == doctest::Approx(6));
  CHECK(stable_rank(accrete::singular_values(operand(identity))) == doctest::Approx(6));

  const Eigen::JacobiSVD<Eigen::MatrixXf> eigens(Eigen::MatrixXf::Identity(6, 6));
  CHECK(stable_rank(eigens.singularValues()) == doctest::Approx(6));
  CHECK(entropy_rank(2 * svd.singular_values.head(4)) == doctest::Approx(4));
  CHECK(participation_rank(Eigen::RowVectorXd::Ones(5)) == doctest::Approx(5));
  const std::span<const double> span = svd.singular_values;
  CHECK(stable_rank(span) == doctest::Approx(6));
  CHECK(accrete::rank_by::tail_norm(0.5)(svd.singular_values) ==
        accrete::rank_by::tail_norm(0.5)(std::vector<double>(6, 1.0)));
}

TEST_CASE("no values and zeros give zero") {
  const std::vector<double> none;
  const std::vector<double> zeros(3, 0.0);
  for (const auto& values : {none, zeros}) {
    CHECK(entropy_rank(values) == 0);
    CHECK(stable_rank(values) == 0);
    CHECK(participation_rank(values) == 0);
  }
}

TEST_CASE_TEMPLATE("effective ranks of matrices and low-rank matrices", S, TEST_SCALARS) {
  const Dense<S> diagonal = Eigen::Vector3d(1, 2, 1).asDiagonal().toDenseMatrix().cast<S>();
  Dense<S> u = Dense<S>::Zero(8, 3);
  Dense<S> v = Dense<S>::Zero(6, 3);
  u.bottomRows(3) = diagonal;
  v.topRows(3).setIdentity();
  const LowRankMatrix<S, TestBackend> matrix(on_backend(u), on_backend(v));
  const auto near = doctest::Approx(std::pow(2.0, 1.5)).epsilon(1e-5);
  CHECK(entropy_rank(operand(diagonal)) == near);
  CHECK(entropy_rank(matrix) == near);
  CHECK(entropy_rank(S{3} * matrix) == near);
  CHECK(stable_rank(matrix) == doctest::Approx(1.5).epsilon(1e-5));
  CHECK(participation_rank(matrix) == doctest::Approx(2.0).epsilon(1e-5));
}

TEST_CASE("effective ranks refuse what is no spectrum") {
  const std::vector<double> negative{1, -1};
  const std::vector<double> nan{1, std::nan("")};
  const std::vector<double> infinite{std::numeric_limits<double>::infinity()};
  for (const auto& values : {negative, nan, infinite}) {
    CHECK_THROWS_AS((void)entropy_rank(values), ArgumentError);
    CHECK_THROWS_AS((void)stable_rank(values), ArgumentError);
    CHECK_THROWS_AS((void)participation_rank(values), ArgumentError);
  }
}
