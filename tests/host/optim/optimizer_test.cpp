// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

using accrete::Index;
using accrete::view_of;

namespace {

using Mat = Dense<double>;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Momentum : accrete::SGD<double, TestBackend> {
  Momentum(Index rows, Index cols) : SGD(rows, cols, {.momentum = 0.9, .nesterov = true}) {}
};

/// Three steps with a new state.
template <class State, class Parameter, class Gradient>
void take_steps(Parameter&& parameter, const Gradient& gradient) {
  State state(parameter.rows(), parameter.cols());
  for (int t = 0; t < 3; ++t) {
    state.step(parameter, gradient, 0.1, 0.5);
  }
}

/// The same of views of column-major copies.
template <class State>
Mat stepped(Mat parameter, const Mat& gradient) {
  State state(parameter.rows(), parameter.cols());
  for (int t = 0; t < 3; ++t) {
    state.step(view_of(parameter), view_of(gradient), 0.1, 0.5);
  }
  return parameter;
}

/// Of Muon, whose five iterations amplify some ten roundings by at most 3.5 each, 525 in all.
long double bound(const Mat& parameter) {
  return rounding_bound<double>(3 * 525 * 10, 1 + exact(parameter).norm());
}

} // namespace

TEST_CASE_TEMPLATE("steps of Eigen objects are steps of their views, wherever the entries lie",
                   State, accrete::AdamW<double, TestBackend>, accrete::Muon<double, TestBackend>,
                   accrete::SGD<double, TestBackend>, Momentum) {
  const Index m = 9;
  const Index k = 4;
  const Mat start = random_matrix<double>(m, k, 1);
  const Mat gradient = random_matrix<double>(m, k, 2);
  const Mat expected = stepped<State>(start, gradient);
  CHECK((expected - start).norm() > 0.1);

  Mat plain = start;
  take_steps<State>(plain, gradient);
  CHECK(plain == expected); // bit for bit: nothing differs

  Mat around = Mat::Constant(m + 3, k + 2, 7);
  around.block(2, 1, m, k) = start;
  take_steps<State>(around.block(2, 1, m, k), gradient);
  CHECK((around.block(2, 1, m, k) - expected).norm() <= bound(expected));
  around.block(2, 1, m, k).setConstant(7);
  CHECK((around.array() == 7).all());

  RowMajor rows = start;
  take_steps<State>(rows, RowMajor(gradient));
  CHECK((rows - expected).norm() <= bound(expected));

  Mat flipped = start.transpose();
  const Mat flipped_gradient = gradient.transpose();
  take_steps<State>(flipped.transpose(), flipped_gradient.transpose());
  CHECK((flipped.transpose() - expected).norm() <= bound(expected));

  accrete::LowRankMatrix<double, TestBackend> factors(start, random_matrix<double>(6, k, 3));
  take_steps<State>(factors.U(), RowMajor(gradient).middleRows(0, m));
  CHECK((factors.U() - expected).norm() <= bound(expected));

  // A single row, which is no run of memory, and a single column.
  Mat row = start;
  take_steps<State>(row.row(5), gradient.row(5));
  CHECK((row.row(5) - stepped<State>(start.row(5), gradient.row(5))).norm() <= bound(expected));
  RowMajor column = start;
  take_steps<State>(column.col(2), gradient.col(2));
  CHECK((column.col(2) - stepped<State>(start.col(2), gradient.col(2))).norm() <= bound(expected));
  row.row(5) = start.row(5);
  column.col(2) = start.col(2);
  CHECK(row == start);
  CHECK(column == start);
}

TEST_CASE_TEMPLATE("a direction goes into a block, and other shapes are refused", State,
                   accrete::AdamW<double, TestBackend>, accrete::Muon<double, TestBackend>,
                   accrete::SGD<double, TestBackend>, Momentum) {
  const Mat gradient = random_matrix<double>(9, 4, 2);
  Mat expected(9, 4);
  State(9, 4).direction(view_of(gradient), view_of(expected));
  Mat around = Mat::Constant(12, 6, 7);
  State(9, 4).direction(RowMajor(gradient), around.block(2, 1, 9, 4));
  CHECK((around.block(2, 1, 9, 4) - expected).norm() <= bound(expected));
  around.block(2, 1, 9, 4).setConstant(7);
  CHECK((around.array() == 7).all());

  State state(9, 4);
  CHECK_THROWS_AS(state.step(around.block(0, 0, 4, 6), gradient, 0.1), accrete::ShapeError);
  CHECK_THROWS_AS(state.step(around.block(0, 0, 9, 4), gradient.transpose(), 0.1),
                  accrete::ShapeError);
  CHECK((around.array() == 7).all());
}
