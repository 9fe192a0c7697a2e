// SPDX-License-Identifier: MIT
#include "stored.hpp"

#include <accrete/factor/three_factor_matrix.hpp>
#include <accrete/grad/three_factor_pass.hpp>
#include <accrete/grow/rank_policies.hpp>

#include <cmath>
#include <sstream>
#include <utility>

namespace ac = accrete;

namespace {

template <class Scalar>
using ThreeFactor = ac::ThreeFactorMatrix<Scalar, TestBackend>;

/// Parts of which none is symmetric, diagonal or orthonormal.
template <class Scalar>
struct Parts {
  Stored<Scalar> U = random_stored<Scalar>(13, 4, 1);
  Stored<Scalar> S = random_stored<Scalar>(4, 4, 2);
  Stored<Scalar> V = random_stored<Scalar>(9, 4, 3);
  Exact value = exact(U) * exact(S) * exact(V).transpose();
  long double norms = exact(U).norm() * exact(S).norm() * exact(V).norm();

  [[nodiscard]] ThreeFactor<Scalar> matrix() const { return {U, S, V}; }
};

template <class Scalar>
Exact value_of(const ThreeFactor<Scalar>& W) {
  return exact(W.U()) * exact(W.S()) * exact(W.V()).transpose();
}

} // namespace

TEST_CASE_TEMPLATE("U S Vᵀ is an operand of products and sums", Scalar, TEST_SCALARS) {
  const Parts<Scalar> parts;
  const auto W = parts.matrix();
  const auto X = random_stored<Scalar>(9, 5, 4);
  const auto Y = random_stored<Scalar>(13, 5, 5);
  const long double bound = rounding_bound<Scalar>(30, parts.norms * exact(X).norm());
  CHECK_CLOSE((W * X).eval(), parts.value * exact(X), bound);
  CHECK_CLOSE((W.transpose() * Y).eval(), parts.value.transpose() * exact(Y),
              rounding_bound<Scalar>(30, parts.norms * exact(Y).norm()));
  CHECK_CLOSE((W + Scalar{2} * ac::outer<TestBackend>(parts.U, parts.V)).eval(),
              parts.value + 2 * exact(parts.U) * exact(parts.V).transpose(),
              rounding_bound<Scalar>(30, parts.norms + 2 * parts.norms));
  // A temporary is moved in.
  const auto owned = parts.matrix() * X;
  CHECK_CLOSE(owned.eval(), parts.value * exact(X), bound);
  // As factors.
  CHECK((exact(W.low_rank().U()) * exact(W.low_rank().V()).transpose() - parts.value).norm() <=
        rounding_bound<Scalar>(20, parts.norms));
  const ac::LowRankMatrix<Scalar, TestBackend> lifted = W.expression();
  CHECK(lifted.rank() == 4);
  CHECK((exact(lifted.U()) * exact(lifted.V()).transpose() - parts.value).norm() <=
        rounding_bound<Scalar>(20, parts.norms));
}

TEST_CASE_TEMPLATE("truncation with a core that is not symmetric is the best approximation", Scalar,
                   TEST_SCALARS) {
  const Parts<Scalar> parts;
  for (const ac::Index rank : {1, 2, 3, 4}) {
    auto W = parts.matrix();
    W.orthogonalize();
    CHECK((value_of(W) - parts.value).norm() <= rounding_bound<Scalar>(60, parts.norms));
    for (const Exact& basis : {exact(W.U()), exact(W.V())}) {
      CHECK((basis.transpose() * basis - Exact::Identity(4, 4)).norm() <=
            rounding_bound<Scalar>(60, 2));
    }
    const Exact core = exact(W.S());
    CHECK((core - core.transpose()).norm() > 0.1L * core.norm());
    const auto report = W.truncate({.max_rank = rank});
    const Eigen::JacobiSVD<Exact> svd(parts.value, Eigen::ComputeThinU | Eigen::ComputeThinV);
    const Exact best = svd.matrixU().leftCols(rank) * svd.singularValues().head(rank).asDiagonal() *
                       svd.matrixV().leftCols(rank).transpose();
    CHECK(W.rank() == rank);
    CHECK((value_of(W) - best).norm() <= rounding_bound<Scalar>(400, parts.norms));
    CHECK((exact(W.S()) - Exact(exact(W.S()).diagonal().asDiagonal())).norm() == 0);
    CHECK((report.singular_values.template cast<long double>() - svd.singularValues().head(4))
              .norm() <= rounding_bound<Scalar>(100, parts.norms));
    // The core's gradient moves by the report's basis.
    CHECK((report.basis.left.transpose().template cast<long double>() * core *
               report.basis.right.template cast<long double>() -
           exact(W.S()))
              .norm() <= rounding_bound<Scalar>(100, parts.norms));
  }
}

