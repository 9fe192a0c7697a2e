// SPDX-License-Identifier: MIT
// What Eigen's users write with an expression of Eigen's own, they write with one of accrete's.
#include "numerics.hpp"
#include "test_backend.hpp"

#include <sstream>
#include <string>
#include <utility>

namespace ac = accrete;

namespace {

template <class Scalar>
using Column = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

template <class Scalar>
struct Square {
  Dense<Scalar> W0 = random_matrix<Scalar>(6, 5, 1);
  Dense<Scalar> U = random_matrix<Scalar>(6, 2, 2);
  Dense<Scalar> V = random_matrix<Scalar>(5, 2, 3);
  Dense<Scalar> X = random_matrix<Scalar>(5, 6, 4);
  Exact value = (exact(W0) + exact(U) * exact(V).transpose()) * exact(X);
  /// Of one entry, with room for the sums of the tests.
  long double bound = rounding_bound<Scalar>(
      100, (exact(W0).norm() + exact(U).norm() * exact(V).norm()) * exact(X).norm());

  auto expression() const { return (W0 + ac::outer<TestBackend>(U, V)) * X; }
};

template <class Scalar>
Scalar first_of_ref(const Eigen::Ref<const Dense<Scalar>>& m) {
  return m(0, 0);
}
template <class Derived>
typename Derived::Scalar sum_of_base(const Eigen::MatrixBase<Derived>& m) {
  return m.sum();
}
template <class Derived>
Eigen::Index rows_of_eigen_base(const Eigen::EigenBase<Derived>& m) {
  return m.rows();
}

#define CHECK_NEAR(actual, expected, bound)                                                        \
  CHECK(std::abs(static_cast<long double>(actual) - (expected)) <= (bound))

} // namespace

TEST_CASE_TEMPLATE("noalias() of Eigen", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  Dense<Scalar> Y;
  Y.noalias() = s.expression();
  CHECK_CLOSE(Y, s.value, s.bound);
  Y.noalias() += s.expression();
  CHECK_CLOSE(Y, 2 * s.value, s.bound);
  Y.noalias() -= Scalar{3} * s.expression();
  CHECK_CLOSE(Y, -s.value, s.bound);
  Y.leftCols(3).noalias() = s.expression() * s.X.transpose().leftCols(3);
  CHECK_CLOSE(Y.leftCols(3), s.value * exact(s.X).transpose().leftCols(3), 10 * s.bound);
}

TEST_CASE_TEMPLATE("reductions and norms", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  const auto e = s.expression();
  CHECK_NEAR(e.sum(), s.value.sum(), s.bound);
  CHECK_NEAR(e.mean(), s.value.mean(), s.bound);
  CHECK_NEAR(e.norm(), s.value.norm(), s.bound);
  CHECK_NEAR(e.squaredNorm(), s.value.squaredNorm(), 2 * s.value.norm() * s.bound);
  CHECK_NEAR(e.trace(), s.value.trace(), s.bound);
  CHECK_NEAR(e.maxCoeff(), s.value.maxCoeff(), s.bound);
  CHECK_NEAR(e.cwiseAbs().maxCoeff(), s.value.cwiseAbs().maxCoeff(), s.bound);
  CHECK_CLOSE(e.colwise().sum(), s.value.colwise().sum(), s.bound);
  CHECK_CLOSE(e.rowwise().sum(), s.value.rowwise().sum(), s.bound);
  CHECK_CLOSE(e.colwise().norm(), s.value.colwise().norm(), s.bound);
  CHECK(e.allFinite());
  CHECK(e.isApprox(e.eval()));
  CHECK(e.eval().isApprox(e));
  CHECK_FALSE(e.isApprox(2 * e.eval()));
}

TEST_CASE_TEMPLATE("parts, entries and other shapes", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  const auto e = s.expression();
  CHECK_CLOSE(e.leftCols(2), s.value.leftCols(2), s.bound);
  CHECK_CLOSE(e.bottomRows(2), s.value.bottomRows(2), s.bound);
  CHECK_CLOSE(e.block(1, 2, 3, 2), s.value.block(1, 2, 3, 2), s.bound);
  CHECK_CLOSE(e.row(3), s.value.row(3), s.bound);
  CHECK_CLOSE(e.col(1), s.value.col(1), s.bound);
  CHECK_CLOSE(e.diagonal(), s.value.diagonal(), s.bound);
  CHECK_CLOSE(e.replicate(2, 1).topRows(6), s.value, s.bound);
  CHECK_CLOSE(e.adjoint().eval(), s.value.transpose(), s.bound);
  CHECK_CLOSE((e.adjoint() * s.W0).eval(), s.value.transpose() * exact(s.W0), 10 * s.bound);
  CHECK_NEAR(e.eval()(2, 3), s.value(2, 3), s.bound);
}

