// SPDX-License-Identifier: MIT
#include "placed.hpp"

#include <accrete/backend/bias.hpp>

#include <cmath>
#include <limits>
#include <vector>

using accrete::Index;
using accrete::to_host;
using accrete::view_of;

namespace {

template <class S>
using Mat = Dense<S>;
using Kernels = accrete::Kernels<TestBackend>;

/// Runs kernel(source, target) for sources and targets of both orders and within larger matrices,
/// and checks that exactly the target's entries become `expected`. The target begins as `start`.
template <class S, class Kernel>
void check_orders(const Mat<S>& source, const Mat<S>& start, const Mat<S>& expected,
                  const Kernel& kernel) {
  for (const Layout from : layouts) {
    const Placed<S> operand(source, from);
    for (const Layout to : layouts) {
      CAPTURE(static_cast<int>(from));
      CAPTURE(static_cast<int>(to));
      Placed<S> target(start, to);
      kernel(operand.view(), target.view());
      CHECK(target.is(expected));
    }
  }
}

/// Small whole numbers, so that sums and products are exact.
template <class S>
Mat<S> whole_numbers(Index rows, Index cols) {
  return (S{8} * Mat<S>::Random(rows, cols)).array().round();
}

template <class S>
Mat<S> norms_of_columns(const Mat<S>& matrix) {
  const Stored<S> operand = on_backend(matrix);
  Stored<S> norms(matrix.cols(), 1);
  Kernels::column_norms(test_device(), view_of(operand), view_of(norms));
  return to_host(norms);
}

} // namespace

TEST_CASE_TEMPLATE("scale_columns multiplies each column by its factor", S, float, double) {
  const Mat<S> a = Mat<S>::Random(21, 6);
  const Mat<S> factors = Mat<S>::Random(6, 1);
  const Mat<S> nan = Mat<S>::Constant(21, 6, std::numeric_limits<S>::quiet_NaN());
  const Mat<S> expected = a * factors.col(0).asDiagonal();
  const Stored<S> by = on_backend(factors);
  check_orders<S>(a, nan, expected, [&](StoredView<const S> from, StoredView<S> to) {
    Kernels::scale_columns(test_device(), from, view_of(by), to);
  });
  Stored<S> in_place = on_backend(a);
  Kernels::scale_columns(test_device(), StoredView<const S>(view_of(in_place)), view_of(by),
                         view_of(in_place));
  CHECK(to_host(in_place) == expected);
}

TEST_CASE_TEMPLATE("column_norms has the norm of every column in one call", S, float, double) {
  // 3-4-5: the norm is a whole number.
  Mat<S> a = Mat<S>::Zero(9, 4);
  a(1, 0) = 3;
  a(7, 0) = -4;
  a.col(1).setConstant(2);
  a(0, 2) = -5;
  const Mat<S> expected = (Mat<S>(4, 1) << 5, 6, 5, 0).finished();
  check_orders<S>(a, Mat<S>::Constant(4, 1, S{-1}), expected,
                  [&](StoredView<const S> from, StoredView<S> to) {
                    Kernels::column_norms(test_device(), from, to);
                  });

  // A column beyond those that are threads' shares, and sums whose order is free.
  const Mat<S> large = Mat<S>::Random(700, 130);
  const Mat<S> norms = norms_of_columns(large);
  for (Index j = 0; j < 130; ++j) {
    const double exact = large.col(j).template cast<double>().norm();
    CHECK(std::abs(static_cast<double>(norms(j, 0)) - exact) <=
          (std::numeric_limits<S>::epsilon() + 700 * std::numeric_limits<double>::epsilon()) *
              exact);
  }
}

