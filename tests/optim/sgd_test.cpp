// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/optim/optimizer.hpp>
#include <accrete/optim/sgd.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

using accrete::Index;
using accrete::SGDOptions;
using accrete::to_host;
using accrete::view_of;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using SGD = accrete::SGD<S, TestBackend>;

template <class S>
Mat<S> momentum_of(const SGD<S>& state) {
  return to_host(state.momentum());
}

// torch.optim.SGD's documented update of one number.
struct Number {
  long double parameter = 0, buffer = 0;
  int step_count = 0;

  void step(long double gradient, long double rate, const SGDOptions& o) {
    gradient += static_cast<long double>(o.weight_decay) * parameter;
    const auto momentum = static_cast<long double>(o.momentum);
    if (o.momentum != 0) {
      buffer = step_count > 0
                   ? momentum * buffer + (1 - static_cast<long double>(o.dampening)) * gradient
                   : gradient;
      gradient = o.nesterov ? gradient + momentum * buffer : buffer;
    }
    ++step_count;
    parameter -= rate * gradient;
  }
};

const std::array<SGDOptions, 6> settings{
    SGDOptions{},
    SGDOptions{.weight_decay = 0.3},
    SGDOptions{.momentum = 0.9},
    SGDOptions{.momentum = 0.9, .dampening = 0.25, .weight_decay = 0.1},
    SGDOptions{.momentum = 0.9, .nesterov = true},
    SGDOptions{.momentum = 0.8, .nesterov = true, .weight_decay = 0.2}};

} // namespace

TEST_CASE_TEMPLATE("steps agree with torch's update rule in long double, late columns too", S,
                   TEST_SCALARS) {
  static_assert(accrete::Optimizer<SGD<S>>);
  for (const SGDOptions& options : settings) {
    CAPTURE(options.momentum);
    CAPTURE(options.nesterov);
    const Mat<S> start = Mat<S>::Random(13, 5);
    Stored<S> parameter = on_backend(start);
    std::vector<Number> expected(65);
    for (Index i = 0; i < 65; ++i) {
      expected[static_cast<std::size_t>(i)].parameter = static_cast<long double>(start.data()[i]);
    }
    SGD<S> state(13, 3, options);
    for (int t = 0; t < 12; ++t) {
      if (t == 4) {
        state.append_columns(2);
      }
      const Index count = 13 * state.cols();
      const Mat<S> gradient = Mat<S>::Random(13, state.cols());
      const double scale = t % 2 == 0 ? 0.5 : 1.0;
      state.step(view_of(parameter).left_columns(state.cols()), on_backend(gradient), 0.1, scale);
      for (Index i = 0; i < count; ++i) {
        expected[static_cast<std::size_t>(i)].step(static_cast<long double>(scale) *
                                                       static_cast<long double>(gradient.data()[i]),
                                                   0.1L, options);
      }
    }
    // Twelve steps round a parameter of size about 2 a few times each.
    const long double bound = 12 * 10 * std::numeric_limits<S>::epsilon();
    const Mat<S> after = to_host(parameter);
    for (Index i = 0; i < 65; ++i) {
      CHECK(std::abs(static_cast<long double>(after.data()[i]) -
                     expected[static_cast<std::size_t>(i)].parameter) <= bound);
    }
    CHECK(state.steps()[0] == 12);
    CHECK(state.steps()[4] == 8);
  }
}

TEST_CASE_TEMPLATE("the direction is the step without rate and decay", S, TEST_SCALARS) {
  for (SGDOptions options : settings) {
    SGD<S> a(9, 4, options);
    options.weight_decay = 0;
    SGD<S> b(9, 4, options);
    SGD<S> c(9, 4, options);
    Mat<S> parameter = Mat<S>::Zero(9, 4);
    for (int t = 0; t < 3; ++t) {
      const Stored<S> gradient = on_backend(Mat<S>::Random(9, 4));
      Stored<S> target = on_backend(parameter);
      Stored<S> direction = on_backend(Mat<S>::Constant(9, 4, S{9}));
      b.step(target, gradient, 0.125);
      c.direction(gradient, direction);
      const Mat<S> moved = to_host(target);
      const Mat<S> out = to_host(direction);
      CHECK((parameter - moved - S{0.125} * out).norm() <=
            8 * std::numeric_limits<S>::epsilon() * (out.norm() + moved.norm()));
      CHECK(momentum_of(b) == momentum_of(c));
      parameter = moved;
    }
  }
}

