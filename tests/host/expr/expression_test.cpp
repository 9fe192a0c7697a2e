// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

namespace ac = accrete;

namespace {

template <class Scalar>
struct Operands {
  Dense<Scalar> W0 = random_matrix<Scalar>(23, 17, 1);
  Dense<Scalar> U = random_matrix<Scalar>(23, 4, 2);
  Dense<Scalar> V = random_matrix<Scalar>(17, 4, 3);
  Dense<Scalar> X = random_matrix<Scalar>(17, 11, 4);
  Exact weight = exact(W0) + exact(U) * exact(V).transpose();
  Exact value = weight * exact(X);
  long double bound = rounding_bound<Scalar>(
      17 + 4 + 4, (exact(W0).norm() + exact(U).norm() * exact(V).norm()) * exact(X).norm());

  auto expression() const { return (W0 + ac::outer<TestBackend>(U, V)) * X; }
};

} // namespace

TEST_CASE_TEMPLATE("destinations of other Eigen types", Scalar, TEST_SCALARS) {
  const Operands<Scalar> o;
  SUBCASE("row-major matrices, maps with an inner stride, transposes") {
    Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows;
    rows = o.expression();
    CHECK_CLOSE(rows, o.value, o.bound);
    Dense<Scalar> spread = Dense<Scalar>::Zero(46, 22);
    using Strides = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
    Eigen::Map<Dense<Scalar>, 0, Strides> every_other(spread.data(), 23, 11, Strides(92, 2));
    every_other = o.expression();
    every_other += o.expression();
    CHECK_CLOSE(every_other, 2 * o.value, 3 * o.bound);
    Dense<Scalar> transposed(11, 23);
    transposed.transpose() = o.expression();
    CHECK_CLOSE(transposed.transpose(), o.value, o.bound);
  }
  SUBCASE("vectors and rows") {
    const Eigen::Matrix<Scalar, Eigen::Dynamic, 1> x = o.X.col(2);
    Eigen::Matrix<Scalar, Eigen::Dynamic, 1> y;
    y = (o.W0 + ac::outer<TestBackend>(o.U, o.V)) * x;
    CHECK_CLOSE(y, o.value.col(2), o.bound);
    Dense<Scalar> target = Dense<Scalar>::Zero(5, 23);
    target.row(3) = ac::transpose(x) * (o.W0 + ac::outer<TestBackend>(o.U, o.V)).transpose();
    CHECK_CLOSE(target.row(3).transpose(), o.value.col(2), o.bound);
    CHECK(target.topRows(3).isZero(0));
  }
}

TEST_CASE_TEMPLATE("row-major operands", Scalar, TEST_SCALARS) {
  const Operands<Scalar> o;
  using RowMajor = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const RowMajor U = o.U;
  const RowMajor X = o.X;
  const Dense<Scalar> Y = (o.W0 + ac::outer<TestBackend>(U, o.V)) * X;
  CHECK_CLOSE(Y, o.value, o.bound);
}

TEST_CASE("a destination that Eigen resizes is no operand of another shape") {
  const Dense<double> A = random_matrix<double>(6, 4, 1);
  Dense<double> Y = random_matrix<double>(4, 3, 2);
  // Eigen resizes Y before it evaluates the right-hand side.
  CHECK_THROWS_WITH_AS(
      Y = ac::lazy<TestBackend>(A) * Y,
      "accrete: an operand was 4 x 3 when the expression was built and is 6 x 3 now; build "
      "the expression anew, or assign expression.eval() when the operand is the destination too",
      ac::ShapeError);
}

TEST_CASE("noalias() of fixed sizes and blocks checks the shape") {
  const Dense<float> A = random_matrix<float>(3, 4, 1);
  const Dense<float> B = random_matrix<float>(5, 4, 2);
  const auto a = ac::lazy<TestBackend>(A);
  Dense<float> Y(3, 7);
  CHECK_THROWS_AS(ac::noalias(Y.leftCols(4)) = a * B.transpose(), ac::ShapeError);
  Eigen::Matrix<float, 3, Eigen::Dynamic> fixed_rows;
  ac::noalias(fixed_rows) = a * B.transpose();
  CHECK(fixed_rows.cols() == 5);
  CHECK_THROWS_AS(ac::noalias(fixed_rows) = ac::lazy<TestBackend>(B) * A.transpose(),
                  ac::ShapeError);
}

TEST_CASE_TEMPLATE("fixed sizes", Scalar, TEST_SCALARS) {
  const Eigen::Matrix<Scalar, 3, 4> A = random_matrix<Scalar>(3, 4, 1);
  const Eigen::Matrix<Scalar, 4, 2> B = random_matrix<Scalar>(4, 2, 2);
  Eigen::Matrix<Scalar, 3, 2> C;
  C = ac::lazy<TestBackend>(A) * B;
  CHECK_CLOSE(C, exact(A) * exact(B), rounding_bound<Scalar>(5, 50));
  const auto product = ac::lazy<TestBackend>(A) * B;
  static_assert(decltype(product)::rows_at_compile_time == 3);
  static_assert(decltype(product)::cols_at_compile_time == 2);
}
