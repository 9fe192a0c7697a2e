// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

namespace {

const MethodSettings settings{{"rank", std::int64_t{3}}, {"beta", 0.7}, {"guard", 0.01}};

} // namespace

TEST_CASE("CR-Net: 20 steps of two layers are those of the dense formulas") {
  const Index m = 9, n = 14;
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0.1;
  const auto first = make("cr-net", settings, m, n, adamw, 0);
  const auto second = make("cr-net", settings, m, n, adamw, 1);
  CHECK_FALSE(first->takes_previous_output());
  CHECK(second->takes_previous_output());
  CHECK(first->rank().columns == 0);
  CHECK(second->rank().columns == 3);

  Mat w = parameters_of(*first).at("weight");
  Mat u = parameters_of(*second).at("weight_u");
  Mat v = parameters_of(*second).at("weight_v");
  Mat beta = parameters_of(*second).at("beta");
  CHECK(beta(0, 0) == 0.7);
  DenseAdamW of_w(adamw), of_u(adamw), of_v(adamw);
  accrete::AdamWOptions undecayed = adamw;
  undecayed.weight_decay = 0;
  DenseAdamW of_beta(undecayed);
  const double rate = 5e-2;
  for (int i = 0; i < 20; ++i) {
    if (i == 10) { // the guard has a sign
      beta(0, 0) = -0.3;
      set_parameter(*second, "beta", beta);
    }
    const Batch batch(m, n, 12, static_cast<unsigned>(i)), input(m, n, 12, 500U + i);
    const double b = (beta(0, 0) < 0 ? -1 : 1) * (std::abs(beta(0, 0)) + 0.01);
    const Mat y1 = w * input.x;
    const Mat y2 = b * y1 + u * (v.transpose() * batch.x);
    const Mat dy2 = batch.upstream(y2);
    const Mat dy1 = b * dy2; // that of the chain alone

    Batch chained = batch;
    chained.previous = forward(*first, input.x);
    accrete::zero_gradients(*first);
    accrete::zero_gradients(*second);
    const Passes passes = accumulate(*second, chained);
    CHECK(difference(passes.dprevious, dy1) < 1e-10);
    CHECK(difference(passes.dx, v * (u.transpose() * dy2)) < 1e-10);
    Stored<double> dx(n, 12);
    first->backward(on_backend(input.x), on_backend(passes.dprevious), dx);
    first->step(step_info(i, rate));
    second->step(step_info(i, rate));

    const Mat du = dy2 * (v.transpose() * batch.x).transpose();
    const Mat dv = batch.x * (u.transpose() * dy2).transpose();
    of_beta.step(beta, Mat::Constant(1, 1, dy2.cwiseProduct(y1).sum()), rate);
    of_w.step(w, dy1 * input.x.transpose(), rate);
    of_u.step(u, du, rate);
    of_v.step(v, dv, rate);
    CHECK(difference(parameters_of(*first).at("weight"), w) < 1e-10);
    CHECK(difference(parameters_of(*second).at("weight_u"), u) < 1e-10);
    CHECK(difference(parameters_of(*second).at("weight_v"), v) < 1e-10);
    CHECK(difference(parameters_of(*second).at("beta"), beta) < 1e-10);
  }
}

TEST_CASE("CR-Net: the output before can be computed again, also where beta is zero") {
  const auto weight = make("cr-net", settings, 9, 14, {}, 1);
  set_parameter(*weight, "beta", Mat::Zero(1, 1));
  const Batch batch(9, 14, 12, 1);
  const Mat own = forward(*weight, batch.x);
  const Mat again = (forward(*weight, batch) - own) / 0.01;
  CHECK(difference(again, batch.previous) < 1e-12);
}

TEST_CASE("CR-Net: memory of a later layer is that of its factors and a number") {
  const auto weight = make("cr-net", settings, 9, 14, {}, 1);
  Index scalars = 0;
  for (const auto& [name, value] : parameters_of(*weight)) {
    scalars += value.size();
  }
  CHECK(scalars == (9 + 14) * 3 + 1);
  CHECK(Snapshot(*weight).state_size() == 2 * ((9 + 14) * 3 + 1));
}
