// SPDX-License-Identifier: MIT
#include "stored.hpp"

namespace ac = accrete;

namespace {

template <class Scalar>
struct Square {
  Stored<Scalar> W0 = random_stored<Scalar>(6, 5, 1);
  Stored<Scalar> U = random_stored<Scalar>(6, 2, 2);
  Stored<Scalar> V = random_stored<Scalar>(5, 2, 3);
  Stored<Scalar> X = random_stored<Scalar>(5, 6, 4);
  Exact value = (exact(W0) + exact(U) * exact(V).transpose()) * exact(X);
  /// Of one entry, with room for the sums of the tests.
  long double bound = rounding_bound<Scalar>(
      100, (exact(W0).norm() + exact(U).norm() * exact(V).norm()) * exact(X).norm());

  auto expression() const { return (W0 + ac::outer<TestBackend>(U, V)) * X; }
};

} // namespace

TEST_CASE_TEMPLATE("numbers of any type scale, nodes are copied", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  const auto e = s.expression();
  const Stored<Scalar> Y = (2 * e + e * 3L - e / 2 + 0.5 * e - 0.5F * e) * 1U;
  CHECK_CLOSE(Y, 4.5L * s.value, 10 * s.bound);
  auto other = 2 * e;
  const auto same = 2 * e;
  other = same; // not evaluated
  CHECK_CLOSE(other.eval(), 2 * s.value, 2 * s.bound);
}

TEST_CASE_TEMPLATE("matrices that own their factors assign to stored matrices", Scalar,
                   TEST_SCALARS) {
  const Square<Scalar> s;
  const ac::LowRankMatrix<Scalar, TestBackend> L(s.U, s.V);
  ac::CumulativeUpdate<Scalar, TestBackend> W(s.W0, L);
  const Exact update = exact(s.U) * exact(s.V).transpose();
  Stored<Scalar> Y = W;
  CHECK_CLOSE(Y, exact(s.W0) + update, s.bound);
  Y += L;
  CHECK_CLOSE(Y, exact(s.W0) + 2 * update, s.bound);
  Y -= W;
  CHECK_CLOSE(Y, update, s.bound);
  Y = L;
  CHECK_CLOSE(Y, update, s.bound);
}

TEST_CASE_TEMPLATE("views are operands and destinations", Scalar, TEST_SCALARS) {
  const Square<Scalar> s;
  Stored<Scalar> Y = on_backend(Dense<Scalar>::Zero(6, 8));
  const ac::ViewOn<Scalar, TestBackend> target = ac::view_of(Y).columns(1, 6);
  const ac::ViewOn<const Scalar, TestBackend> u = ac::view_of(s.U);
  const ac::ViewOn<const Scalar, TestBackend> x = ac::view_of(s.X);
  target = ac::lazy<TestBackend>(s.W0) * x + ac::outer<TestBackend>(u, s.V) * x;
  CHECK_CLOSE(columns_of(Y, 1, 6), s.value, s.bound);
  target += s.expression();
  target -= s.expression() / 2;
  CHECK_CLOSE(columns_of(Y, 1, 6), 1.5L * s.value, 3 * s.bound);
  CHECK(exact(Y).col(0).isZero(0));
  CHECK(exact(Y).col(7).isZero(0));
  target.transposed() = s.expression();
  CHECK_CLOSE(columns_of(Y, 1, 6), s.value.transpose(), s.bound);
  target = ac::lazy<TestBackend>(target) * target; // overlaps
  CHECK_CLOSE(columns_of(Y, 1, 6), s.value.transpose() * s.value.transpose(),
              2 * s.value.norm() * s.bound);
  CHECK_THROWS_AS(target.columns(0, 2) = s.expression(), ac::ShapeError);
  const ac::CumulativeUpdate<Scalar, TestBackend> W(s.W0, {s.U, s.V});
  Stored<Scalar> formed(6, 5);
  ac::view_of(formed) = W;
  CHECK_CLOSE(formed, exact(s.W0) + exact(s.U) * exact(s.V).transpose(), s.bound);
}
