// SPDX-License-Identifier: MIT
#include "stored.hpp"

#include <utility>

namespace ac = accrete;

namespace {

template <class Scalar>
struct Operands {
  Stored<Scalar> W0 = random_stored<Scalar>(23, 17, 1);
  Stored<Scalar> U = random_stored<Scalar>(23, 4, 2);
  Stored<Scalar> V = random_stored<Scalar>(17, 4, 3);
  Stored<Scalar> X = random_stored<Scalar>(17, 11, 4);
  Exact weight = exact(W0) + exact(U) * exact(V).transpose();
  Exact value = weight * exact(X);
  long double bound = rounding_bound<Scalar>(
      17 + 4 + 4, (exact(W0).norm() + exact(U).norm() * exact(V).norm()) * exact(X).norm());

  auto expression() const { return (W0 + ac::outer<TestBackend>(U, V)) * X; }
};

} // namespace

TEST_CASE_TEMPLATE("expressions assign to stored matrices and views", Scalar, TEST_SCALARS) {
  const Operands<Scalar> o;
  Stored<Scalar> Y;
  Y = o.expression();
  CHECK_CLOSE(Y, o.value, o.bound);

  SUBCASE("constructor and eval") {
    CHECK_CLOSE(Stored<Scalar>(o.expression()), o.value, o.bound);
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
    const Dense<Scalar> around = Dense<Scalar>::Constant(40, 30, 9);
    Stored<Scalar> large = on_backend(around);
    block_of(large, 3, 5, 23, 11) = o.expression();
    CHECK_CLOSE((block_of(large, 3, 5, 23, 11)), o.value, o.bound);
    set_entries(block_of(large, 3, 5, 23, 11), around.topLeftCorner(23, 11));
    CHECK(equal_entries(large, around));
  }
  SUBCASE("destinations in row-major order") {
    Stored<Scalar> transposed(11, 23);
    transpose_of(transposed) = o.expression();
    CHECK_CLOSE(transpose_of(transposed), o.value, o.bound);
    transpose_of(transposed) += o.expression();
    CHECK_CLOSE(transpose_of(transposed), 2 * o.value, 3 * o.bound);
  }
  SUBCASE("columns and rows") {
    const auto x = columns_of(o.X, 2, 1);
    Stored<Scalar> y;
    y = (o.W0 + ac::outer<TestBackend>(o.U, o.V)) * x;
    CHECK_CLOSE(y, o.value.col(2), o.bound);
    Stored<Scalar> target = on_backend(Dense<Scalar>::Zero(5, 23));
    block_of(target, 3, 0, 1, 23) =
        ac::transpose(x) * (o.W0 + ac::outer<TestBackend>(o.U, o.V)).transpose();
    CHECK_CLOSE(ac::to_host(target).row(3).transpose(), o.value.col(2), o.bound);
    CHECK(ac::to_host(target).topRows(3).isZero(0));
  }
  SUBCASE("noalias") {
    Stored<Scalar> Z;
    ac::noalias(Z) = o.expression();
    ac::noalias(Z) += o.expression();
    ac::noalias(columns_of(Z, 0, 11)) -= Scalar{0.5} * o.expression();
    CHECK_CLOSE(Z, 1.5L * o.value, 4 * o.bound);
  }
}

