// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/row_norms.hpp>

#include <cmath>
#include <limits>

using accrete::column_norms;
using accrete::Context;
using accrete::CumulativeUpdate;
using accrete::Index;
using accrete::LowRankMatrix;
using accrete::row_norms;
using accrete::ScopedContext;
using accrete::to_host;
using accrete::view_of;

namespace {

struct Shape {
  Index rows;
  Index cols;
  Index rank;
};

template <class S>
constexpr double epsilon = static_cast<double>(std::numeric_limits<S>::epsilon());

template <class S>
using Update = CumulativeUpdate<S, TestBackend>;

template <class Matrix>
Eigen::MatrixXd in_double(const Matrix& matrix) {
  return to_host(matrix).template cast<double>();
}

template <class S>
Eigen::MatrixXd formed(const Update<S>& w) {
  return in_double(w.base()) +
         static_cast<double>(w.scale()) * in_double(w.U()) * in_double(w.V()).transpose();
}

template <class S>
Update<S> random_update(const Shape& shape) {
  return Update<S>(on_backend(random_matrix<S>(shape.rows, shape.cols, 1)),
                   {on_backend(random_matrix<S>(shape.rows, shape.rank, 2)),
                    on_backend(random_matrix<S>(shape.cols, shape.rank, 3))});
}

/// Checks every norm against the documented bound.
template <class S>
void check(const Update<S>& w) {
  const Eigen::MatrixXd value = formed(w);
  const Eigen::MatrixXd base = in_double(w.base());
  const Eigen::MatrixXd u = in_double(w.U());
  const Eigen::MatrixXd v = in_double(w.V());
  const double scale = std::abs(static_cast<double>(w.scale()));
  const double factor = static_cast<double>(w.rank() + 2) * epsilon<S>;
  const auto sum_rounding = [](Index count) {
    return static_cast<double>(count) * epsilon<double>;
  };
  const Dense<S> rows = to_host(row_norms(w));
  const Dense<S> columns = to_host(column_norms(w));
  REQUIRE(rows.rows() == w.rows());
  REQUIRE(rows.cols() == 1);
  REQUIRE(columns.rows() == w.cols());
  for (Index i = 0; i < w.rows(); ++i) {
    const double expected = value.row(i).norm();
    const double bound = factor * (base.row(i).norm() + scale * u.row(i).norm() * v.norm()) +
                         sum_rounding(w.cols()) * expected;
    CHECK(std::abs(static_cast<double>(rows(i, 0)) - expected) <= bound);
  }
  for (Index j = 0; j < w.cols(); ++j) {
    const double expected = value.col(j).norm();
    const double bound = factor * (base.col(j).norm() + scale * v.row(j).norm() * u.norm()) +
                         sum_rounding(w.rows()) * expected;
    CHECK(std::abs(static_cast<double>(columns(j, 0)) - expected) <= bound);
  }
}

} // namespace

TEST_CASE_TEMPLATE("row and column norms are those of the formed matrix", S, TEST_SCALARS) {
  for (const Shape& shape : {Shape{9, 6, 3}, Shape{6, 9, 0}, Shape{1, 40, 2}, Shape{40, 1, 1},
                             Shape{50, 70, 5}, Shape{0, 3, 0}, Shape{3, 0, 0}}) {
    CAPTURE(shape.rows);
    CAPTURE(shape.cols);
    Update<S> w = random_update<S>(shape);
    w.set_scale(S(-0.75));
    check<S>(w);
  }
}

TEST_CASE_TEMPLATE("pieces of a matrix larger than the cache", S, TEST_SCALARS) {
  // More entries a column than one piece has for 16 columns, and a count that 16 does not divide.
  check<S>(random_update<S>({9000, 37, 2}));
}

TEST_CASE_TEMPLATE("norms where base and update cancel", S, TEST_SCALARS) {
  const Dense<S> u = random_matrix<S>(30, 4, 1);
  const Dense<S> v = random_matrix<S>(20, 4, 2);
  Dense<S> base = -(u * v.transpose());
  const LowRankMatrix<S, TestBackend> update(on_backend(u), on_backend(v));
  const Update<S> w(on_backend(base), update);
  check<S>(w); // what is left is the rounding of the base
  CHECK(to_host(row_norms(w)).allFinite());
  CHECK(to_host(row_norms(w)).norm() <= 20 * epsilon<S> * base.norm());
  // A difference far below sqrt(epsilon), where the expanded square has no digit left.
  const auto delta = static_cast<S>(std::pow(epsilon<S>, 0.7));
  base.row(7).array() += delta;
  const Update<S> moved(on_backend(base), update);
  check<S>(moved);
  CHECK(static_cast<double>(to_host(row_norms(moved))(7, 0)) ==
        doctest::Approx(static_cast<double>(delta) * std::sqrt(20.0)).epsilon(0.1));
}

TEST_CASE_TEMPLATE("row norms of a borrowed base, far scales and NaN", S, TEST_SCALARS) {
  Dense<S> entries = random_matrix<S>(12, 8, 1);
  Stored<S> storage = on_backend(entries);
  const auto borrowed = Update<S>::borrow(
      view_of(storage).block(0, 0, 7, 8),
      {on_backend(random_matrix<S>(7, 2, 2)), on_backend(random_matrix<S>(8, 2, 3))});
  check<S>(borrowed);
  if constexpr (std::is_same_v<S, double>) {
    for (const double far : {1e-300, 1e300}) {
      const Update<S> w(on_backend(Dense<S>::Constant(4, 9, far)));
      CHECK(to_host(row_norms(w))(2, 0) / far == doctest::Approx(3.0));
    }
  }
  entries(3, 2) = std::numeric_limits<S>::quiet_NaN();
  view_of(storage) = operand(entries); // where it is
  const Dense<S> norms = to_host(row_norms(borrowed));
  CHECK(std::isnan(norms(3, 0)));
  CHECK(std::isfinite(norms(2, 0)));
}

TEST_CASE_TEMPLATE("row norms form a few columns at a time", S, TEST_SCALARS) {
  const Index m = 2000;
  const Index n = 3000;
  Context<TestBackend> context;
  const ScopedContext<TestBackend> use(context);
  const Update<S> w(on_backend(Dense<S>::Ones(m, n)),
                    {on_backend(Dense<S>::Ones(m, 1)), on_backend(Dense<S>::Ones(n, 1))});
  CHECK(to_host(row_norms(w))(m - 1, 0) == doctest::Approx(2 * std::sqrt(double(n))));
  CHECK(to_host(column_norms(w))(n - 1, 0) == doctest::Approx(2 * std::sqrt(double(m))));
  CHECK(context.device().workspace().capacity() < std::size_t(m * n) * sizeof(S) / 8);
}
