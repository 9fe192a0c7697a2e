// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/optim/adamw.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

using accrete::AdamWOptions;
using accrete::Context;
using accrete::Index;
using accrete::View;
using accrete::view_of;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using AdamW = accrete::AdamW<S, TestBackend>;

template <class S>
Mat<S> copy_of(View<const S> view) {
  Mat<S> result(view.rows, view.cols);
  for (Index j = 0; j < view.cols; ++j) {
    for (Index i = 0; i < view.rows; ++i) {
      result(i, j) = view(i, j);
    }
  }
  return result;
}

template <class S>
Mat<S> first_of(const AdamW<S>& state) {
  return copy_of<S>(state.first());
}
template <class S>
Mat<S> second_of(const AdamW<S>& state) {
  return copy_of<S>(state.second());
}

// Textbook AdamW of one number.
struct Scalar64 {
  long double parameter = 0, first = 0, second = 0;
  int step_count = 0;

  void step(long double gradient, long double rate, const AdamWOptions& o) {
    ++step_count;
    parameter *= 1 - rate * static_cast<long double>(o.weight_decay);
    const long double beta1 = o.beta1;
    const long double beta2 = o.beta2;
    first = beta1 * first + (1 - beta1) * gradient;
    second = beta2 * second + (1 - beta2) * gradient * gradient;
    const long double m = first / (1 - std::pow(beta1, static_cast<long double>(step_count)));
    const long double v = second / (1 - std::pow(beta2, static_cast<long double>(step_count)));
    parameter -= rate * m / (std::sqrt(v) + static_cast<long double>(o.epsilon));
  }
};

template <class S>
void take_steps(AdamW<S>& state, Mat<S>& parameter, int count, double rate = 1e-2) {
  for (int t = 0; t < count; ++t) {
    const Mat<S> gradient = Mat<S>::Random(parameter.rows(), parameter.cols());
    state.step(view_of(parameter), view_of(gradient), rate);
  }
}

} // namespace

TEST_CASE_TEMPLATE("steps agree with a scalar re-implementation in long double", S, float, double) {
  for (const AdamWOptions& options :
       {AdamWOptions{}, AdamWOptions{.beta1 = 0.5, .beta2 = 0.99, .epsilon = 1e-3},
        AdamWOptions{.beta1 = 0, .beta2 = 0, .weight_decay = 0.3}}) {
    const Index m = 37; // no multiple of a vector register
    Mat<S> parameter = Mat<S>::Random(m, 5);
    std::vector<Scalar64> expected(static_cast<std::size_t>(parameter.size()));
    for (Index i = 0; i < parameter.size(); ++i) {
      expected[static_cast<std::size_t>(i)].parameter =
          static_cast<long double>(parameter.data()[i]);
    }
    AdamW<S> state(m, 5, options);
    for (int t = 0; t < 30; ++t) {
      const Mat<S> gradient = Mat<S>::Random(m, 5) * S{0.1};
      const double rate = 0.01 / (1 + t);
      const double scale = t % 3 == 0 ? 0.5 : 1.0;
      state.step(view_of(parameter), view_of(gradient), rate, scale);
      for (Index i = 0; i < parameter.size(); ++i) {
        expected[static_cast<std::size_t>(i)].step(static_cast<long double>(scale) *
                                                       static_cast<long double>(gradient.data()[i]),
                                                   static_cast<long double>(rate), options);
      }
    }
    // Each of the 30 steps rounds the parameter, of size about 1, a few times.
    const double bound = 30 * 8 * static_cast<double>(std::numeric_limits<S>::epsilon());
    double worst = 0;
    for (Index i = 0; i < parameter.size(); ++i) {
      worst = std::max(
          worst, static_cast<double>(std::abs(static_cast<long double>(parameter.data()[i]) -
                                              expected[static_cast<std::size_t>(i)].parameter)));
    }
    CHECK(worst <= bound);
  }
}

TEST_CASE_TEMPLATE("strides, orders and threads do not change a single bit", S, float, double) {
  const Index m = 301;
  const Index k = 130;
  const Mat<S> start = Mat<S>::Random(m, k);
  const Mat<S> gradient = Mat<S>::Random(m, k);
  Mat<S> flat = start;
  AdamW<S> a(m, k);
  a.step(view_of(flat), view_of(gradient), 1e-2);

  Mat<S> wide = Mat<S>::Zero(m + 3, k);
  wide.middleRows(1, m) = start;
  AdamW<S> b(m, k, {}, k + 7);
  b.step(view_of(wide).block(1, 0, m, k), view_of(gradient), 1e-2);
  CHECK(Mat<S>(wide.middleRows(1, m)) == flat);
  CHECK(wide.row(0).isZero(S{0}));
  CHECK(wide.bottomRows(2).isZero(S{0}));

  Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows = start;
  AdamW<S> c(m, k);
  c.step(view_of(rows), view_of(gradient), 1e-2);
  CHECK(Mat<S>(rows) == flat);

  Context<TestBackend> other;
  other.set_threads(2);
  const accrete::ScopedContext<TestBackend> use(other);
  Mat<S> threaded = start;
  AdamW<S> d(m, k);
  d.step(view_of(threaded), view_of(gradient), 1e-2);
  CHECK(threaded == flat);
}

