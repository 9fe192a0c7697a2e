// SPDX-License-Identifier: MIT
#include "placed.hpp"

using accrete::Index;
using accrete::to_host;
using accrete::view_of;

namespace {

using Mat = Dense<double>;

struct Momentum : accrete::SGD<double, TestBackend> {
  Momentum(Index rows, Index cols) : SGD(rows, cols, {.momentum = 0.9, .nesterov = true}) {}
};

/// An optimizer of one's own, which takes views alone.
struct OfViews : Momentum {
  void step(StoredView<double>, StoredView<const double>, double, double);
  void direction(StoredView<const double>, StoredView<double>, double);
};
static_assert(accrete::Optimizer<OfViews>);

/// Three steps with a new state.
template <class State, class Parameter, class Gradient>
void take_steps(Parameter&& parameter, const Gradient& gradient) {
  const auto shape = view_of(gradient);
  State state(shape.rows, shape.cols);
  for (int t = 0; t < 3; ++t) {
    state.step(parameter, gradient, 0.1, 0.5);
  }
}

/// The same of storage.
template <class State>
Mat stepped(const Mat& parameter, const Mat& gradient) {
  Stored<double> result = on_backend(parameter);
  take_steps<State>(result, on_backend(gradient));
  return to_host(result);
}

/// Of Muon, whose five iterations amplify some ten roundings by at most 3.5 each, 525 in all.
long double bound(const Mat& parameter) {
  return rounding_bound<double>(3 * 525 * 10, 1 + exact(parameter).norm());
}

} // namespace

TEST_CASE_TEMPLATE("steps of views are steps of storage, wherever the entries lie", State,
                   accrete::AdamW<double, TestBackend>, accrete::Muon<double, TestBackend>,
                   accrete::SGD<double, TestBackend>, Momentum) {
  static_assert(accrete::Optimizer<State>);
  const Index m = 9;
  const Index k = 4;
  const Mat start = random_matrix<double>(m, k, 1);
  const Mat gradient = random_matrix<double>(m, k, 2);
  const Mat expected = stepped<State>(start, gradient);
  CHECK((expected - start).norm() > 0.1);

  for (const Layout layout : layouts) {
    CAPTURE(static_cast<int>(layout));
    Placed<double> parameter(start, layout);
    take_steps<State>(parameter.view(), Placed<double>(gradient, layout).view());
    const Mat after = parameter.value();
    CHECK((after - expected).norm() <= bound(expected));
    CHECK(parameter.is(after));
  }

  accrete::LowRankMatrix<double, TestBackend> factors(on_backend(start),
                                                      on_backend(random_matrix<double>(6, k, 3)));
  take_steps<State>(factors.U(), Placed<double>(gradient, Layout::rows).view());
  CHECK((to_host(factors.U()) - expected).norm() <= bound(expected));

  // A single row, which is no run of memory, and a single column.
  const Stored<double> by = on_backend(gradient);
  Stored<double> row = on_backend(start);
  take_steps<State>(view_of(row).block(5, 0, 1, k), view_of(by).block(5, 0, 1, k));
  Mat after = to_host(row);
  CHECK((after.row(5) - stepped<State>(start.row(5), gradient.row(5))).norm() <= bound(expected));
  after.row(5) = start.row(5);
  CHECK(after == start);
  Placed<double> column(start, Layout::rows);
  take_steps<State>(column.view().columns(2, 1), view_of(by).columns(2, 1));
  after = column.value();
  CHECK((after.col(2) - stepped<State>(start.col(2), gradient.col(2))).norm() <= bound(expected));
  after.col(2) = start.col(2);
  CHECK(after == start);
}

TEST_CASE_TEMPLATE("a direction goes into a block, and other shapes are refused", State,
                   accrete::AdamW<double, TestBackend>, accrete::Muon<double, TestBackend>,
                   accrete::SGD<double, TestBackend>, Momentum) {
  const Mat gradient = random_matrix<double>(9, 4, 2);
  const Stored<double> by = on_backend(gradient);
  Stored<double> plain(9, 4);
  State(9, 4).direction(by, plain);
  Placed<double> within(Mat::Constant(9, 4, 3), Layout::block);
  State(9, 4).direction(Placed<double>(gradient, Layout::rows).view(), within.view());
  const Mat direction = within.value();
  const Mat expected = to_host(plain);
  CHECK((direction - expected).norm() <= bound(expected));
  CHECK(within.is(direction));

  State state(9, 4);
  Stored<double> parameter = on_backend(Mat::Constant(12, 6, 7));
  const auto around = view_of(parameter);
  CHECK_THROWS_AS(state.step(around.block(0, 0, 4, 6), by, 0.1), accrete::ShapeError);
  CHECK_THROWS_AS(state.step(around.block(0, 0, 9, 4), view_of(by).transposed(), 0.1),
                  accrete::ShapeError);
  CHECK((to_host(parameter).array() == 7).all());
}
