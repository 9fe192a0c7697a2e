// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <utility>

namespace ac = accrete;

namespace {

template <class Scalar>
struct Fixture {
  Dense<Scalar> W0 = random_matrix<Scalar>(13, 9, 1);
  Dense<Scalar> U = random_matrix<Scalar>(13, 3, 2);
  Dense<Scalar> V = random_matrix<Scalar>(9, 3, 3);
  Dense<Scalar> X = random_matrix<Scalar>(9, 5, 4);
  Exact value = exact(W0) + 0.5L * exact(U) * exact(V).transpose();
  long double bound = rounding_bound<Scalar>(15, 60 * exact(X).norm());

  using Update = ac::CumulativeUpdate<Scalar, TestBackend>;
  Update make() const {
    Update W(W0, ac::LowRankMatrix<Scalar, TestBackend>(U, V));
    W.set_scale(Scalar{0.5});
    return W;
  }
};

} // namespace

TEST_CASE_TEMPLATE("W X is (W0 + s U Vᵀ) X, and so are project followed by apply", Scalar,
                   TEST_SCALARS) {
  const Fixture<Scalar> f;
  const auto W = f.make();
  Dense<Scalar> Y = W * f.X;
  CHECK_CLOSE(Y, f.value * exact(f.X), f.bound);
  const Dense<Scalar> Z = W.project(f.X);
  CHECK_CLOSE(Z, exact(f.V).transpose() * exact(f.X), f.bound);
  Y = W.apply(f.X, Z);
  CHECK_CLOSE(Y, f.value * exact(f.X), f.bound);
  Y = ac::transpose(f.U) * W;
  CHECK_CLOSE(Y, exact(f.U).transpose() * f.value, f.bound * 5);
  Y = W.transpose() * f.U;
  CHECK_CLOSE(Y, f.value.transpose() * exact(f.U), f.bound * 5);
}

TEST_CASE_TEMPLATE("merge keeps the matrix, reset goes back to W0", Scalar, TEST_SCALARS) {
  const Fixture<Scalar> f;
  auto W = f.make();
  W.merge();
  CHECK(W.rank() == 0);
  CHECK(W.capacity() == 3);
  CHECK_CLOSE(W.base(), f.value, f.bound);
  Dense<Scalar> Y = W * f.X;
  CHECK_CLOSE(Y, f.value * exact(f.X), f.bound);

  auto fresh = f.make();
  fresh.reset();
  Y = fresh * f.X;
  const Dense<Scalar> frozen = ac::lazy<TestBackend>(f.W0) * f.X;
  CHECK(Y == frozen);
}

TEST_CASE_TEMPLATE("an update with U = 0 equals the frozen base bit for bit", Scalar,
                   TEST_SCALARS) {
  const Fixture<Scalar> f;
  auto W = f.make();
  W.U().setZero();
  const Dense<Scalar> Y = W * f.X;
  const Dense<Scalar> frozen = ac::lazy<TestBackend>(f.W0) * f.X;
  CHECK(Y == frozen);
}

TEST_CASE("a borrowed base is used in place") {
  Fixture<double> f;
  using Update = Fixture<double>::Update;
  auto W = Update::borrow(ac::view_of(f.W0), ac::LowRankMatrix<double, TestBackend>(f.U, f.V));
  CHECK(W.base().data() == f.W0.data());
  const Exact merged = exact(f.W0) + exact(f.U) * exact(f.V).transpose();
  const auto copy = W;
  W.merge();
  CHECK_CLOSE(f.W0, merged, f.bound);
  CHECK(copy.base().data() == f.W0.data());
}

TEST_CASE("copies own their base and temporaries outlive their statement") {
  const Fixture<double> f;
  auto W = f.make();
  auto copy = W;
  copy.base().setZero();
  CHECK(W.base() == f.W0);
  auto expression = f.make() * f.X;
  CHECK_CLOSE(expression.eval(), f.value * exact(f.X), f.bound);
}

TEST_CASE("bases of another shape are refused") {
  const Fixture<float> f;
  CHECK_THROWS_WITH_AS(
      (Fixture<float>::Update(f.X, ac::LowRankMatrix<float, TestBackend>(f.U, f.V))),
      "accrete: CumulativeUpdate of 9 x 5 and 13 x 9: W0 and U Vᵀ must have the same shape",
      ac::ShapeError);
}