TEST_CASE_TEMPLATE("appended columns count their own steps, kept ones stay bit for bit", S, float,
                   double) {
  AdamW<S> state(20, 3, {.weight_decay = 0});
  Mat<S> parameter = Mat<S>::Random(20, 3);
  take_steps(state, parameter, 2000, 1e-4);
  const Mat<S> first = first_of(state);
  const Mat<S> second = second_of(state);
  state.append_columns(2);
  CHECK(first_of(state).leftCols(3) == first);
  CHECK(second_of(state).leftCols(3) == second);
  CHECK(first_of(state).rightCols(2).isZero(S{0}));
  CHECK(second_of(state).rightCols(2).isZero(S{0}));
  CHECK(state.steps()[2] == 2000);
  CHECK(state.steps()[3] == 0);

  // A first step has the length of the rate; under a shared count it would be 2.5 times that.
  Mat<S> grown(20, 5);
  grown << parameter, Mat<S>::Zero(20, 2);
  const Mat<S> gradient = Mat<S>::Constant(20, 5, S{0.25});
  state.step(view_of(grown), view_of(gradient), 1e-2);
  for (Index i = 0; i < 20; ++i) {
    CHECK(static_cast<double>(grown(i, 4)) == doctest::Approx(-1e-2).epsilon(1e-4));
  }
  CHECK(state.steps()[0] == 2001);
  CHECK(state.steps()[4] == 1);
}

TEST_CASE_TEMPLATE("a grown state steps its old columns as if nothing had joined", S, float,
                   double) {
  AdamW<S> alone(33, 2);
  Mat<S> parameter = Mat<S>::Random(33, 2);
  take_steps(alone, parameter, 5);
  AdamW<S> grown = alone;
  grown.append_columns(3);
  Mat<S> larger = Mat<S>::Random(33, 5);
  larger.leftCols(2) = parameter;
  const Mat<S> gradient = Mat<S>::Random(33, 5);
  const Mat<S> left = gradient.leftCols(2);
  alone.step(view_of(parameter), view_of(left), 1e-2);
  grown.step(view_of(larger), view_of(gradient), 1e-2);
  CHECK(Mat<S>(larger.leftCols(2)) == parameter);
  CHECK(first_of(grown).leftCols(2) == first_of(alone));
}

TEST_CASE_TEMPLATE("keep_columns selects and reorders bit for bit", S, float, double) {
  AdamW<S> state(8, 3);
  Mat<S> parameter = Mat<S>::Random(8, 3);
  take_steps(state, parameter, 4);
  state.append_columns(1);
  const Mat<S> first = first_of(state);
  const Mat<S> second = second_of(state);
  const Index capacity = state.capacity();
  state.keep_columns(std::array<Index, 3>{3, 0, 2});
  CHECK(state.cols() == 3);
  CHECK(state.capacity() == capacity);
  CHECK(first_of(state).col(1) == first.col(0));
  CHECK(second_of(state).col(2) == second.col(2));
  CHECK(state.steps()[0] == 0);
  CHECK(state.steps()[1] == 4);
  CHECK_THROWS_AS(state.keep_columns(std::array<Index, 1>{3}), accrete::RankError);
}

TEST_CASE_TEMPLATE("rotation carries the first moment exactly", S, float, double) {
  AdamW<S> state(16, 3);
  Mat<S> parameter = Mat<S>::Random(16, 3);
  take_steps(state, parameter, 6);
  state.append_columns(1);
  const Mat<S> first = first_of(state);
  const Mat<S> second = second_of(state);
  Mat<S> change(4, 3);
  change << S{1}, S{0}, S{0}, S{2}, S{0}, S{-1}, S{0}, S{0}, S{0.5}, S{0.25}, S{0}, S{8};
  state.rotate(change);
  const double small = 16 * static_cast<double>(std::numeric_limits<S>::epsilon());
  CHECK((first_of(state) - first * change).norm() <= small * first.norm() * change.norm());
  CHECK((second_of(state) - second * change.cwiseAbs2()).norm() <=
        small * second.norm() * change.squaredNorm());
  CHECK((second_of(state).array() >= S{0}).all());
  CHECK(state.steps()[0] == 6);
  CHECK(state.steps()[1] == 0);
  CHECK(state.steps()[2] == 0);
  CHECK_THROWS_AS(state.rotate(change), accrete::ShapeError);
}

