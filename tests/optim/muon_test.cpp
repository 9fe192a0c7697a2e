// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/optim/muon.hpp>
#include <accrete/optim/optimizer.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

using accrete::Index;
using accrete::MuonOptions;
using accrete::to_host;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using Muon = accrete::Muon<S, TestBackend>;

template <class S>
Mat<S> momentum_of(const Muon<S>& state) {
  return to_host(state.momentum());
}

/// What a step by the gradient would subtract, taken over entries of 9.
template <class S>
Mat<S> direction_of(Muon<S>& state, const Mat<S>& gradient) {
  Stored<S> out = on_backend(Mat<S>::Constant(gradient.rows(), gradient.cols(), S{9}));
  state.direction(on_backend(gradient), out);
  return to_host(out);
}

// The public description in double: momentum, Nesterov, five quintic steps, shape scale.
struct Written {
  MuonOptions options;
  Eigen::MatrixXd parameter, momentum;

  static Eigen::MatrixXd orthogonalised(Eigen::MatrixXd x) {
    for (int i = 0; i < 5; ++i) {
      const Eigen::MatrixXd a = x * x.transpose();
      const Eigen::MatrixXd b = -4.7750 * a + 2.0315 * a * a;
      x = (3.4445 * x + b * x).eval();
    }
    return x;
  }

  void step(const Eigen::MatrixXd& gradient, double rate) {
    const double beta = options.momentum;
    momentum += (1 - beta) * (gradient - momentum);
    const Eigen::MatrixXd d =
        options.nesterov ? Eigen::MatrixXd(gradient + beta * (momentum - gradient)) : momentum;
    const double shape = static_cast<double>(d.rows()) / static_cast<double>(d.cols());
    parameter *= 1 - rate * options.weight_decay;
    parameter -= rate * std::sqrt(std::max(1.0, shape)) * orthogonalised(d / d.norm());
  }
};

} // namespace

TEST_CASE_TEMPLATE("steps agree with the public description in double, tall and wide", S,
                   TEST_SCALARS) {
  static_assert(accrete::Optimizer<Muon<S>>);
  for (const MuonOptions& options :
       {MuonOptions{}, MuonOptions{.momentum = 0.9, .nesterov = false, .weight_decay = 0.1}}) {
    for (const auto& shape : {std::pair<Index, Index>{24, 6}, {7, 15}, {9, 9}, {12, 1}}) {
      const Index m = shape.first;
      const Index k = shape.second;
      CAPTURE(m);
      const Mat<S> start = Mat<S>::Random(m, k);
      Written expected{options, start.template cast<double>(), Eigen::MatrixXd::Zero(m, k)};
      Stored<S> parameter = on_backend(start);
      Muon<S> state(m, k, options);
      for (int t = 0; t < 4; ++t) {
        const Mat<S> gradient = Mat<S>::Random(m, k) * S{3};
        state.step(parameter, on_backend(gradient), 0.02, 0.5);
        expected.step(0.5 * gradient.template cast<double>(), 0.02);
      }
      // An iteration's derivative is at most 3.5, five of them amplify rounding by 500.
      const double bound =
          4 * 0.02 * 500 * 30 * static_cast<double>(std::numeric_limits<S>::epsilon());
      CHECK((to_host(parameter).template cast<double>() - expected.parameter).norm() <=
            bound + 20 * static_cast<double>(std::numeric_limits<S>::epsilon()) *
                        expected.parameter.norm());
    }
  }
}

TEST_CASE_TEMPLATE("the direction's singular values are near 1 whatever the gradient's size", S,
                   TEST_SCALARS) {
  Muon<S> state(40, 6);
  const Mat<S> gradient = Mat<S>::Random(40, 6) * S(1e-20);
  const Mat<S> out = direction_of(state, gradient);
  const Eigen::JacobiSVD<Mat<S>> svd(out / std::sqrt(S{40} / S{6}));
  CHECK(svd.singularValues().maxCoeff() < S{1.25});
  CHECK(svd.singularValues().minCoeff() > S(0.65));
}