TEST_CASE_TEMPLATE("every product, sum, scale and transpose agrees with exact arithmetic", Scalar,
                   TEST_SCALARS) {
  const Operands<Scalar> o;
  const Stored<Scalar> W1 = random_stored<Scalar>(17, 19, 5);
  const Stored<Scalar> P = random_stored<Scalar>(17, 3, 6);
  const Stored<Scalar> Q = random_stored<Scalar>(19, 3, 7);
  const Stored<Scalar> X1 = random_stored<Scalar>(19, 6, 8);
  const Exact second = exact(W1) - 2 * exact(P) * exact(Q).transpose();
  const long double norms = (exact(o.W0).norm() + exact(o.U).norm() * exact(o.V).norm()) *
                            (exact(W1).norm() + 2 * exact(P).norm() * exact(Q).norm());
  const auto left = o.W0 + ac::outer<TestBackend>(o.U, o.V);
  const auto right = W1 - Scalar{2} * ac::outer<TestBackend>(P, Q);

  Stored<Scalar> Y = left * right;
  CHECK_CLOSE(Y, o.weight * second, rounding_bound<Scalar>(50, norms));
  Y = left * right * X1;
  CHECK_CLOSE(Y, o.weight * second * exact(X1),
              rounding_bound<Scalar>(70, norms * exact(X1).norm()));
  Y = (left * right).transpose();
  CHECK_CLOSE(Y, (o.weight * second).transpose(), rounding_bound<Scalar>(50, norms));
  Y = Scalar{0.5} * (left * (Scalar{3} * right)).transpose() * o.W0;
  CHECK_CLOSE(Y, 1.5L * (o.weight * second).transpose() * exact(o.W0),
              rounding_bound<Scalar>(80, 1.5L * norms * exact(o.W0).norm()));
  Y = ac::lazy<TestBackend>(o.W0) * o.V * transpose_of(o.U);
  CHECK_CLOSE(
      Y, exact(o.W0) * exact(o.V) * exact(o.U).transpose(),
      rounding_bound<Scalar>(21, exact(o.W0).norm() * exact(o.V).norm() * exact(o.U).norm()));
}

TEST_CASE("temporaries live as long as the expression") {
  // Everything on the right dies before the expression is assigned; AddressSanitizer watches.
  const auto make = [](Eigen::Index rows, Eigen::Index cols, unsigned seed) {
    return random_stored<double>(rows, cols, seed);
  };
  auto expression =
      (make(23, 17, 1) + ac::outer<TestBackend>(make(23, 4, 2), make(17, 4, 3))) * make(17, 11, 4);
  auto copy = expression;
  const Stored<double> Y = copy;
  const Operands<double> o;
  CHECK_CLOSE(Y, o.value, o.bound);

  // A sum of temporaries, which host backends evaluate when the node is built.
  auto sum = ac::lazy<TestBackend>(make(5, 5, 1) + make(5, 5, 2)) * make(5, 5, 3);
  CHECK_CLOSE(sum.eval(), (exact(make(5, 5, 1)) + exact(make(5, 5, 2))) * exact(make(5, 5, 3)),
              rounding_bound<double>(10, 100));
}

TEST_CASE_TEMPLATE("a destination that overlaps an operand is computed through a temporary", Scalar,
                   TEST_SCALARS) {
  Stored<Scalar> Z = random_stored<Scalar>(20, 20, 1);
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
    block_of(Z, 1, 1, 10, 10) =
        ac::lazy<TestBackend>(block_of(Z, 0, 0, 10, 10)) * block_of(Z, 5, 5, 10, 10);
    CHECK_CLOSE((block_of(Z, 1, 1, 10, 10)),
                before.block(0, 0, 10, 10) * before.block(5, 5, 10, 10), bound);
  }
}

TEST_CASE("a shape that changed after the expression was built is an error, not a crash") {
  const Stored<double> A = random_stored<double>(6, 4, 1);
  Stored<double> Z = random_stored<double>(4, 3, 2);
  const auto product = ac::lazy<TestBackend>(A) * Z;
  const Exact expected = exact(A) * exact(Z);
  Stored<double> Y;
  Z = Stored<double>(6, 3);
  CHECK_THROWS_WITH_AS(
      Y = product,
      "accrete: an operand was 4 x 3 when the expression was built and is 6 x 3 now; build "
      "the expression anew, or assign expression.eval() when the operand is the destination too",
      ac::ShapeError);
  Z = random_stored<double>(4, 3, 2);
  Z = (ac::lazy<TestBackend>(A) * Z).eval();
  CHECK_CLOSE(Z, expected, rounding_bound<double>(4, 50));
  if constexpr (!on_host) { // Eigen would resize the operand first
    Z = random_stored<double>(4, 3, 2);
    Z = ac::lazy<TestBackend>(A) * Z;
    CHECK_CLOSE(Z, expected, rounding_bound<double>(4, 50));
  }
}

