// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

namespace {

MethodSettings settings(bool detached) {
  return {{"rank", std::int64_t{3}}, {"alpha", 6.0}, {"detach-norm", detached}};
}

} // namespace

TEST_CASE("DoRA: 20 steps are those of the dense formulas") {
  for (const bool detached : {true, false}) {
    for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
      CAPTURE(detached);
      CAPTURE(rows);
      accrete::AdamWOptions adamw;
      adamw.weight_decay = 0.1;
      const auto weight = make("dora", settings(detached), rows, cols, adamw);
      const double s = 2; // alpha / rank
      const auto start = parameters_of(*weight);
      const Mat w0 = start.at("weight");
      Mat u = start.at("weight_u"), v = start.at("weight_v"), a = start.at("magnitude");
      CHECK(difference(a, w0.rowwise().norm()) < 1e-14);
      DenseAdamW of_u(adamw), of_v(adamw), of_a(adamw);
      for (int i = 0; i < 20; ++i) {
        const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
        const Mat w = w0 + s * u * v.transpose();
        const Eigen::ArrayXd norms = w.rowwise().norm();
        const Eigen::ArrayXd c = a.col(0).array() / norms;
        const Mat scaled = c.matrix().asDiagonal() * w;
        const Mat dy = batch.upstream(scaled * batch.x);
        const Mat g = dy * batch.x.transpose();
        const Eigen::ArrayXd t = g.cwiseProduct(w).rowwise().sum();
        Mat dw = g;
        if (!detached) {
          dw -= (t / norms.square()).matrix().asDiagonal() * w;
        }
        dw = (c.matrix().asDiagonal() * dw).eval();

        Mat dx;
        backward(*weight, batch, &dx);
        CHECK(difference(dx, scaled.transpose() * dy) < 1e-10);
        weight->step(step_info(i, 2e-2));
        const Mat du = s * dw * v, dv = s * dw.transpose() * u;
        of_u.step(u, du, 2e-2);
        of_v.step(v, dv, 2e-2);
        of_a.step(a, (t / norms).matrix(), 2e-2);
        const auto now = parameters_of(*weight);
        CHECK(now.at("weight") == w0);
        CHECK(difference(now.at("weight_u"), u) < 1e-10);
        CHECK(difference(now.at("weight_v"), v) < 1e-10);
        CHECK(difference(now.at("magnitude"), a) < 1e-10);
      }
    }
  }
}

TEST_CASE("DoRA: starts as W0, and its rows are as long as the magnitudes say") {
  const auto weight = make("dora", settings(true), 9, 14);
  CHECK(difference(dense_of(*weight), parameters_of(*weight).at("weight")) < 1e-14);
  for (int i = 0; i < 5; ++i) {
    train(*weight, Batch(9, 14, 12, static_cast<unsigned>(i)), step_info(i));
  }
  const Mat lengths = dense_of(*weight).rowwise().norm();
  CHECK(difference(lengths, parameters_of(*weight).at("magnitude")) < 1e-13);
}

TEST_CASE("DoRA: a row of zeros gives zeros, and no NaN") {
  const auto weight = make("dora", settings(false), 9, 14);
  Mat w0 = parameters_of(*weight).at("weight");
  w0.row(4).setZero();
  set_parameter(*weight, "weight", w0);
  for (int i = 0; i < 3; ++i) {
    const Mat y = forward(*weight, Batch(9, 14, 12, 1).x);
    CHECK(y.allFinite());
    CHECK(y.row(4).isZero(0));
    train(*weight, Batch(9, 14, 12, static_cast<unsigned>(i)), step_info(i));
  }
  CHECK(parameters_of(*weight).at("weight_u").allFinite());
  CHECK(Snapshot(*weight).state_size() == 2 * ((9 + 14) * 3 + 9));
}
