// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/optim/adamw.hpp>
#include <accrete/optim/muon.hpp>
#include <accrete/optim/sgd.hpp>
#include <accrete/optim/state_policy.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace state = accrete::state;
using accrete::BasisChange;
using accrete::Index;
using accrete::Pruning;
using accrete::to_host;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using AdamW = accrete::AdamW<S, TestBackend>;

// A state after `count` steps; its moments have no zero entry.
template <class State>
State stepped(Index rows, Index cols, int count) {
  using S = typename State::Scalar;
  State result(rows, cols);
  Stored<S> out(rows, cols);
  for (int t = 0; t < count; ++t) {
    result.direction(on_backend(Mat<S>::Random(rows, cols)), out);
  }
  return result;
}

template <class S>
BasisChange<S> random_basis(Index before, Index after) {
  return {Mat<S>::Random(before, after), Mat<S>::Random(before, after)};
}

template <class S>
Index zeros_of(const Mat<S>& matrix) {
  return (matrix.array() == S{0}).count();
}

template <class S>
struct Pair {
  AdamW<S> u = stepped<AdamW<S>>(9, 4, 5);
  AdamW<S> v = stepped<AdamW<S>>(7, 4, 5);
};

} // namespace

TEST_CASE_TEMPLATE("keep changes no bit of a column that stays", S, TEST_SCALARS) {
  for (const Index rank : {2, 4, 6}) {
    CAPTURE(rank);
    Pair<S> before;
    Pair<S> after = before;
    accrete::transport(after.u, after.v, random_basis<S>(4, rank), state::keep());
    const Index kept = std::min<Index>(rank, 4);
    for (const auto& [a, b] : {std::pair{&before.u, &after.u}, std::pair{&before.v, &after.v}}) {
      REQUIRE(b->cols() == rank);
      CHECK(to_host(b->first()).leftCols(kept) == to_host(a->first()).leftCols(kept));
      CHECK(to_host(b->second()).leftCols(kept) == to_host(a->second()).leftCols(kept));
      CHECK(to_host(b->first()).rightCols(rank - kept).isZero(S{0}));
      for (Index j = 0; j < rank; ++j) {
        CHECK(b->steps()[static_cast<std::size_t>(j)] == (j < kept ? 5 : 0));
      }
    }
  }
}

TEST_CASE_TEMPLATE("reset leaves nothing", S, TEST_SCALARS) {
  Pair<S> pair;
  pair.u.freeze_columns(std::array<Index, 1>{1}, 3);
  accrete::transport(pair.u, pair.v, random_basis<S>(4, 3), state::reset());
  for (const auto* optimizer : {&pair.u, &pair.v}) {
    REQUIRE(optimizer->cols() == 3);
    CHECK(to_host(optimizer->first()).isZero(S{0}));
    CHECK(to_host(optimizer->second()).isZero(S{0}));
    CHECK(std::ranges::all_of(optimizer->steps(), [](auto count) { return count == 0; }));
    CHECK(std::ranges::all_of(optimizer->frozen(), [](auto count) { return count == 0; }));
  }
}

TEST_CASE_TEMPLATE("rotate moves each state with the other factor's matrix, and is the default", S,
                   TEST_SCALARS) {
  const Pair<S> before;
  Pair<S> after = before;
  Pair<S> named = before;
  const BasisChange<S> basis = random_basis<S>(4, 3);
  accrete::transport(after.u, after.v, basis);
  accrete::transport(named.u, named.v, basis, state::rotate());
  const S small = 20 * std::numeric_limits<S>::epsilon();
  const Mat<S> u = to_host(before.u.first());
  const Mat<S> v = to_host(before.v.first());
  CHECK((to_host(after.u.first()) - u * basis.right).norm() <=
        small * u.norm() * basis.right.norm());
  CHECK((to_host(after.v.first()) - v * basis.left).norm() <= small * v.norm() * basis.left.norm());
  CHECK(to_host(named.u.second()) == to_host(after.u.second()));
  CHECK(to_host(named.v.first()) == to_host(after.v.first()));
}

TEST_CASE_TEMPLATE("prune zeroes exactly its share, in both moments, by either choice", S,
                   TEST_SCALARS) {
  for (const auto by : {Pruning::By::magnitude, Pruning::By::random}) {
    const Pair<S> before;
    Pair<S> after = before;
    const Pruning pruning{.fraction = 0.75, .by = by, .seed = 3};
    accrete::transport(after.u, after.v, 4, state::prune(pruning));
    const Mat<S> first = to_host(after.u.first());
    const Mat<S> second = to_host(after.u.second());
    CHECK(zeros_of(first) == 27); // of 9 x 4
    CHECK(zeros_of(to_host(after.v.second())) == 21);
    CHECK(((first.array() == S{0}) == (second.array() == S{0})).all());
    const Mat<S> old = to_host(before.u.first());
    CHECK(((first.array() == S{0}) || (first.array() == old.array())).all());
    const Mat<S> old_second = to_host(before.u.second());
    CHECK(((second.array() == S{0}) || (second.array() == old_second.array())).all());
    CHECK(std::ranges::all_of(after.u.steps(), [](auto count) { return count == 5; }));
    const S largest_cleared = (first.array() == S{0}).select(old, S{0}).cwiseAbs().maxCoeff();
    const S least_kept =
        (first.array() == S{0}).select(Mat<S>::Constant(9, 4, S{1}), first).cwiseAbs().minCoeff();
    CHECK((largest_cleared < least_kept) == (by == Pruning::By::magnitude));
  }
}

