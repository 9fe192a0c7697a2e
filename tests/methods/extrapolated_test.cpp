// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <accrete/methods/extrapolated.hpp>

#include <doctest/doctest.h>

using namespace method_test;
using Extrapolated = accrete::ExtrapolatedWeight<double, TestBackend>;

TEST_CASE("extrapolated: 20 steps are those of the dense formulas") {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
    CAPTURE(rows);
    const double ahead = 0.7;
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight =
        make("extrapolated", {{"rank", std::int64_t{3}}, {"look-ahead", ahead}}, rows, cols, adamw);
    const auto& extrapolated = dynamic_cast<const Extrapolated&>(*weight);
    DenseAdamW of_u(adamw), of_v(adamw);
    Mat u = parameters_of(*weight).at("weight_u");
    Mat v = parameters_of(*weight).at("weight_v");
    Mat u_ahead = u;
    Mat v_ahead = v;
    for (int i = 0; i < 20; ++i) {
      const double rate = 2e-2 / (1 + i); // the step ahead has the rate of the step before it
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat w = u_ahead * v_ahead.transpose();
      const Mat g = batch.upstream(w * batch.x) * batch.x.transpose();
      CHECK(difference(dense_of(*weight), w) < 1e-10);
      train(*weight, batch, step_info(i, rate));
      const Mat du = of_u.direction(g * v_ahead);
      const Mat dv = of_v.direction(g.transpose() * u_ahead);
      u = (1 - rate * 0.1) * u - rate * du;
      v = (1 - rate * 0.1) * v - rate * dv;
      u_ahead = u - rate * ahead * du;
      v_ahead = v - rate * ahead * dv;
      CHECK(difference(parameters_of(*weight).at("weight_u"), u_ahead) < 1e-10);
      CHECK(difference(parameters_of(*weight).at("weight_v"), v_ahead) < 1e-10);
      const auto iterate = extrapolated.iterate();
      CHECK(difference(accrete::to_host(iterate.U()), u) < 1e-10);
      CHECK(difference(accrete::to_host(iterate.V()), v) < 1e-10);
    }
  }
}

TEST_CASE("extrapolated: without a step ahead it is U Vᵀ under AdamW") {
  const auto weight = make("extrapolated", {{"look-ahead", 0.0}}, 9, 14);
  const auto plain = make("low-rank", {}, 9, 14);
  for (int i = 0; i < 10; ++i) {
    const Batch batch(9, 14, 12, static_cast<unsigned>(i));
    train(*weight, batch, step_info(i));
    train(*plain, batch, step_info(i));
  }
  CHECK(difference(dense_of(*weight), dense_of(*plain)) < 1e-12);
}

TEST_CASE("extrapolated: stores an offset beside the moments") {
  const auto weight = make("extrapolated", {{"rank", std::int64_t{3}}}, 9, 14);
  CHECK(Snapshot(*weight).state_size() == 3 * (9 + 14) * 3);
}
