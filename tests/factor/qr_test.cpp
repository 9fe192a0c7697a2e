// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/factor/qr.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <limits>

TEST_CASE_TEMPLATE("thin_qr of a matrix and of an expression", S, float, double) {
  using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
  const double small = 200 * static_cast<double>(std::numeric_limits<S>::epsilon());
  const Mat a = Mat::Random(9, 4);
  const Mat b = Mat::Random(4, 4);
  const auto check = [&](const auto& result, const Mat& value) {
    CHECK((result.Q.transpose() * result.Q - Mat::Identity(4, 4)).norm() <= small);
    CHECK((result.Q * result.R - value).norm() <= small * value.norm());
    CHECK(Mat(result.R.template triangularView<Eigen::StrictlyLower>()).isZero(S{0}));
  };
  check(accrete::thin_qr(accrete::lazy<TestBackend>(a)), a);
  check(accrete::thin_qr(accrete::lazy<TestBackend>(a) * b), Mat(a * b));
}

TEST_CASE("thin_qr of a wide matrix is refused") {
  const Eigen::MatrixXd a = Eigen::MatrixXd::Random(3, 5);
  CHECK_THROWS_AS((void)accrete::thin_qr(accrete::lazy<TestBackend>(a)), accrete::ShapeError);
}