TEST_CASE_TEMPLATE("prune says how many entries it cleared", S, TEST_SCALARS) {
  AdamW<S> optimizer = stepped<AdamW<S>>(10, 4, 2);
  CHECK(optimizer.prune({.fraction = 0}) == 0);
  CHECK(zeros_of(to_host(optimizer.first())) == 0);
  CHECK(optimizer.prune({.fraction = 0.5}) == 20);
  CHECK(optimizer.prune({.fraction = 0.5}) == 0); // the smallest are the zeros of before
  CHECK(optimizer.prune({.fraction = 0.9}) == 16);
  CHECK(optimizer.prune({.fraction = 1}) == 4);
  CHECK(to_host(optimizer.second()).isZero(S{0}));
  CHECK_THROWS_AS(optimizer.prune({.fraction = 1.5}), accrete::ArgumentError);
  CHECK_THROWS_AS((void)state::prune({.fraction = std::nan("")}), accrete::ArgumentError);
}

TEST_CASE_TEMPLATE("ties do not let a pruning by magnitude take more than its share", S,
                   TEST_SCALARS) {
  accrete::SGD<S, TestBackend> optimizer(8, 5, {.momentum = 0.9});
  Stored<S> out(8, 5);
  optimizer.direction(on_backend(Mat<S>::Constant(8, 5, S{0.5})), out);
  CHECK(optimizer.prune({.fraction = 0.9}) == 36);
  CHECK(zeros_of(to_host(optimizer.momentum())) == 36);
}

TEST_CASE_TEMPLATE("random prunings of one seed repeat, of others differ", S, TEST_SCALARS) {
  const AdamW<S> before = stepped<AdamW<S>>(12, 6, 2);
  const auto pruned = [&](std::uint64_t seed) {
    AdamW<S> optimizer = before;
    optimizer.prune({.fraction = 0.5, .by = Pruning::By::random, .seed = seed});
    return to_host(optimizer.first());
  };
  CHECK(pruned(1) == pruned(1));
  CHECK(pruned(1) != pruned(2));
}

TEST_CASE_TEMPLATE("a pruned state makes no step larger than a new one would", S, TEST_SCALARS) {
  AdamW<S> optimizer = stepped<AdamW<S>>(10, 4, 200);
  optimizer.prune({.fraction = 0.9});
  Stored<S> out(10, 4);
  optimizer.direction(on_backend(Mat<S>::Zero(10, 4)), out);
  CHECK(to_host(out).cwiseAbs().maxCoeff() <= S{4});
}

TEST_CASE_TEMPLATE("a replaced column resets its counterpart's state, which then rests", S,
                   TEST_SCALARS) {
  const Pair<S> before;
  Pair<S> after = before;
  const std::array<Index, 2> replaced{0, 2};
  accrete::reset_counterpart(after.v, replaced);
  CHECK(to_host(after.u.first()) == to_host(before.u.first()));
  const Mat<S> start = Mat<S>::Random(7, 4);
  Stored<S> target = on_backend(start);
  const Stored<S> gradient = on_backend(Mat<S>::Random(7, 4));
  for (int t = 0; t < 5; ++t) {
    for (const Index j : replaced) {
      CHECK(to_host(after.v.first()).col(j).isZero(S{0}));
      CHECK(to_host(after.v.second()).col(j).isZero(S{0}));
    }
    after.v.step(target, gradient, 1e-2);
  }
  const Mat<S> rested = to_host(target);
  CHECK(rested.col(0) == start.col(0));
  CHECK(rested.col(2) == start.col(2));
  CHECK(after.v.steps()[1] == 10);
  CHECK(after.v.steps()[2] == 0);
  // The first step after the rest is a first step: as long as the rate.
  after.v.step(target, gradient, 1e-2);
  const Mat<S> parameter = to_host(target);
  CHECK(after.v.steps()[2] == 1);
  for (Index i = 0; i < 7; ++i) {
    const double moved = static_cast<double>(parameter(i, 2) - rested(i, 2) * S(1 - 1e-4));
    CHECK(std::abs(moved) == doctest::Approx(1e-2).epsilon(1e-3));
  }
  CHECK_THROWS_AS(accrete::reset_counterpart(after.v, std::array<Index, 1>{4}), accrete::RankError);
  CHECK_THROWS_AS(accrete::reset_counterpart(after.v, replaced, -1), accrete::ArgumentError);
  CHECK(after.v.steps()[2] == 1);
}

TEST_CASE_TEMPLATE("all optimizers follow a change of basis", S, TEST_SCALARS) {
  auto sgd = stepped<accrete::SGD<S, TestBackend>>(9, 4, 3);
  auto muon = stepped<accrete::Muon<S, TestBackend>>(7, 4, 3);
  const Mat<S> momentum = to_host(muon.momentum());
  const BasisChange<S> basis = random_basis<S>(4, 2);
  accrete::transport(sgd, muon, basis);
  CHECK(sgd.cols() == 2);
  CHECK((to_host(muon.momentum()) - momentum * basis.left).norm() <=
        20 * std::numeric_limits<S>::epsilon() * momentum.norm() * basis.left.norm());
  accrete::transport(sgd, muon, 5, state::keep());
  CHECK(sgd.cols() == 5);
  CHECK(muon.steps()[4] == 0);
}

TEST_CASE("states that do not fit the change are refused, and both stay") {
  Pair<double> pair;
  AdamW<double> other(7, 5);
  CHECK_THROWS_WITH_AS(accrete::transport(pair.u, other, random_basis<double>(4, 2)),
                       doctest::Contains("state of V has 5"), accrete::ShapeError);
  CHECK(pair.u.cols() == 4);
  CHECK_THROWS_AS(accrete::transport(pair.u, other, random_basis<double>(5, 2), state::keep()),
                  accrete::ShapeError);
  CHECK_THROWS_AS(accrete::transport(pair.u, other, -1, state::keep()), accrete::RankError);
}