TEST_CASE("a permutation as change of basis moves both states like the columns") {
  AdamW<double> u(9, 3);
  AdamW<double> v(7, 3);
  Eigen::MatrixXd pu = Eigen::MatrixXd::Random(9, 3);
  Eigen::MatrixXd pv = Eigen::MatrixXd::Random(7, 3);
  take_steps(u, pu, 3);
  take_steps(v, pv, 3);
  const Eigen::MatrixXd mu = first_of(u);
  const Eigen::MatrixXd mv = first_of(v);
  accrete::BasisChange<double> basis;
  basis.left = Eigen::MatrixXd::Zero(3, 2);
  basis.left(2, 0) = 2;
  basis.left(0, 1) = 1;
  basis.right = Eigen::MatrixXd::Zero(3, 2);
  basis.right(2, 0) = 0.5;
  basis.right(0, 1) = 1;
  accrete::transport(u, v, basis);
  CHECK(first_of(u).col(0) == mu.col(2) * 0.5);
  CHECK(first_of(u).col(1) == mu.col(0));
  CHECK(first_of(v).col(0) == mv.col(2) * 2);
}

TEST_CASE_TEMPLATE("the direction is the step without rate and decay", S, float, double) {
  AdamW<S> a(10, 4, {.weight_decay = 0});
  AdamW<S> b(10, 4, {.weight_decay = 0.5});
  Mat<S> parameter = Mat<S>::Zero(10, 4);
  const Mat<S> gradient = Mat<S>::Random(10, 4);
  Mat<S> direction = Mat<S>::Constant(10, 4, S{9});
  a.step(view_of(parameter), view_of(gradient), 0.125);
  b.direction(view_of(gradient), view_of(direction));
  CHECK((parameter + S{0.125} * direction).norm() <=
        8 * std::numeric_limits<S>::epsilon() * parameter.norm());
  CHECK(b.steps()[0] == 1);
}

TEST_CASE_TEMPLATE("a state saved and restored continues bit for bit", S, float, double) {
  AdamW<S> state(12, 3);
  Mat<S> parameter = Mat<S>::Random(12, 3);
  take_steps(state, parameter, 3);
  state.append_columns(0);
  AdamW<S> restored(12, 3);
  const Mat<S> first = first_of(state);
  const Mat<S> second = second_of(state);
  for (Index j = 0; j < 3; ++j) {
    for (Index i = 0; i < 12; ++i) {
      restored.first()(i, j) = first(i, j);
      restored.second()(i, j) = second(i, j);
    }
    restored.steps()[static_cast<std::size_t>(j)] = state.steps()[static_cast<std::size_t>(j)];
  }
  const Mat<S> gradient = Mat<S>::Random(12, 3);
  Mat<S> other = parameter;
  state.step(view_of(parameter), view_of(gradient), 1e-2);
  restored.step(view_of(other), view_of(gradient), 1e-2);
  CHECK(other == parameter);
}

TEST_CASE("options, rates and shapes outside their domain are refused") {
  CHECK_THROWS_AS(AdamW<float>(3, 3, {.beta1 = 1.0}), accrete::ArgumentError);
  CHECK_THROWS_AS(AdamW<float>(3, 3, {.beta2 = -0.1}), accrete::ArgumentError);
  CHECK_THROWS_AS(AdamW<float>(3, 3, {.epsilon = -1e-8}), accrete::ArgumentError);
  CHECK_THROWS_AS(AdamW<float>(3, 3, {.weight_decay = std::nan("")}), accrete::ArgumentError);
  AdamW<float> state(3, 3);
  Eigen::MatrixXf parameter = Eigen::MatrixXf::Zero(3, 3);
  Eigen::MatrixXf gradient = Eigen::MatrixXf::Ones(3, 2);
  CHECK_THROWS_AS(state.step(view_of(parameter), view_of(gradient), 1e-3), accrete::ShapeError);
  CHECK_THROWS_AS(state.step(view_of(parameter), view_of(parameter), std::nan("")),
                  accrete::ArgumentError);
  CHECK_THROWS_AS(state.append_columns(-1), accrete::ArgumentError);
  CHECK(state.steps()[0] == 0);
}