TEST_CASE("mismatched shapes name the operation, both shapes and the remedy") {
  const Stored<float> A = random_stored<float>(3, 4, 1);
  const Stored<float> B = random_stored<float>(5, 4, 2);
  const auto a = ac::lazy<TestBackend>(A);
  CHECK_THROWS_WITH_AS((void)(a * B),
                       "accrete: product of 3 x 4 and 5 x 4: the columns of the left operand must "
                       "equal the rows of the right one; is a transpose() missing?",
                       ac::ShapeError);
  CHECK_THROWS_WITH_AS((void)(a + B),
                       "accrete: sum of 3 x 4 and 5 x 4: both operands must have the same shape",
                       ac::ShapeError);
  CHECK_THROWS_WITH_AS((void)ac::outer<TestBackend>(A, random_stored<float>(5, 2, 2)),
                       "accrete: outer of 3 x 4 and 5 x 2: U and V must have the same number of "
                       "columns, the rank",
                       ac::ShapeError);
  Stored<float> Y(3, 7);
  CHECK_THROWS_AS(ac::noalias(columns_of(Y, 0, 4)) = a * transpose_of(B), ac::ShapeError);
  CHECK_THROWS_AS(ac::view_of(Y) = a * transpose_of(B), ac::ShapeError);
}

TEST_CASE_TEMPLATE("empty operands: rank zero is the zero update, no columns give no columns",
                   Scalar, TEST_SCALARS) {
  const Stored<Scalar> W0 = random_stored<Scalar>(6, 4, 1);
  const Stored<Scalar> X = random_stored<Scalar>(4, 3, 2);
  const Stored<Scalar> U(6, 0);
  const Stored<Scalar> V(4, 0);
  Stored<Scalar> Y = (W0 + ac::outer<TestBackend>(U, V)) * X;
  CHECK_CLOSE(Y, exact(W0) * exact(X), rounding_bound<Scalar>(5, 100));
  Y = ac::outer<TestBackend>(U, V) * X;
  CHECK(equal_entries(Y, Dense<Scalar>::Zero(6, 3)));
  Y = on_backend(Dense<Scalar>::Constant(6, 3, 2));
  Y += ac::outer<TestBackend>(U, V) * X;
  CHECK(equal_entries(Y, Dense<Scalar>::Constant(6, 3, 2)));
  Y = (W0 + ac::outer<TestBackend>(U, V)) * Stored<Scalar>(4, 0);
  CHECK(Y.rows() == 6);
  CHECK(Y.cols() == 0);
}

TEST_CASE_TEMPLATE("in_order evaluates as written", Scalar, TEST_SCALARS) {
  // (small + large) - large: reassociation would change the rounding, so bits tell the order.
  const Operands<Scalar> o;
  Stored<Scalar> Y = ac::in_order(o.expression());
  CHECK_CLOSE(Y, o.value, o.bound);
  Y += ac::in_order(o.expression());
  CHECK_CLOSE(Y, 2 * o.value, 3 * o.bound);

  accrete::Device<TestBackend>& device = test_device();
  Stored<Scalar> weight = o.W0;
  Stored<Scalar> expected(23, 11);
  using Table = accrete::Kernels<TestBackend>;
  Table::gemm(device, Scalar{1}, ac::view_of(o.U), ac::view_of(o.V).transposed(), Scalar{1},
              ac::view_of(weight));
  Table::gemm(device, Scalar{1}, ac::view_of(std::as_const(weight)), ac::view_of(o.X), Scalar{0},
              ac::view_of(expected));
  Y = ac::in_order(o.expression());
  CHECK(equal_entries(Y, expected));
}
