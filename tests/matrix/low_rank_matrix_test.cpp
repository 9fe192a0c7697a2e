// SPDX-License-Identifier: MIT
#include "stored.hpp"

#include <utility>

namespace ac = accrete;

namespace {

template <class Scalar>
using LowRank = ac::LowRankMatrix<Scalar, TestBackend>;

template <class Scalar>
struct Factors {
  Stored<Scalar> U = random_stored<Scalar>(13, 3, 1);
  Stored<Scalar> V = random_stored<Scalar>(9, 3, 2);
  Exact value = exact(U) * exact(V).transpose();
};

template <class Scalar>
Exact value_of(const LowRank<Scalar>& m) {
  return exact(m.U()) * exact(m.V()).transpose();
}

} // namespace

TEST_CASE_TEMPLATE("growth within the capacity moves no column", Scalar, TEST_SCALARS) {
  const Factors<Scalar> f;
  LowRank<Scalar> L(f.U, f.V);
  L.reserve(8);
  CHECK(L.capacity() == 8);
  CHECK(equal_entries(L.U(), f.U));
  const Scalar* u = address_of(L.U());
  const Scalar* v = address_of(L.V());
  L.append(columns_of(f.U, 0, 2), columns_of(f.V, 0, 2));
  CHECK(L.rank() == 5);
  CHECK(address_of(L.U()) == u);
  CHECK(address_of(L.V()) == v);
  CHECK(equal_entries(columns_of(L.U(), 0, 3), f.U));
  CHECK(equal_entries(columns_of(L.U(), 3, 2), columns_of(f.U, 0, 2)));
  // Beyond the capacity it doubles, and the columns are the same.
  L.append(L.U(), L.V());
  CHECK(L.rank() == 10);
  CHECK(L.capacity() == 16);
  CHECK(equal_entries(columns_of(L.V(), 0, 3), f.V));
  CHECK(equal_entries(columns_of(L.V(), 5, 3), f.V));
}

TEST_CASE_TEMPLATE("sums, scales and transposes stay factored and exact in their columns", Scalar,
                   TEST_SCALARS) {
  const Factors<Scalar> f;
  const LowRank<Scalar> L(f.U, f.V);
  const LowRank<Scalar> sum = Scalar{2} * L - ac::outer<TestBackend>(f.U, f.V);
  CHECK(sum.rank() == 6);
  CHECK(equal_entries(columns_of(sum.U(), 0, 3), Scalar{2} * ac::to_host(f.U)));
  CHECK((value_of(sum) - f.value).norm() <= rounding_bound<Scalar>(3, 3 * f.value.norm()));
  const LowRank<Scalar> transposed = L.transpose();
  CHECK(transposed.rows() == 9);
  CHECK(equal_entries(transposed.U(), f.V));
  CHECK(equal_entries(transposed.V(), f.U));
}

TEST_CASE_TEMPLATE("products keep the smaller rank", Scalar, TEST_SCALARS) {
  const Factors<Scalar> f;
  const LowRank<Scalar> L(f.U, f.V);
  const Stored<Scalar> A = random_stored<Scalar>(20, 13, 3);
  const Stored<Scalar> B = random_stored<Scalar>(9, 13, 4);
  const Stored<Scalar> P = random_stored<Scalar>(13, 2, 5);
  const Stored<Scalar> Q = random_stored<Scalar>(7, 2, 6);
  const long double norms = exact(A).norm() * exact(f.U).norm() * exact(f.V).norm() *
                            exact(B).norm() * exact(P).norm() * exact(Q).norm();
  const LowRank<Scalar> chain = A * L * B * ac::outer<TestBackend>(P, Q);
  CHECK(chain.rank() == 2);
  const Exact expected = exact(A) * f.value * exact(B) * exact(P) * exact(Q).transpose();
  CHECK((value_of(chain) - expected).norm() <= rounding_bound<Scalar>(40, norms));
  const LowRank<Scalar> other = ac::outer<TestBackend>(Q, P) * L * B;
  CHECK(other.rank() == 2);
  const LowRank<Scalar> wider =
      L * B * (ac::outer<TestBackend>(P, Q) + ac::outer<TestBackend>(P, Q));
  CHECK(wider.rank() == 4);
  const Exact twice = 2 * f.value * exact(B) * exact(P) * exact(Q).transpose();
  CHECK((value_of(wider) - twice).norm() <= rounding_bound<Scalar>(40, norms));
}

TEST_CASE_TEMPLATE("a matrix may stand on both sides of its own assignment", Scalar, TEST_SCALARS) {
  const Factors<Scalar> f;
  LowRank<Scalar> L(f.U, f.V);
  const Stored<Scalar> A = random_stored<Scalar>(13, 13, 3);
  L = A * L + L;
  CHECK(L.rank() == 6);
  CHECK((value_of(L) - (exact(A) * f.value + f.value)).norm() <=
        rounding_bound<Scalar>(20, (exact(A).norm() + 1) * exact(f.U).norm() * exact(f.V).norm()));
  L = LowRank<Scalar>(f.U, f.V);
  L.reserve(12);
  L += L;
  L -= ac::outer<TestBackend>(f.U, f.V);
  CHECK(L.rank() == 9);
  CHECK((value_of(L) - f.value).norm() <= rounding_bound<Scalar>(9, 4 * f.value.norm()));
}

