// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/svd.hpp>

#include <cmath>
#include <limits>

using accrete::Index;
using accrete::LowRankMatrix;
using accrete::NumericError;
using accrete::to_host;

namespace {

template <class S>
constexpr double small = 500 * static_cast<double>(std::numeric_limits<S>::epsilon());

template <class S>
LowRankMatrix<S, TestBackend> low_rank(Index rows, Index cols, Index rank) {
  return {on_backend(Dense<S>::Random(rows, rank)), on_backend(Dense<S>::Random(cols, rank))};
}

template <class S, class Result>
void check(const Result& result, const Dense<S>& a, Index count) {
  REQUIRE(result.singular_values.size() == count);
  const Dense<S> one = Dense<S>::Identity(count, count);
  const Dense<S> u = to_host(result.U);
  const Dense<S> v = to_host(result.V);
  CHECK((u.transpose() * u - one).norm() <= small<S>);
  CHECK((v.transpose() * v - one).norm() <= small<S>);
  CHECK((u * result.singular_values.template cast<S>().asDiagonal() * v.transpose() - a).norm() <=
        small<S> * a.norm());
  const Eigen::VectorXd expected =
      Eigen::JacobiSVD<Eigen::MatrixXd>(a.template cast<double>()).singularValues();
  CHECK((result.singular_values.template cast<double>() - expected.head(count)).norm() <=
        small<S> * expected.norm());
}

} // namespace

TEST_CASE_TEMPLATE("svd of a dense matrix", S, TEST_SCALARS) {
  const Dense<S> a = Dense<S>::Random(9, 6);
  check<S>(accrete::svd(operand(a)), a, 6);
  const Dense<S> b = a.transpose();
  check<S>(accrete::svd(operand(b)), b, 6);
}

TEST_CASE_TEMPLATE("svd of a low-rank matrix stays in factor space", S, TEST_SCALARS) {
  for (const Index rank : {Index{1}, Index{4}, Index{8}, Index{12}}) {
    CAPTURE(rank);
    const LowRankMatrix<S, TestBackend> matrix = low_rank<S>(10, 8, rank);
    const Dense<S> value = to_host(matrix.U()) * to_host(matrix.V()).transpose();
    check<S>(accrete::svd(matrix), value, std::min<Index>(rank, 8));
  }
}

TEST_CASE_TEMPLATE("singular values agree with the decomposition", S, TEST_SCALARS) {
  const LowRankMatrix<S, TestBackend> matrix = low_rank<S>(10, 8, 4);
  const auto full = accrete::svd(matrix);
  const accrete::SingularValues values = accrete::singular_values(matrix);
  const accrete::SingularValues scaled = accrete::singular_values(S{-2} * matrix);
  REQUIRE(values.size() == 4);
  for (Index i = 0; i < 4; ++i) {
    const double expected = static_cast<double>(full.singular_values[i]);
    CHECK(std::abs(values[i] - expected) <= small<S> * full.singular_values[0]);
    CHECK(std::abs(scaled[i] - 2 * expected) <= 2 * small<S> * full.singular_values[0]);
  }
  const Dense<S> dense = Dense<S>::Identity(5, 3) * S{3};
  CHECK(accrete::singular_values(operand(dense)) == Eigen::Vector3d::Constant(3));
}

TEST_CASE_TEMPLATE("an empty product has no singular values", S, TEST_SCALARS) {
  const LowRankMatrix<S, TestBackend> empty(7, 5);
  CHECK(accrete::singular_values(empty).size() == 0);
  CHECK(accrete::svd(empty).U.cols() == 0);
}

TEST_CASE("svd refuses NaN") {
  Eigen::MatrixXd a = Eigen::MatrixXd::Identity(4, 4);
  a(1, 2) = std::nan("");
  CHECK_THROWS_AS((void)accrete::svd(operand(a)), NumericError);
  const LowRankMatrix<double, TestBackend> matrix(on_backend(a), on_backend(a));
  CHECK_THROWS_AS((void)accrete::svd(matrix), NumericError);
  CHECK_THROWS_AS((void)accrete::singular_values(matrix), NumericError);
}

TEST_CASE_TEMPLATE("the unit of the entries does not matter", S, TEST_SCALARS) {
  const Dense<S> host_u = Dense<S>::Random(300, 4);
  const Dense<S> host_v = Dense<S>::Random(200, 4);
  const Stored<S> u = on_backend(host_u);
  const Stored<S> v = on_backend(host_v);
  const auto plain = accrete::svd(accrete::outer<TestBackend>(u, v));
  const int far = sizeof(S) == 8 ? 530 : 73;
  const auto epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());
  for (const int exponent : {-far, far}) {
    CAPTURE(exponent);
    const S unit = std::ldexp(S{1}, exponent);
    const Stored<S> scaled = on_backend(host_u * unit);
    const auto check_scaled = [&](const auto& svd) {
      CHECK((svd.singular_values.head(4) / unit - plain.singular_values).norm() <=
            100 * epsilon * static_cast<double>(plain.singular_values.norm()));
      const Dense<S> left = to_host(svd.U).leftCols(4);
      CHECK(static_cast<double>((left.transpose() * left - Dense<S>::Identity(4, 4)).norm()) <=
            100 * epsilon);
    };
    check_scaled(accrete::svd(accrete::outer<TestBackend>(scaled, v)));
    check_scaled(accrete::svd(accrete::outer<TestBackend>(v, scaled).transpose()));
    check_scaled(accrete::svd(operand(host_u * unit * host_v.transpose())));
  }
}