TEST_CASE_TEMPLATE("columns come and go bit for bit", S, TEST_SCALARS) {
  SGD<S> state(8, 3, {.momentum = 0.9}, 6);
  Stored<S> parameter = on_backend(Mat<S>::Random(8, 3));
  for (int t = 0; t < 3; ++t) {
    state.step(parameter, on_backend(Mat<S>::Random(8, 3)), 0.1);
  }
  const Mat<S> momentum = momentum_of(state);
  const S* memory = state.momentum().data;
  state.append_columns(3);
  CHECK(state.momentum().data == memory);
  CHECK(momentum_of(state).leftCols(3) == momentum);
  state.append_columns(4);
  CHECK(momentum_of(state).leftCols(3) == momentum);
  CHECK(momentum_of(state).rightCols(7).isZero(S{0}));
  state.keep_columns(std::array<Index, 2>{2, 0});
  CHECK(momentum_of(state).col(0) == momentum.col(2));
  CHECK(momentum_of(state).col(1) == momentum.col(0));
  const Mat<S> change = Mat<S>::Random(2, 3);
  const Mat<S> kept = momentum_of(state);
  state.rotate(change);
  CHECK((momentum_of(state) - kept * change).norm() <=
        10 * std::numeric_limits<S>::epsilon() * kept.norm() * change.norm());
  CHECK(state.steps()[0] == 3);
  state.freeze_columns(std::array<Index, 1>{1}, 1);
  const Mat<S> before = momentum_of(state);
  const Mat<S> start = Mat<S>::Random(8, 3);
  parameter = on_backend(start);
  state.step(parameter, on_backend(Mat<S>::Random(8, 3)), 0.1);
  const Mat<S> other = to_host(parameter);
  CHECK(other.col(1) == start.col(1));
  CHECK(other.col(2) != start.col(2));
  CHECK(momentum_of(state).col(1) == before.col(1));
  state.reset();
  CHECK(momentum_of(state).isZero(S{0}));
  CHECK(state.steps()[0] == 0);
}

TEST_CASE("a checkpoint names all buffers and options") {
  SGD<double> state(4, 2, {.momentum = 0.9});
  std::vector<std::string> names;
  const auto note = [&](const char* name, auto&&) { names.emplace_back(name); };
  state.visit_state(note);
  SGDOptions options = state.options();
  options.visit(note);
  CHECK(names == std::vector<std::string>{"momentum", "steps", "frozen", "momentum", "dampening",
                                          "nesterov", "weight_decay"});
}

TEST_CASE("options, rates and shapes outside their domain are refused") {
  CHECK_THROWS_AS(SGD<float>(3, 3, {.momentum = -0.1}), accrete::ArgumentError);
  CHECK_THROWS_AS(SGD<float>(3, 3, {.nesterov = true}), accrete::ArgumentError);
  CHECK_THROWS_AS(SGD<float>(3, 3, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}),
                  accrete::ArgumentError);
  CHECK_THROWS_AS(SGD<float>(3, 3, {.weight_decay = std::nan("")}), accrete::ArgumentError);
  CHECK_THROWS_AS(SGD<float>(-1, 3), accrete::ShapeError);
  SGD<float> state(3, 3);
  Stored<float> parameter = on_backend(Mat<float>::Ones(3, 3));
  const Stored<float> gradient = on_backend(Mat<float>::Ones(3, 2));
  CHECK_THROWS_AS(state.step(parameter, gradient, 0.1), accrete::ShapeError);
  CHECK_THROWS_AS(state.direction(gradient, parameter), accrete::ShapeError);
  CHECK_THROWS_AS(state.step(parameter, parameter, std::nan("")), accrete::ArgumentError);
  CHECK(to_host(parameter) == Mat<float>::Ones(3, 3));
  CHECK(state.steps()[0] == 0);
}
