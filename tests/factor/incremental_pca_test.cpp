// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/factor/incremental_pca.hpp>

#include <Eigen/SVD>
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

using accrete::Index;
using accrete::to_host;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using Pca = accrete::IncrementalPCA<S, TestBackend>;

/// Samples far from the origin, so that a wrong mean shows.
template <class S>
Mat<S> samples(Index features, Index count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  Eigen::MatrixXd x =
      Eigen::MatrixXd::NullaryExpr(features, count, [&] { return normal(generator); });
  for (Index i = 0; i < features; ++i) {
    x.row(i) *= std::pow(0.6, static_cast<double>(i));
    x.row(i).array() += 3.0 - static_cast<double>(i);
  }
  return x.template cast<S>();
}

template <class S>
void append(Pca<S>& pca, const Mat<S>& x, Index width) {
  for (Index first = 0; first < x.cols(); first += width) {
    pca.append(on_backend(x.middleCols(first, std::min(width, x.cols() - first))));
  }
}

template <class S>
double epsilon() {
  return static_cast<double>(std::numeric_limits<S>::epsilon());
}

} // namespace

TEST_CASE_TEMPLATE("blocks give the components of all samples at once", S, TEST_SCALARS) {
  const Mat<S> x = samples<S>(9, 41, 1);
  const Eigen::MatrixXd wide = x.template cast<double>();
  const Eigen::VectorXd mean = wide.rowwise().mean();
  const Eigen::MatrixXd centred = wide.colwise() - mean;
  const Eigen::JacobiSVD<Eigen::MatrixXd> exact(centred, Eigen::ComputeThinU);
  const double tolerance = 200 * epsilon<S>() * wide.norm();
  for (const Index width : {1, 4, 41}) {
    CAPTURE(width);
    Pca<S> pca(9);
    append(pca, x, width);
    CHECK(pca.samples() == 41);
    REQUIRE(pca.rank() == 9);
    CHECK((to_host(pca.mean()).template cast<double>() - mean).norm() <= tolerance);
    for (Index j = 0; j < 9; ++j) {
      CHECK(std::abs(pca.singular_values()[j] - exact.singularValues()[j]) <= tolerance);
      CHECK(pca.explained_variance()[j] ==
            doctest::Approx(std::pow(pca.singular_values()[j], 2) / 40));
    }
    const Eigen::VectorXd ratio = pca.explained_variance_ratio();
    CHECK(std::accumulate(ratio.begin(), ratio.end(), 0.0) ==
          doctest::Approx(1).epsilon(1000 * epsilon<S>()));
    // All components: the coordinates give the samples back.
    const Mat<S> back = to_host(pca.inverse_transform(pca.transform(on_backend(x))));
    CHECK((back.template cast<double>() - wide).norm() <= tolerance);
  }
}

TEST_CASE_TEMPLATE("the leading components of truncated blocks stay within the bound", S,
                   TEST_SCALARS) {
  const Mat<S> x = samples<S>(12, 60, 2);
  const Eigen::MatrixXd wide = x.template cast<double>();
  const Eigen::MatrixXd centred = wide.colwise() - wide.rowwise().mean();
  const Eigen::VectorXd exact = Eigen::JacobiSVD<Eigen::MatrixXd>(centred).singularValues();
  Pca<S> pca(12, {.max_rank = 4});
  append(pca, x, 7);
  REQUIRE(pca.rank() == 4);
  for (Index j = 0; j < 4; ++j) {
    CHECK(std::abs(pca.singular_values()[j] - exact[j]) <=
          pca.error_bound() + 200 * epsilon<S>() * wide.norm());
  }
  const Eigen::VectorXd ratio = pca.explained_variance_ratio();
  CHECK(std::accumulate(ratio.begin(), ratio.end(), 0.0) < 1);
  const Mat<S> u = to_host(pca.components());
  CHECK((u.transpose() * u - Mat<S>::Identity(4, 4)).norm() < 80 * epsilon<S>());
}