TEST_CASE_TEMPLATE("entry by entry", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  const auto e = s.expression();
  CHECK_CLOSE((e.array() * Scalar{2} + Scalar{1}).matrix(), (2 * s.value.array() + 1).matrix(),
              2 * s.bound);
  CHECK_CLOSE(e.cwiseProduct(s.expression()), s.value.cwiseProduct(s.value), 20 * s.bound);
  CHECK_CLOSE(e.cwiseMax(Scalar{0}), s.value.cwiseMax(0.0L), s.bound);
  CHECK_CLOSE(e.unaryExpr([](Scalar x) { return x > 0 ? x : Scalar{0}; }), s.value.cwiseMax(0.0L),
              s.bound);
  Eigen::Array<Scalar, Eigen::Dynamic, Eigen::Dynamic> a = e;
  CHECK_CLOSE(a.matrix(), s.value, s.bound);
  a = e;
  a += e.array();
  CHECK_CLOSE(a.matrix(), 2 * s.value, 3 * s.bound);
  Dense<Scalar> Y = Dense<Scalar>::Ones(6, 6);
  Y.array() -= e.array();
  CHECK_CLOSE(Y, Exact::Ones(6, 6) - s.value, 2 * s.bound);
}

TEST_CASE_TEMPLATE("diagonal and triangular operands", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  const Column<Scalar> d = random_matrix<Scalar>(6, 1, 5);
  const Exact D = exact(d).asDiagonal();
  const auto e = s.expression();
  CHECK_CLOSE((d.asDiagonal() * e).eval(), D * s.value, 2 * s.bound);
  CHECK_CLOSE((e * d.asDiagonal()).eval(), s.value * D, 2 * s.bound);
  CHECK_CLOSE((ac::lazy<TestBackend>(s.W0) * s.X * d.asDiagonal()).eval(),
              exact(s.W0) * exact(s.X) * D, 2 * s.bound);
  const Dense<Scalar> lower = e.template triangularView<Eigen::Lower>();
  CHECK_CLOSE(lower, Exact(s.value.template triangularView<Eigen::Lower>()), s.bound);
}

TEST_CASE_TEMPLATE("arguments of functions that take Eigen objects", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  CHECK_NEAR(first_of_ref<Scalar>(s.expression()), s.value(0, 0), s.bound);
  CHECK_NEAR(sum_of_base(s.expression()), s.value.sum(), s.bound);
  CHECK(rows_of_eigen_base(s.expression()) == 6);
  Dense<Scalar> Y(6, 6);
  Eigen::Ref<Dense<Scalar>> target = Y;
  target = s.expression();
  CHECK_CLOSE(Y, s.value, s.bound);
  Y << s.expression();
  CHECK_CLOSE(Y, s.value, s.bound);
}

TEST_CASE_TEMPLATE("a row times a column is a number", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  const Column<Scalar> x = random_matrix<Scalar>(6, 1, 6);
  const Scalar form = x.transpose() * s.expression() * x;
  CHECK_NEAR(form, (exact(x).transpose() * s.value * exact(x)).value(), 10 * s.bound);
}

TEST_CASE_TEMPLATE("other scalars by cast, text by <<", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  const Exact wide = s.expression().template cast<long double>();
  CHECK((wide - s.value).norm() <= s.bound);
  std::ostringstream text;
  std::ostringstream expected;
  text << s.expression();
  expected << s.expression().eval();
  CHECK(text.str() == expected.str());
}

TEST_CASE_TEMPLATE("an operand of Eigen's expressions may be their destination", Scalar,
                   TEST_SCALARS) {
  Dense<Scalar> Z = random_matrix<Scalar>(6, 6, 7);
  const Exact before = exact(Z);
  Z = (ac::lazy<TestBackend>(Z) * Z).cwiseProduct(Z);
  CHECK_CLOSE(Z, (before * before).cwiseProduct(before), rounding_bound<Scalar>(20, 100));
  Z = before.cast<Scalar>();
  Z.noalias() = ac::lazy<TestBackend>(Z) * Z; // Eigen would compute nonsense
  CHECK_CLOSE(Z, before * before, rounding_bound<Scalar>(20, 100));
}