TEST_CASE_TEMPLATE("column_norms at the ends of the range, of NaN and of infinity", S, float,
                   double) {
  using Limits = std::numeric_limits<S>;
  Mat<S> columns(3, 4);
  const S huge = Limits::max() / 8;
  const S tiny = 4 * Limits::min();
  columns.col(0) = huge * Eigen::Matrix<S, 3, 1>(2, 3, 6) / 2;
  columns.col(1) = tiny * Eigen::Matrix<S, 3, 1>(2, 3, 6);
  columns.col(2) << 1, Limits::quiet_NaN(), 2;
  columns.col(3) << 1, 2, -Limits::infinity();
  const Mat<S> norms = norms_of_columns(columns);
  CHECK(std::abs(norms(0, 0) / huge - S(3.5)) <= 8 * Limits::epsilon());
  CHECK(std::abs(norms(1, 0) / tiny - S(7)) <= 8 * Limits::epsilon());
  CHECK(std::isnan(norms(2, 0)));
  CHECK(norms(3, 0) == Limits::infinity());
}

TEST_CASE_TEMPLATE("add_diagonal adds to the main diagonal and to nothing else", S, float, double) {
  for (const auto& [rows, cols] : {std::pair{6, 6}, {9, 4}, {4, 9}, {0, 3}}) {
    const Mat<S> a = whole_numbers<S>(rows, cols);
    const Mat<S> expected = a + S(2.5) * Mat<S>::Identity(rows, cols);
    check_orders<S>(a, a, expected, [&](StoredView<const S>, StoredView<S> to) {
      Kernels::add_diagonal(test_device(), S(2.5), to);
    });
  }
}

TEST_CASE_TEMPLATE("gather_columns takes columns in any order, again, and none", S, float, double) {
  const Mat<S> a = Mat<S>::Random(17, 5);
  const std::vector<Index> columns = {4, 0, -1, 4, 2, 1};
  Mat<S> expected(17, 6);
  for (Index j = 0; j < 6; ++j) {
    const Index from = columns[static_cast<std::size_t>(j)];
    expected.col(j) = from < 0 ? Mat<S>::Zero(17, 1) : Mat<S>(a.col(from));
  }
  const Mat<S> nan = Mat<S>::Constant(17, 6, std::numeric_limits<S>::quiet_NaN());
  check_orders<S>(a, nan, expected, [&](StoredView<const S> from, StoredView<S> to) {
    Kernels::gather_columns(test_device(), from, columns, to);
  });
}

TEST_CASE_TEMPLATE("scatter_add_columns adds to the columns that are named", S, float, double) {
  const Mat<S> a = whole_numbers<S>(17, 3);
  const Mat<S> c = whole_numbers<S>(17, 6);
  const std::vector<Index> columns = {5, 0, 3};
  Mat<S> expected = c;
  expected.col(5) += a.col(0);
  expected.col(0) += a.col(1);
  expected.col(3) += a.col(2);
  check_orders<S>(a, c, expected, [&](StoredView<const S> from, StoredView<S> to) {
    Kernels::scatter_add_columns(test_device(), from, columns, to);
  });
}

TEST_CASE_TEMPLATE("khatri_rao multiplies each column by each", S, float, double) {
  const Mat<S> a = Mat<S>::Random(19, 3);
  const Mat<S> b = Mat<S>::Random(19, 4);
  Mat<S> expected(19, 12);
  for (Index i = 0; i < 3; ++i) {
    for (Index j = 0; j < 4; ++j) {
      expected.col(i * 4 + j) = a.col(i).cwiseProduct(b.col(j));
    }
  }
  const Mat<S> nan = Mat<S>::Constant(19, 12, std::numeric_limits<S>::quiet_NaN());
  for (const Layout layout : {Layout::columns, Layout::rows}) {
    const Placed<S> right(b, layout);
    check_orders<S>(a, nan, expected, [&](StoredView<const S> from, StoredView<S> to) {
      Kernels::khatri_rao(test_device(), from, right.view(), to);
    });
  }
}

