// SPDX-License-Identifier: MIT
#include "stored.hpp"

#include <sstream>
#include <utility>

namespace ac = accrete;
using ac::Index;

namespace {

template <class Scalar>
struct Fixture {
  Stored<Scalar> W0 = random_stored<Scalar>(13, 9, 1);
  Stored<Scalar> U = random_stored<Scalar>(13, 3, 2);
  Stored<Scalar> V = random_stored<Scalar>(9, 3, 3);
  Stored<Scalar> X = random_stored<Scalar>(9, 5, 4);
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

TEST_CASE_TEMPLATE("W X is (W0 + s U Vᵀ) X", Scalar, TEST_SCALARS) {
  const Fixture<Scalar> f;
  const auto W = f.make();
  Stored<Scalar> Y = W * f.X;
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
  Stored<Scalar> Y = W * f.X;
  CHECK_CLOSE(Y, f.value * exact(f.X), f.bound);

  auto fresh = f.make();
  fresh.reset();
  Y = fresh * f.X;
  const Stored<Scalar> frozen = ac::lazy<TestBackend>(f.W0) * f.X;
  CHECK(equal_entries(Y, frozen));
}

TEST_CASE_TEMPLATE("an update with U = 0 equals the frozen base bit for bit", Scalar,
                   TEST_SCALARS) {
  const Fixture<Scalar> f;
  auto W = f.make();
  set_entries(W.U(), Dense<Scalar>::Zero(13, 3));
  const Stored<Scalar> Y = W * f.X;
  const Stored<Scalar> frozen = ac::lazy<TestBackend>(f.W0) * f.X;
  CHECK(equal_entries(Y, frozen));
}

TEST_CASE("a borrowed base is used in place") {
  Fixture<double> f;
  using Update = Fixture<double>::Update;
  auto W = Update::borrow(ac::view_of(f.W0), ac::LowRankMatrix<double, TestBackend>(f.U, f.V));
  CHECK(address_of(W.base()) == f.W0.data());
  const Exact merged = exact(f.W0) + exact(f.U) * exact(f.V).transpose();
  const auto copy = W;
  W.merge();
  CHECK_CLOSE(f.W0, merged, f.bound);
  CHECK(address_of(copy.base()) == f.W0.data());
}

TEST_CASE("copies own their base and temporaries outlive their statement") {
  const Fixture<double> f;
  auto W = f.make();
  auto copy = W;
  set_entries(copy.base(), Dense<double>::Zero(13, 9));
  CHECK(equal_entries(W.base(), f.W0));
  auto expression = f.make() * f.X;
  CHECK_CLOSE(expression.eval(), f.value * exact(f.X), f.bound);
}

TEST_CASE("what is left of a temporary in an expression is moved in") {
  const Fixture<double> f;
  const Stored<double> dY = random_stored<double>(13, 5, 5);
  auto transposed = f.make().transpose() * dY;
  CHECK_CLOSE(transposed.eval(), f.value.transpose() * exact(dY), f.bound);
  const auto low_rank = f.make().low_rank();
  CHECK(equal_entries(low_rank.U(), f.U));
  const auto base = f.make().base();
  const auto U = f.make().U();
  const auto V2 = f.make().V();
  CHECK(equal_entries(base, f.W0));
  CHECK(equal_entries(U, f.U));
  CHECK(equal_entries(V2, f.V));
}

TEST_CASE("an expression kept over growth, truncation or a merge is an error or the new value") {
  const Fixture<double> f;
  auto W = f.make();
  const Stored<double> dY = random_stored<double>(13, 5, 5);
  Stored<double> Y = W * f.X;
  const auto product = W * f.X;
  const auto transposed = W.transpose() * dY;
  const auto gradients = ac::gradients(W * f.X, dY);
  const auto all_refuse = [&] {
    CHECK_THROWS_AS(Y = product, ac::ShapeError);
    CHECK_THROWS_AS(Y = transposed, ac::ShapeError);
    CHECK_THROWS_AS(Y = gradients.V, ac::ShapeError);
  };
  W.grow(2, ac::init::orthogonal()); // beyond the capacity
  all_refuse();
  W.grow(2, ac::init::orthogonal()); // within it
  all_refuse();
  W.truncate({.max_rank = 2});
  all_refuse();
  W.low_rank() = ac::LowRankMatrix<double, TestBackend>(f.U, f.V);
  W.set_scale(2.0);
  const Exact twice = exact(f.W0) + 2 * exact(f.U) * exact(f.V).transpose();
  Y = product;
  CHECK_CLOSE(Y, twice * exact(f.X), f.bound);
  Y = gradients.X;
  CHECK_CLOSE(Y, twice.transpose() * exact(dY), f.bound);
  Y = gradients.U;
  CHECK_CLOSE(Y, 2 * exact(dY) * exact(f.X).transpose() * exact(f.V), f.bound * 20);
  W.merge();
  all_refuse();
  const auto gone = std::move(W);
  CHECK_THROWS_AS(Y = product, ac::ShapeError);
}

TEST_CASE("the update leaves without the base, which stays") {
  const Fixture<double> f;
  using LowRank = ac::LowRankMatrix<double, TestBackend>;
  auto W = f.make();
  const LowRank out = std::exchange(W.low_rank(), LowRank(13, 9));
  CHECK(equal_entries(out.U(), f.U));
  CHECK(equal_entries(out.V(), f.V));
  CHECK(W.rank() == 0);
  CHECK(equal_entries(W.base(), f.W0));
  Stored<double> Y = W * f.X;
  CHECK_CLOSE(Y, exact(f.W0) * exact(f.X), f.bound);

  auto one = f.make();
  const auto times = [](double number, const Stored<double>& matrix) {
    return on_backend(number * ac::to_host(matrix));
  };
  Fixture<double>::Update two(times(2, f.W0), LowRank(times(3, f.U), f.V));
  std::swap(one.low_rank(), two.low_rank());
  CHECK(equal_entries(one.U(), times(3, f.U)));
  CHECK(equal_entries(two.U(), f.U));
  CHECK(equal_entries(one.base(), f.W0));
  CHECK(equal_entries(two.base(), times(2, f.W0)));
  LowRank plain(times(5, f.U), f.V);
  std::swap(one.low_rank(), plain);
  CHECK(equal_entries(plain.U(), times(3, f.U)));
  CHECK(equal_entries(one.U(), times(5, f.U)));
  CHECK(equal_entries(one.base(), f.W0));
  auto expression = std::move(two.low_rank()) * f.X;
  Y = expression;
  CHECK_CLOSE(Y, exact(f.U) * exact(f.V).transpose() * exact(f.X), f.bound);
  CHECK(equal_entries(two.base(), times(2, f.W0)));
}

TEST_CASE("a CumulativeUpdate that was moved from is 0 x 0, with a borrowed base too") {
  Fixture<double> f;
  auto W = Fixture<double>::Update::borrow(ac::view_of(f.W0));
  const auto taken = std::move(W);
  CHECK(address_of(taken.base()) == f.W0.data());
  CHECK(W.rows() == 0);
  CHECK(W.base_view().empty());
}

TEST_CASE("a borrowed base may be row-major, a copy of it is not") {
  Stored<double> memory = random_stored<double>(48, 2, 7);
  const Exact base = exact(memory).transpose();
  const Stored<double> X = random_stored<double>(48, 3, 8);
  auto W = ac::CumulativeUpdate<double, TestBackend>::borrow(ac::view_of(memory).transposed());
  const Stored<double> Y = W * X;
  CHECK_CLOSE(Y, base * exact(X), rounding_bound<double>(48, 30));
  CHECK(address_of(W.base_view()) == memory.data());
  const auto copy = std::move(W).base();
  CHECK(equal_entries(copy, base.cast<double>()));
}

TEST_CASE("bases of another shape are refused") {
  const Fixture<float> f;
  CHECK_THROWS_WITH_AS(
      (Fixture<float>::Update(f.X, ac::LowRankMatrix<float, TestBackend>(f.U, f.V))),
      "accrete: CumulativeUpdate of 9 x 5 and 13 x 9: W0 and U Vᵀ must have the same shape",
      ac::ShapeError);
}

TEST_CASE_TEMPLATE("the base stays where it is through growth, truncation and assignments", Scalar,
                   TEST_SCALARS) {
  const Fixture<Scalar> f;
  using Update = typename Fixture<Scalar>::Update;
  using LowRank = ac::LowRankMatrix<Scalar, TestBackend>;
  const auto check = [&](const Update& W, Index rank) {
    CHECK(W.rank() == rank);
    CHECK(equal_entries(W.base(), f.W0));
  };
  auto W = f.make();
  const Scalar* base = address_of(W.base());
  check(W, 3);
  W.grow(4, ac::init::zero()); // beyond the capacity
  check(W, 7);
  CHECK(address_of(W.base()) == base);
  CHECK(equal_entries(columns_of(W.U(), 0, 3), f.U));
  CHECK(equal_entries(columns_of(W.V(), 0, 3), f.V));
  W.reserve(9);
  check(W, 7);
  W.low_rank().append(columns_of(W.U(), 0, 2), columns_of(W.V(), 0, 2));
  check(W, 9);
  CHECK(equal_entries(columns_of(W.U(), 7, 2), columns_of(f.U, 0, 2)));

  auto copy = W;
  check(copy, 9);
  CHECK(address_of(copy.base()) != address_of(W.base()));
  const Scalar* where = address_of(copy.base());
  copy.low_rank() = LowRank(f.U, f.V);
  check(copy, 3);
  copy.low_rank() = copy.low_rank().expression() + copy.low_rank().expression();
  check(copy, 6);
  CHECK(equal_entries(columns_of(copy.U(), 3, 3), f.U));
  const LowRank factors(Stored<Scalar>(columns_of(f.U, 0, 1)),
                        Stored<Scalar>(columns_of(f.V, 0, 1)));
  copy.low_rank() = factors;
  check(copy, 1);
  copy.low_rank() = W.low_rank().expression() + factors.expression();
  check(copy, 10);
  CHECK(address_of(copy.base()) == where);
  CHECK(copy.scale() == Scalar{0.5});
  check(W, 9);

  LowRank alone = W.low_rank(); // takes the factors, not the base
  CHECK(equal_entries(alone.U(), W.U()));
  CHECK(alone.capacity() == W.capacity());
  alone = LowRank(2, 2);
  CHECK(alone.rows() == 2);

  Update moved = std::move(W);
  check(moved, 9);
  W = copy;
  check(W, 10);
  W = std::move(moved);
  check(W, 9);

  CHECK_THROWS_WITH_AS(W.low_rank() = LowRank(13, 8), doctest::Contains("13 x 8"), ac::ShapeError);
  check(W, 9);
}

TEST_CASE_TEMPLATE("a temporary update can stand in an expression", Scalar, TEST_SCALARS) {
  Fixture<Scalar> f;
  using Update = typename Fixture<Scalar>::Update;
  using LowRank = ac::LowRankMatrix<Scalar, TestBackend>;
  const auto owned = f.make() * f.X;
  const auto copied = owned;
  Stored<Scalar> Y = copied;
  CHECK_CLOSE(Y, f.value * exact(f.X), f.bound);
  const auto borrowed = Update::borrow(ac::view_of(f.W0), LowRank(f.U, f.V)) * f.X;
  Y = borrowed;
  CHECK_CLOSE(Y, (exact(f.W0) + exact(f.U) * exact(f.V).transpose()) * exact(f.X), f.bound);
}

TEST_CASE_TEMPLATE("from a sum of a base and an update", Scalar, TEST_SCALARS) {
  const Stored<Scalar> W0 = random_stored<Scalar>(6, 5, 1);
  const Stored<Scalar> U = random_stored<Scalar>(6, 2, 2);
  const Stored<Scalar> V = random_stored<Scalar>(5, 2, 3);
  const Exact value = exact(W0) + exact(U) * exact(V).transpose() / 2;
  const long double bound = rounding_bound<Scalar>(10, value.norm());
  const auto update = accrete::outer<TestBackend>(U, V) / 2;
  for (const accrete::CumulativeUpdate<Scalar, TestBackend>& W :
       {accrete::CumulativeUpdate<Scalar, TestBackend>(W0 + update),
        accrete::CumulativeUpdate<Scalar, TestBackend>(update + W0)}) {
    CHECK(W.rank() == 2);
    CHECK(equal_entries(W.base(), W0));
    CHECK_CLOSE(Stored<Scalar>(W), value, bound);
  }
  accrete::CumulativeUpdate<Scalar, TestBackend> later;
  CHECK(later.rows() == 0);
  CHECK(later.cols() == 0);
  later = accrete::CumulativeUpdate<Scalar, TestBackend>(W0 + update);
  CHECK(later.rank() == 2);
}

TEST_CASE("one line says what a matrix and its truncation are") {
  accrete::CumulativeUpdate<double, TestBackend> W(
      on_backend(Dense<double>::Zero(6, 5)),
      {on_backend(Dense<double>::Identity(6, 2)), on_backend(Dense<double>::Identity(5, 2))});
  W.set_scale(0.5);
  W.reserve(4);
  const auto text = [](const auto& object) {
    std::ostringstream out;
    out << object;
    return out.str();
  };
  CHECK(text(W) == "CumulativeUpdate 6 x 5, rank 2, scale 0.5");
  CHECK(text(W.low_rank()) == "LowRankMatrix 6 x 5, rank 2, capacity 4");
  CHECK(text(W.truncate({.max_rank = 1})) == "TruncationReport: rank 2 -> 1, discarded energy 0.5");
  const Stored<double> X = on_backend(Dense<double>::Zero(5, 3));
  const auto product = W * X;
  CHECK(text(accrete::plan(product)) == accrete::plan(product).text());
}