TEST_CASE_TEMPLATE("shrink_to_fit gives spare columns back and moves the others", Scalar,
                   TEST_SCALARS) {
  const Factors<Scalar> f;
  LowRank<Scalar> L(f.U, f.V);
  L.reserve(12);
  L.set_rank(2);
  L.shrink_to_fit();
  CHECK(L.capacity() == 2);
  CHECK(equal_entries(L.U(), columns_of(f.U, 0, 2)));
  CHECK(equal_entries(L.V(), columns_of(f.V, 0, 2)));
}

TEST_CASE("an owned temporary outlives its statement inside an expression") {
  const Factors<double> f;
  const Stored<double> X = random_stored<double>(9, 4, 7);
  const Stored<double> Xt = random_stored<double>(13, 4, 8);
  const auto make = [&] { return LowRank<double>(f.U, f.V); };
  const auto make_const = [&]() -> const LowRank<double> { return make(); };
  const long double bound = rounding_bound<double>(12, 200);
  auto product = make() * X;
  CHECK_CLOSE(product.eval(), f.value * exact(X), bound);
  auto of_const = make_const() * X;
  CHECK_CLOSE(of_const.eval(), f.value * exact(X), bound);
  auto transposed = make().transpose() * Xt;
  CHECK_CLOSE(transposed.eval(), f.value.transpose() * exact(Xt), bound);
  const auto U = make().U();
  const auto V = make().V();
  CHECK(equal_entries(U, f.U));
  CHECK(equal_entries(V, f.V));
}

TEST_CASE("an expression of a matrix that changed its rank or shape is an error, not the old one") {
  const Factors<double> f;
  const Stored<double> X = random_stored<double>(9, 4, 7);
  LowRank<double> L(f.U, f.V);
  L.reserve(8);
  const auto expression = L * X;
  Stored<double> Y = expression;
  L.reserve(20); // the columns move, the matrix stays
  Y = expression;
  CHECK_CLOSE(Y, f.value * exact(X), rounding_bound<double>(12, 200));
  L.append(columns_of(f.U, 0, 1), columns_of(f.V, 0, 1));
  CHECK_THROWS_WITH_AS(Y = expression,
                       "accrete: an operand was 13 x 3 when the expression was built and is 13 x 4 "
                       "now; build the expression anew, or assign expression.eval() when the "
                       "operand is the destination too",
                       ac::ShapeError);
  L.truncate({.max_rank = 2});
  CHECK_THROWS_AS(Y = expression, ac::ShapeError);
  L = LowRank<double>(f.V, f.U);
  CHECK_THROWS_AS(Y = expression, ac::ShapeError);
  L = LowRank<double>(f.U, f.V);
  set_entries(L.U(), 2 * ac::to_host(L.U()));
  Y = expression;
  CHECK_CLOSE(Y, 2 * f.value * exact(X), rounding_bound<double>(12, 200));
  const LowRank<double> gone = std::move(L);
  CHECK_THROWS_AS(Y = expression, ac::ShapeError);
}

TEST_CASE_TEMPLATE("columns taken into use by set_rank are zero", Scalar, TEST_SCALARS) {
  const Factors<Scalar> f;
  LowRank<Scalar> L(f.U, f.V);
  L.reserve(6);
  L.set_rank(1);
  L.set_rank(6);
  CHECK(equal_entries(columns_of(L.U(), 0, 1), columns_of(f.U, 0, 1)));
  CHECK(exact(columns_of(L.U(), 1, 5)).cwiseAbs().maxCoeff() == 0);
  CHECK(exact(columns_of(L.V(), 1, 5)).cwiseAbs().maxCoeff() == 0);
}

TEST_CASE("wrong shapes and ranks are typed errors") {
  const Factors<float> f;
  CHECK_THROWS_WITH_AS(LowRank<float>(f.U, on_backend(ac::to_host(f.V).leftCols(2))),
                       "accrete: LowRankMatrix of 13 x 3 and 9 x 2: U and V must have the same "
                       "number of columns, the rank",
                       ac::ShapeError);
  LowRank<float> L(f.U, f.V);
  CHECK_THROWS_WITH_AS(L.set_rank(4),
                       "accrete: rank 4 is outside the capacity of 3 columns; reserve() more first",
                       ac::RankError);
  CHECK_THROWS_AS(L.append(f.V, f.U), ac::ShapeError);
  CHECK_THROWS_AS(L += ac::outer<TestBackend>(f.V, f.U), ac::ShapeError);
  CHECK_THROWS_AS(LowRank<float>(-1, 3), ac::ShapeError);
  CHECK(equal_entries(L.U(), f.U));
}