TEST_CASE_TEMPLATE("column kernels do nothing to matrices without entries", S, float, double) {
  const Stored<S> no_columns(5, 0);
  const Stored<S> no_rows(0, 4);
  const Stored<S> factors = on_backend(Mat<S>::Ones(4, 1));
  Stored<S> narrow(5, 0);
  Stored<S> flat(0, 4);
  Stored<S> norms(0, 1);
  Kernels::scale_columns(test_device(), view_of(no_rows), view_of(factors), view_of(flat));
  Kernels::column_norms(test_device(), view_of(no_columns), view_of(norms));
  Kernels::gather_columns(test_device(), view_of(no_columns), std::vector<Index>{},
                          view_of(narrow));
  Kernels::scatter_add_columns(test_device(), view_of(no_columns), std::vector<Index>{},
                               view_of(narrow));
  Kernels::khatri_rao(test_device(), view_of(no_columns), view_of(no_columns), view_of(narrow));
  // Of no entries, so zero.
  Stored<S> zeros = on_backend(Mat<S>::Ones(4, 1));
  Kernels::column_norms(test_device(), view_of(no_rows), view_of(zeros));
  CHECK(to_host(zeros).isZero(S{0}));
}

TEST_CASE_TEMPLATE("large matrices are shared out to threads column by column", S, float, double) {
  const Index rows = 900;
  const Index cols = 211;
  const Mat<S> a = Mat<S>::Random(rows, cols);
  const Mat<S> factors = Mat<S>::Random(cols, 1);
  std::vector<Index> reversed(static_cast<std::size_t>(cols));
  for (Index j = 0; j < cols; ++j) {
    reversed[static_cast<std::size_t>(j)] = cols - 1 - j;
  }
  const Stored<S> operand = on_backend(a);
  const Stored<S> by = on_backend(factors);
  Stored<S> scaled(rows, cols);
  Stored<S> gathered(rows, cols);
  Kernels::scale_columns(test_device(), view_of(operand), view_of(by), view_of(scaled));
  Kernels::gather_columns(test_device(), view_of(operand), reversed, view_of(gathered));
  CHECK(to_host(scaled) == a * factors.col(0).asDiagonal());
  CHECK(to_host(gathered) == a.rowwise().reverse());
}

TEST_CASE_TEMPLATE("add_row_sums adds the columns, in their order on hosts", S, float, double) {
  for (const Index rows : {1, 21, 200}) { // of 200 rows several threads take some each
    for (const Index cols : {0, 1, 5, 400}) {
      CAPTURE(rows);
      CAPTURE(cols);
      const Mat<S> whole = whole_numbers<S>(rows, cols);
      const Mat<S> start = whole_numbers<S>(rows, 1);
      const Mat<S> sums = start + whole * Mat<S>::Ones(cols, 1);
      check_orders<S>(whole, start, sums, [](StoredView<const S> from, StoredView<S> to) {
        Kernels::add_row_sums(test_device(), from, to);
      });
      if constexpr (accrete::is_host_backend<TestBackend>) {
        const Mat<S> a = Mat<S>::Random(rows, cols);
        Mat<S> expected = start;
        for (Index j = 0; j < cols; ++j) {
          expected += a.col(j);
        }
        Mat<S> result = start;
        Kernels::add_row_sums(test_device(), view_of(a), view_of(result));
        CHECK(result == expected);
      }
    }
  }
}

TEST_CASE_TEMPLATE("add_to_columns adds a bias to every column", S, float, double) {
  for (const Index cols : {0, 1, 5, 3000}) {
    CAPTURE(cols);
    const Mat<S> c = Mat<S>::Random(21, cols);
    const Mat<S> bias = Mat<S>::Random(21, 1);
    const Stored<S> vector = on_backend(bias);
    for (const Layout layout : layouts) {
      Placed<S> target(c, layout);
      accrete::add_to_columns<TestBackend, S>(test_device(), view_of(vector), target.view());
      CHECK(target.is(c.colwise() + bias.col(0)));
    }
  }
  const Stored<S> vector = on_backend(Mat<S>(Mat<S>::Random(5, 1)));
  Stored<S> target = on_backend(Mat<S>(Mat<S>::Random(4, 3)));
  CHECK_THROWS_WITH_AS(
      (accrete::add_to_columns<TestBackend, S>(test_device(), view_of(vector), view_of(target))),
      doctest::Contains("a bias of 5 x 1 with a matrix of 4 x 3"), accrete::ShapeError);
}