TEST_CASE_TEMPLATE("equal samples have no variance beyond rounding", S, TEST_SCALARS) {
  Pca<S> pca(3);
  pca.append(on_backend(Mat<S>(3, 0)));
  CHECK(pca.samples() == 0);
  CHECK(pca.transform(on_backend(Mat<S>::Ones(3, 2))).rows() == 0);
  pca.append(on_backend(Mat<S>::Constant(3, 1, S{2})));
  CHECK(pca.rank() == 0);
  CHECK(pca.explained_variance().size() == 0);
  const Mat<S> block = Mat<S>::Constant(3, 5, S{2});
  pca.append(on_backend(block));
  const double rounding = 10 * epsilon<S>() * static_cast<double>(block.norm());
  for (const double value : pca.singular_values()) {
    CHECK(value <= rounding);
  }
  CHECK((to_host(pca.mean()).array() - S{2}).matrix().norm() <= static_cast<S>(rounding));
}

TEST_CASE("refused samples change nothing") {
  Pca<double> pca(4);
  pca.append(on_backend(samples<double>(4, 6, 3)));
  const Mat<double> mean = to_host(pca.mean());
  const accrete::SingularValues values = pca.singular_values();
  Mat<double> bad = samples<double>(4, 2, 4);
  bad(1, 1) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(pca.append(on_backend(bad)), accrete::NumericError);
  CHECK_THROWS_AS(pca.append(on_backend(samples<double>(3, 2, 4))), accrete::ShapeError);
  CHECK_THROWS_AS((void)pca.transform(on_backend(samples<double>(3, 2, 4))), accrete::ShapeError);
  CHECK_THROWS_AS((void)pca.inverse_transform(on_backend(samples<double>(1, 2, 4))),
                  accrete::ShapeError);
  CHECK(pca.samples() == 6);
  CHECK(to_host(pca.mean()) == mean);
  CHECK(pca.singular_values() == values);
}

TEST_CASE("the mean of many samples, one by one, does not drift") {
  // In float: the mean and the variance move by less than their own rounding with each sample.
  constexpr int count = 60000;
  Pca<float> pca(1);
  const auto sample = [](float value) { return on_backend(Mat<float>::Constant(1, 1, value)); };
  const Stored<float> odd = sample(1000.1F);
  const Stored<float> even = sample(999.9F);
  for (int i = 0; i < count; ++i) {
    pca.append(i % 2 == 0 ? odd : even);
  }
  const double rounding = 1000 * epsilon<float>();
  const double low = static_cast<double>(999.9F);
  const double high = static_cast<double>(1000.1F);
  CHECK(std::abs(static_cast<double>(to_host(pca.mean())(0, 0)) - (low + high) / 2) <= rounding);
  const double deviation = (high - low) / 2;
  const double variance = deviation * deviation * count / (count - 1);
  // Each deviation is that from a rounded mean.
  CHECK(std::abs(pca.explained_variance()[0] - variance) <= 4 * deviation * rounding);
  const Stored<float> last = sample(1001.0F);
  for (int i = 0; i < count; ++i) {
    pca.append(last);
  }
  CHECK(std::abs(static_cast<double>(to_host(pca.mean())(0, 0)) - ((low + high) / 2 + 1001) / 2) <=
        rounding);
}

TEST_CASE_TEMPLATE("shares of the variance do not depend on the unit", S, TEST_SCALARS) {
  const Mat<S> x = samples<S>(5, 30, 3);
  Pca<S> plain(5);
  append(plain, x, 7);
  const Eigen::VectorXd expected = plain.explained_variance_ratio();
  const int far = sizeof(S) == 8 ? 530 : 110;
  for (const int exponent : {-far, far}) {
    const S unit = std::ldexp(S{1}, exponent);
    Pca<S> scaled(5);
    append(scaled, Mat<S>(x * unit), 7);
    const Eigen::VectorXd ratio = scaled.explained_variance_ratio();
    REQUIRE(ratio.size() == expected.size());
    for (Index i = 0; i < ratio.size(); ++i) {
      CHECK(std::abs(ratio[i] - expected[i]) <= 1000 * epsilon<S>());
    }
    CHECK((to_host(scaled.mean()) / unit - to_host(plain.mean())).norm() <= 100 * epsilon<S>());
  }
}

TEST_CASE("a PCA that was moved from has no features") {
  const Mat<double> x = samples<double>(5, 30, 3);
  Pca<double> pca(5);
  append(pca, x, 10);
  Pca<double> taken = std::move(pca);
  CHECK(taken.samples() == 30);
  CHECK(pca.features() == 0);
  CHECK(pca.samples() == 0);
  CHECK(to_host(pca.mean()).size() == 0);
  CHECK_THROWS_AS(pca.append(on_backend(x)), accrete::ShapeError);
  pca = taken;
  CHECK(to_host(pca.mean()) == to_host(taken.mean()));
}