TEST_CASE("tolerances and rank policies choose the rank") {
  const Parts<double> parts;
  auto W = parts.matrix();
  W.orthogonalize();
  const auto values = W.singular_values();
  const double tail = std::hypot(values[2], values[3]) / values.norm();
  CHECK(ThreeFactor<double>(W).truncate({.tolerance = tail * 1.01}).rank_after == 2);
  CHECK(ThreeFactor<double>(W).truncate({.tolerance = tail * 0.99}).rank_after == 3);
  const auto report = W.truncate();
  CHECK(report.rank_after == 4);
  W.set_rank(ac::rank_by::tail_norm(tail * 1.01)(report.singular_values));
  CHECK(W.rank() == 2);
  CHECK((value_of(W) - parts.value).norm() <= tail * parts.value.norm() * (1 + 1e-12));
  CHECK(W.capacity() == 4);
}

TEST_CASE("the rank changes within the capacity, and spare columns become zero") {
  const Parts<double> parts;
  auto W = parts.matrix();
  W.reserve(7);
  CHECK(W.capacity() == 7);
  CHECK((value_of(W) - parts.value).norm() <= rounding_bound<double>(20, parts.norms));
  const auto* const u = address_of(W.U());
  W.set_rank(2);
  W.set_rank(6);
  CHECK(address_of(W.U()) == u);
  CHECK(exact(W.U()).rightCols(4).norm() == 0);
  CHECK(exact(W.S()).norm() == exact(W.S()).topLeftCorner(2, 2).norm());
  CHECK((value_of(W) - exact(parts.U).leftCols(2) * exact(parts.S).topLeftCorner(2, 2) *
                           exact(parts.V).leftCols(2).transpose())
            .norm() <= rounding_bound<double>(20, parts.norms));
  CHECK_THROWS_AS(W.set_rank(8), ac::RankError);
  CHECK_THROWS_AS((ThreeFactor<double>(parts.U, parts.S, random_stored<double>(9, 3, 3))),
                  ac::ShapeError);
  CHECK_THROWS_AS((ThreeFactor<double>(-1, 3)), ac::ShapeError);

  const auto X = random_stored<double>(9, 5, 4);
  const auto product = W * X;
  W.set_rank(3);
  CHECK_THROWS_AS((void)product.eval(), ac::ShapeError);
  std::ostringstream text;
  text << W;
  CHECK(text.str() == "ThreeFactorMatrix 13 x 9, rank 3, capacity 7");
  const auto moved = std::move(W);
  CHECK(moved.rank() == 3);
  CHECK(W.rank() == 0); // NOLINT(bugprone-use-after-move): what is left is defined
}

TEST_CASE("the parts of an SVD are taken over") {
  const Parts<double> parts;
  const ThreeFactor<double> W(ac::svd(ac::outer<TestBackend>(parts.U, parts.V)));
  const Exact value = exact(parts.U) * exact(parts.V).transpose();
  CHECK((value_of(W) - value).norm() <= rounding_bound<double>(100, value.norm()));
}

TEST_CASE_TEMPLATE("the gradients of U S Vᵀ X", Scalar, TEST_SCALARS) {
  const Parts<Scalar> parts;
  auto W = parts.matrix();
  W.reserve(6);
  const auto X = random_stored<Scalar>(9, 5, 4);
  const auto dY = random_stored<Scalar>(13, 5, 5);
  ac::ThreeFactorPass<Scalar, TestBackend> pass;
  const Exact G = exact(dY) * exact(X).transpose();
  const Exact U = exact(parts.U);
  const Exact S = exact(parts.S);
  const Exact V = exact(parts.V);
  const long double bound =
      rounding_bound<Scalar>(60, parts.norms * exact(X).norm() * (1 + exact(dY).norm()));
  for (int repeat = 0; repeat < 2; ++repeat) {
    CHECK_CLOSE(pass.forward(W, X).eval(), parts.value * exact(X), bound);
    const auto g = pass.backward(W, X, dY);
    CHECK_CLOSE(g.U.eval(), G * V * S.transpose(), bound);
    CHECK_CLOSE(g.S.eval(), U.transpose() * G * V, bound);
    CHECK_CLOSE(g.V.eval(), G.transpose() * U * S, bound);
    CHECK_CLOSE(g.X.eval(), parts.value.transpose() * exact(dY), bound);
    CHECK_CLOSE(g.K.eval(), G * V, bound);
    CHECK_CLOSE(g.L.eval(), G.transpose() * U, bound);
  }
  const auto narrow = random_stored<Scalar>(13, 4, 6);
  CHECK_THROWS_AS((void)pass.backward(W, X, narrow), ac::ShapeError);
  W.set_rank(3);
  CHECK_THROWS_AS((void)pass.backward(W, X, dY), ac::ShapeError);
}
