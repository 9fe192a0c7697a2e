// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

TEST_CASE("LoRA: 20 steps are those of the dense formulas") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0.1;
  const auto weight =
      make("lora", {{"rank", std::int64_t{3}}, {"alpha", 6.0}, {"rate-ratio", 4.0}}, 9, 14, adamw);
  auto start = parameters_of(*weight);
  const Mat w0 = start.at("weight");
  Mat u = start.at("weight_u"); // the paper's B
  Mat v = start.at("weight_v"); // its Aᵀ
  CHECK(u.norm() == 0);
  CHECK(v.norm() > 0);
  CHECK(difference(dense_of(*weight), w0) == 0);
  const double s = 6.0 / 3;
  const double rate = 2e-2;
  DenseAdamW of_u(adamw), of_v(adamw);
  for (int i = 0; i < 20; ++i) {
    const Batch batch(9, 14, 12, static_cast<unsigned>(i));
    const Mat g = batch.upstream((w0 + s * u * v.transpose()) * batch.x) * batch.x.transpose();
    train(*weight, batch, step_info(i, rate));
    const Mat du = s * g * v;
    const Mat dv = s * g.transpose() * u;
    of_u.step(u, du, 4 * rate);
    of_v.step(v, dv, rate);
    const auto now = parameters_of(*weight);
    CHECK(now.at("weight") == w0);
    CHECK(difference(now.at("weight_u"), u) < 1e-10);
    CHECK(difference(now.at("weight_v"), v) < 1e-10);
  }
}

TEST_CASE("LoRA: a rank-stabilised scale divides by the root of the rank") {
  const auto norm = [](bool stabilised) {
    const auto weight =
        make("lora", {{"rank", std::int64_t{4}}, {"alpha", 8.0}, {"rank-stabilised", stabilised}},
             9, 14);
    const Mat w0 = parameters_of(*weight).at("weight");
    set_parameter(*weight, "weight_u", Mat::Ones(9, 4));
    return (dense_of(*weight) - w0).norm();
  };
  CHECK(norm(true) == doctest::Approx(2 * norm(false)));
}

TEST_CASE("LoRA: PiSSA moves the leading part of W0 into the update") {
  const auto plain = make("lora", {{"rank", std::int64_t{3}}}, 9, 14);
  const auto pissa =
      make("lora", {{"rank", std::int64_t{3}}, {"start", std::string("pissa")}}, 9, 14);
  const Mat w = parameters_of(*plain).at("weight");
  CHECK(difference(dense_of(*pissa), w) < 1e-13);
  const Eigen::VectorXd values = Eigen::JacobiSVD<Mat>(w).singularValues();
  const Mat rest = parameters_of(*pissa).at("weight");
  CHECK(rest.norm() <= 1.01 * values.tail(6).norm());
}

TEST_CASE("LoRA: W0 is all of the memory that has no gradient and no moments") {
  const auto weight = make("lora", {{"rank", std::int64_t{3}}}, 9, 14);
  CHECK(Snapshot(*weight).state_size() == 2 * (9 + 14) * 3);
  CHECK(gradients_of(*weight).count("weight") == 0);
}