TEST_CASE_TEMPLATE("the direction is the step without rate and decay", S, TEST_SCALARS) {
  Muon<S> a(10, 4);
  Muon<S> b(10, 4, {.weight_decay = 0.5});
  Stored<S> parameter = on_backend(Mat<S>::Zero(10, 4));
  for (int t = 0; t < 3; ++t) {
    const Mat<S> gradient = Mat<S>::Random(10, 4);
    const Mat<S> before = to_host(parameter);
    a.step(parameter, on_backend(gradient), 0.125);
    const Mat<S> after = to_host(parameter);
    const Mat<S> out = direction_of(b, gradient);
    CHECK((before - after - S{0.125} * out).norm() <=
          8 * std::numeric_limits<S>::epsilon() * (out.norm() + after.norm()));
    CHECK(momentum_of(a) == momentum_of(b));
    CHECK(b.steps()[0] == t + 1);
  }
}

TEST_CASE_TEMPLATE("columns come and go bit for bit, resting ones take no part", S, TEST_SCALARS) {
  Muon<S> state(8, 3, {}, 5);
  Stored<S> parameter = on_backend(Mat<S>::Random(8, 3));
  const Mat<S> gradient = Mat<S>::Random(8, 3);
  state.step(parameter, on_backend(gradient), 0.1);
  const Mat<S> momentum = momentum_of(state);
  const S* memory = state.momentum().data;
  state.append_columns(2);
  CHECK(state.momentum().data == memory);
  CHECK(momentum_of(state).leftCols(3) == momentum);
  CHECK(momentum_of(state).rightCols(2).isZero(S{0}));
  state.keep_columns(std::array<Index, 2>{2, 0});
  CHECK(momentum_of(state).col(0) == momentum.col(2));
  const Mat<S> change = Mat<S>::Random(2, 3);
  const Mat<S> kept = momentum_of(state);
  state.rotate(change);
  CHECK((momentum_of(state) - kept * change).norm() <=
        10 * std::numeric_limits<S>::epsilon() * kept.norm() * change.norm());

  // The two others move as if the resting column were not there, but for the shape scale.
  Muon<S> alone = state;
  alone.keep_columns(std::array<Index, 2>{0, 2});
  state.freeze_columns(std::array<Index, 1>{1}, 1);
  const Mat<S> left = gradient(Eigen::all, std::array<Index, 2>{0, 2});
  const Mat<S> before = momentum_of(state);
  const Mat<S> out = direction_of(state, gradient);
  const Mat<S> two = direction_of(alone, left);
  CHECK(out.col(1).isZero(S{0}));
  CHECK(momentum_of(state).col(1) == before.col(1));
  const S scale = std::sqrt(S{2} / S{3});
  const S small = 5000 * std::numeric_limits<S>::epsilon();
  CHECK((out.col(0) - scale * two.col(0)).norm() <= small);
  CHECK((out.col(2) - scale * two.col(1)).norm() <= small);
}

TEST_CASE_TEMPLATE("a zero gradient makes no step", S, TEST_SCALARS) {
  Muon<S> state(5, 2);
  const Mat<S> start = Mat<S>::Random(5, 2);
  Stored<S> parameter = on_backend(start);
  state.step(parameter, on_backend(Mat<S>::Zero(5, 2)), 0.1);
  CHECK(to_host(parameter) == start);
  Muon<S> none(5, 0);
  Stored<S> empty(5, 0);
  CHECK_NOTHROW(none.step(empty, empty, 0.1));
}

TEST_CASE("options, rates, shapes and gradients outside their domain are refused") {
  CHECK_THROWS_AS(Muon<float>(3, 3, {.momentum = 1.0}), accrete::ArgumentError);
  CHECK_THROWS_AS(Muon<float>(3, 3, {.weight_decay = -1.0}), accrete::ArgumentError);
  Muon<float> state(3, 3);
  Stored<float> parameter = on_backend(Mat<float>::Ones(3, 3));
  Mat<float> gradient = Mat<float>::Ones(3, 2);
  CHECK_THROWS_AS(state.step(parameter, on_backend(gradient), 0.1), accrete::ShapeError);
  gradient = Mat<float>::Ones(3, 3);
  CHECK_THROWS_AS(state.step(parameter, on_backend(gradient), std::nan("")),
                  accrete::ArgumentError);
  gradient(1, 1) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(state.step(parameter, on_backend(gradient), 0.1), accrete::NumericError);
  CHECK(to_host(parameter) == Mat<float>::Ones(3, 3));
  CHECK(momentum_of(state).isZero(0.0F));
}
