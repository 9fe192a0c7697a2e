// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <memory>
#include <string>

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

TEST_CASE_TEMPLATE("expressions assign to Eigen objects like Eigen's own", Scalar, TEST_SCALARS) {
  const Operands<Scalar> o;
  Dense<Scalar> Y;
  Y = o.expression();
  CHECK_CLOSE(Y, o.value, o.bound);

  SUBCASE("constructor and eval") {
    CHECK_CLOSE(Dense<Scalar>(o.expression()), o.value, o.bound);
    CHECK_CLOSE(o.expression().eval(), o.value, o.bound);
  }
  SUBCASE("accumulation with a scale") {
    Y += Scalar{0.5} * o.expression();
    CHECK_CLOSE(Y, 1.5L * o.value, 3 * o.bound);
    Y -= o.expression() * 0.5;
    CHECK_CLOSE(Y, o.value, 4 * o.bound);
    Y -= o.expression() / 2;
    CHECK_CLOSE(Y, 0.5L * o.value, 5 * o.bound);
  }
  SUBCASE("negation and difference") {
    Y = -o.expression() - o.expression();
    CHECK_CLOSE(Y, -2 * o.value, 3 * o.bound);
  }
  SUBCASE("blocks leave their surroundings alone") {
    Dense<Scalar> large = Dense<Scalar>::Constant(40, 30, 9);
    large.block(3, 5, 23, 11) = o.expression();
    CHECK_CLOSE((large.block(3, 5, 23, 11)), o.value, o.bound);
    large.block(3, 5, 23, 11).setConstant(9);
    CHECK(large == Dense<Scalar>::Constant(40, 30, 9));
  }
  SUBCASE("destinations in other layouts") {
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
  SUBCASE("noalias") {
    Dense<Scalar> Z;
    ac::noalias(Z) = o.expression();
    ac::noalias(Z) += o.expression();
    ac::noalias(Z.leftCols(11)) -= Scalar{0.5} * o.expression();
    CHECK_CLOSE(Z, 1.5L * o.value, 4 * o.bound);
  }
}

TEST_CASE_TEMPLATE("every product, sum, scale and transpose agrees with exact arithmetic", Scalar,
                   TEST_SCALARS) {
  const Operands<Scalar> o;
  const Dense<Scalar> W1 = random_matrix<Scalar>(17, 19, 5);
  const Dense<Scalar> P = random_matrix<Scalar>(17, 3, 6);
  const Dense<Scalar> Q = random_matrix<Scalar>(19, 3, 7);
  const Dense<Scalar> X1 = random_matrix<Scalar>(19, 6, 8);
  const Exact second = exact(W1) - 2 * exact(P) * exact(Q).transpose();
  const long double norms = (exact(o.W0).norm() + exact(o.U).norm() * exact(o.V).norm()) *
                            (exact(W1).norm() + 2 * exact(P).norm() * exact(Q).norm());
  const auto left = o.W0 + ac::outer<TestBackend>(o.U, o.V);
  const auto right = W1 - Scalar{2} * ac::outer<TestBackend>(P, Q);

  Dense<Scalar> Y = left * right;
  CHECK_CLOSE(Y, o.weight * second, rounding_bound<Scalar>(50, norms));
  Y = left * right * X1;
  CHECK_CLOSE(Y, o.weight * second * exact(X1),
              rounding_bound<Scalar>(70, norms * exact(X1).norm()));
  Y = (left * right).transpose();
  CHECK_CLOSE(Y, (o.weight * second).transpose(), rounding_bound<Scalar>(50, norms));
  Y = Scalar{0.5} * (left * (Scalar{3} * right)).transpose() * o.W0;
  CHECK_CLOSE(Y, 1.5L * (o.weight * second).transpose() * exact(o.W0),
              rounding_bound<Scalar>(80, 1.5L * norms * exact(o.W0).norm()));
  Y = ac::lazy<TestBackend>(o.W0) * o.V * o.U.transpose();
  CHECK_CLOSE(
      Y, exact(o.W0) * exact(o.V) * exact(o.U).transpose(),
      rounding_bound<Scalar>(21, exact(o.W0).norm() * exact(o.V).norm() * exact(o.U).norm()));
}

TEST_CASE("temporaries live as long as the expression") {
  // Everything on the right dies before the expression is assigned; AddressSanitizer watches.
  const auto make = [](Eigen::Index rows, Eigen::Index cols, unsigned seed) {
    return random_matrix<double>(rows, cols, seed);
  };
  auto expression =
      (make(23, 17, 1) + ac::outer<TestBackend>(make(23, 4, 2), make(17, 4, 3))) * make(17, 11, 4);
  auto copy = expression;
  const Dense<double> Y = copy;
  const Operands<double> o;
  CHECK_CLOSE(Y, o.value, o.bound);

  // An Eigen expression of temporaries is evaluated when the node is built.
  auto sum = ac::lazy<TestBackend>(make(5, 5, 1) + make(5, 5, 2)) * make(5, 5, 3);
  CHECK_CLOSE(sum.eval(), (exact(make(5, 5, 1)) + exact(make(5, 5, 2))) * exact(make(5, 5, 3)),
              rounding_bound<double>(10, 100));
}

TEST_CASE_TEMPLATE("a destination that overlaps an operand is computed through a temporary", Scalar,
                   TEST_SCALARS) {
  Dense<Scalar> Z = random_matrix<Scalar>(20, 20, 1);
  const Exact before = exact(Z);
  const long double bound = rounding_bound<Scalar>(25, before.norm() * before.norm());
  SUBCASE("product with itself") {
    Z = ac::lazy<TestBackend>(Z) * Z;
    CHECK_CLOSE(Z, before * before, bound);
  }
  SUBCASE("accumulation") {
    Z += ac::lazy<TestBackend>(Z) * Z;
    CHECK_CLOSE(Z, before + before * before, bound);
  }
  SUBCASE("one block from another that overlaps it") {
    Z.block(1, 1, 10, 10) = ac::lazy<TestBackend>(Z.block(0, 0, 10, 10)) * Z.block(5, 5, 10, 10);
    CHECK_CLOSE((Z.block(1, 1, 10, 10)), before.block(0, 0, 10, 10) * before.block(5, 5, 10, 10),
                bound);
  }
}

TEST_CASE("a shape that changed after the expression was built is an error, not a crash") {
  const Dense<double> A = random_matrix<double>(6, 4, 1);
  Dense<double> Y = random_matrix<double>(4, 3, 2);
  // Eigen resizes Y before it evaluates the right-hand side.
  CHECK_THROWS_WITH_AS(
      Y = ac::lazy<TestBackend>(A) * Y,
      "accrete: an operand was 4 x 3 when the expression was built and is 6 x 3 now; build "
      "the expression anew, or assign expression.eval() when the operand is the destination too",
      ac::ShapeError);
  Dense<double> Z = random_matrix<double>(4, 3, 2);
  const Exact expected = exact(A) * exact(Z);
  Z = (ac::lazy<TestBackend>(A) * Z).eval();
  CHECK_CLOSE(Z, expected, rounding_bound<double>(4, 50));
}

TEST_CASE("mismatched shapes name the operation, both shapes and the remedy") {
  const Dense<float> A = random_matrix<float>(3, 4, 1);
  const Dense<float> B = random_matrix<float>(5, 4, 2);
  const auto a = ac::lazy<TestBackend>(A);
  CHECK_THROWS_WITH_AS((void)(a * B),
                       "accrete: product of 3 x 4 and 5 x 4: the columns of the left operand must "
                       "equal the rows of the right one; is a transpose() missing?",
                       ac::ShapeError);
  CHECK_THROWS_WITH_AS((void)(a + B),
                       "accrete: sum of 3 x 4 and 5 x 4: both operands must have the same shape",
                       ac::ShapeError);
  CHECK_THROWS_WITH_AS((void)ac::outer<TestBackend>(A, Dense<float>(B.leftCols(2))),
                       "accrete: outer of 3 x 4 and 5 x 2: U and V must have the same number of "
                       "columns, the rank",
                       ac::ShapeError);
  Dense<float> Y(3, 7);
  CHECK_THROWS_AS(ac::noalias(Y.leftCols(4)) = a * B.transpose(), ac::ShapeError);
  Eigen::Matrix<float, 3, Eigen::Dynamic> fixed_rows;
  ac::noalias(fixed_rows) = a * B.transpose();
  CHECK(fixed_rows.cols() == 5);
  CHECK_THROWS_AS(ac::noalias(fixed_rows) = ac::lazy<TestBackend>(B) * A.transpose(),
                  ac::ShapeError);
}

TEST_CASE_TEMPLATE("empty operands: rank zero is the zero update, no columns give no columns",
                   Scalar, TEST_SCALARS) {
  const Dense<Scalar> W0 = random_matrix<Scalar>(6, 4, 1);
  const Dense<Scalar> X = random_matrix<Scalar>(4, 3, 2);
  const Dense<Scalar> U(6, 0);
  const Dense<Scalar> V(4, 0);
  Dense<Scalar> Y = (W0 + ac::outer<TestBackend>(U, V)) * X;
  CHECK_CLOSE(Y, exact(W0) * exact(X), rounding_bound<Scalar>(5, 100));
  Y = ac::outer<TestBackend>(U, V) * X;
  CHECK(Y == Dense<Scalar>::Zero(6, 3));
  Y.setConstant(2);
  Y += ac::outer<TestBackend>(U, V) * X;
  CHECK(Y == Dense<Scalar>::Constant(6, 3, 2));
  Y = (W0 + ac::outer<TestBackend>(U, V)) * Dense<Scalar>(4, 0);
  CHECK(Y.rows() == 6);
  CHECK(Y.cols() == 0);
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

TEST_CASE_TEMPLATE("in_order evaluates as written", Scalar, TEST_SCALARS) {
  // (small + large) - large: reassociation would change the rounding, so bits tell the order.
  const Operands<Scalar> o;
  Dense<Scalar> Y = ac::in_order(o.expression());
  const Dense<Scalar> update = o.U * o.V.transpose();
  CHECK_CLOSE(Y, o.value, o.bound);
  Y += ac::in_order(o.expression());
  CHECK_CLOSE(Y, 2 * o.value, 3 * o.bound);

  accrete::Device<TestBackend> device;
  Dense<Scalar> weight = o.W0;
  Dense<Scalar> expected(23, 11);
  using Table = accrete::Kernels<TestBackend>;
  Table::gemm(device, Scalar{1}, ac::view_of(o.U), ac::view_of(o.V).transposed(), Scalar{1},
              ac::view_of(weight));
  Table::gemm(device, Scalar{1}, ac::View<const Scalar>(ac::view_of(weight)), ac::view_of(o.X),
              Scalar{0}, ac::view_of(expected));
  Y = ac::in_order(o.expression());
  CHECK(Y == expected);
}
