// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using accrete::Index;
using accrete::View;
using accrete::view_of;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using RowMat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Kernels = accrete::Kernels<TestBackend>;

/// Runs kernel(source, target) for sources and targets of both orders and within larger matrices,
/// and checks that exactly the target's entries become `expected`. The target begins as `start`.
template <class S, class Kernel>
void check_orders(const Mat<S>& source, const Mat<S>& start, const Mat<S>& expected,
                  const Kernel& kernel) {
  const RowMat<S> source_rows = source;
  Mat<S> source_within = Mat<S>::Constant(source.rows() + 3, source.cols() + 2, S{9});
  source_within.block(2, 1, source.rows(), source.cols()) = source;
  const std::vector<View<const S>> sources = {
      view_of(source), view_of(source_rows),
      View<const S>(view_of(source_within).block(2, 1, source.rows(), source.cols()))};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    CAPTURE(i);
    Mat<S> flat = start;
    kernel(sources[i], view_of(flat));
    CHECK(flat == expected);
    RowMat<S> rows = start;
    kernel(sources[i], view_of(rows));
    CHECK(Mat<S>(rows) == expected);
    Mat<S> within = Mat<S>::Constant(start.rows() + 4, start.cols() + 3, S{7});
    within.block(1, 2, start.rows(), start.cols()) = start;
    Mat<S> around = within;
    around.block(1, 2, start.rows(), start.cols()) = expected;
    kernel(sources[i], view_of(within).block(1, 2, start.rows(), start.cols()));
    CHECK(within == around);
  }
}

/// Small whole numbers, so that sums and products are exact.
template <class S>
Mat<S> whole_numbers(Index rows, Index cols) {
  return (S{8} * Mat<S>::Random(rows, cols)).array().round();
}

accrete::Device<TestBackend>& device() {
  static accrete::Device<TestBackend> device;
  return device;
}

} // namespace

TEST_CASE_TEMPLATE("scale_columns multiplies each column by its factor", S, float, double) {
  const Mat<S> a = Mat<S>::Random(21, 6);
  const Mat<S> factors = Mat<S>::Random(6, 1);
  const Mat<S> nan = Mat<S>::Constant(21, 6, std::numeric_limits<S>::quiet_NaN());
  const Mat<S> expected = a * factors.col(0).asDiagonal();
  check_orders<S>(a, nan, expected, [&](View<const S> from, View<S> to) {
    Kernels::scale_columns(device(), from, view_of(factors), to);
  });
  Mat<S> in_place = a;
  Kernels::scale_columns(device(), View<const S>(view_of(in_place)), view_of(factors),
                         view_of(in_place));
  CHECK(in_place == expected);
}

TEST_CASE_TEMPLATE("column_norms has the norm of every column in one call", S, float, double) {
  // 3-4-5: the norm is a whole number.
  Mat<S> a = Mat<S>::Zero(9, 4);
  a(1, 0) = 3;
  a(7, 0) = -4;
  a.col(1).setConstant(2);
  a(0, 2) = -5;
  const Mat<S> expected = (Mat<S>(4, 1) << 5, 6, 5, 0).finished();
  check_orders<S>(a, Mat<S>::Constant(4, 1, S{-1}), expected, [&](View<const S> from, View<S> to) {
    Kernels::column_norms(device(), from, to);
  });

  // A column beyond those that are threads' shares, and sums whose order is free.
  const Mat<S> large = Mat<S>::Random(700, 130);
  Mat<S> norms(130, 1);
  Kernels::column_norms(device(), view_of(large), view_of(norms));
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
  const Mat<S> a = columns;
  Mat<S> norms(4, 1);
  Kernels::column_norms(device(), view_of(a), view_of(norms));
  CHECK(std::abs(norms(0, 0) / huge - S(3.5)) <= 8 * Limits::epsilon());
  CHECK(std::abs(norms(1, 0) / tiny - S(7)) <= 8 * Limits::epsilon());
  CHECK(std::isnan(norms(2, 0)));
  CHECK(norms(3, 0) == Limits::infinity());
}

TEST_CASE_TEMPLATE("add_diagonal adds to the main diagonal and to nothing else", S, float, double) {
  for (const auto& [rows, cols] : {std::pair{6, 6}, {9, 4}, {4, 9}, {0, 3}}) {
    const Mat<S> a = whole_numbers<S>(rows, cols);
    const Mat<S> expected = a + S(2.5) * Mat<S>::Identity(rows, cols);
    check_orders<S>(a, a, expected, [&](View<const S>, View<S> to) {
      Kernels::add_diagonal(device(), S(2.5), to);
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
  check_orders<S>(a, nan, expected, [&](View<const S> from, View<S> to) {
    Kernels::gather_columns(device(), from, columns, to);
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
  check_orders<S>(a, c, expected, [&](View<const S> from, View<S> to) {
    Kernels::scatter_add_columns(device(), from, columns, to);
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
  const RowMat<S> b_rows = b;
  check_orders<S>(a, nan, expected, [&](View<const S> from, View<S> to) {
    Kernels::khatri_rao(device(), from, view_of(b), to);
  });
  check_orders<S>(a, nan, expected, [&](View<const S> from, View<S> to) {
    Kernels::khatri_rao(device(), from, view_of(b_rows), to);
  });
}

TEST_CASE_TEMPLATE("column kernels do nothing to matrices without entries", S, float, double) {
  const Mat<S> no_columns(5, 0);
  const Mat<S> no_rows(0, 4);
  const Mat<S> factors = Mat<S>::Ones(4, 1);
  Mat<S> narrow(5, 0);
  Mat<S> flat(0, 4);
  Mat<S> norms(0, 1);
  Kernels::scale_columns(device(), view_of(no_rows), view_of(factors), view_of(flat));
  Kernels::column_norms(device(), view_of(no_columns), view_of(norms));
  Kernels::gather_columns(device(), view_of(no_columns), std::vector<Index>{}, view_of(narrow));
  Kernels::scatter_add_columns(device(), view_of(no_columns), std::vector<Index>{},
                               view_of(narrow));
  Kernels::khatri_rao(device(), view_of(no_columns), view_of(no_columns), view_of(narrow));
  // Of no entries, so zero.
  Mat<S> zeros = Mat<S>::Ones(4, 1);
  Kernels::column_norms(device(), view_of(no_rows), view_of(zeros));
  CHECK(zeros.isZero(S{0}));
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
  Mat<S> scaled(rows, cols);
  Mat<S> gathered(rows, cols);
  Kernels::scale_columns(device(), view_of(a), view_of(factors), view_of(scaled));
  Kernels::gather_columns(device(), view_of(a), reversed, view_of(gathered));
  CHECK(scaled == a * factors.col(0).asDiagonal());
  CHECK(gathered == a.rowwise().reverse());
}
