// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

namespace {

Mat sigmoid(const Mat& z) { return (1 + (-z.array()).exp()).inverse(); }
Mat silu(const Mat& z) { return z.cwiseProduct(sigmoid(z)); }
Mat silu_slope(const Mat& z) {
  const Eigen::ArrayXXd s = sigmoid(z);
  return s * (1 + z.array() * (1 - s));
}

} // namespace

TEST_CASE("CoLA: 20 steps are those of the dense formulas") {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight = make("cola", {{"rank", std::int64_t{3}}}, rows, cols, adamw);
    Mat b = parameters_of(*weight).at("weight_u");
    Mat a = parameters_of(*weight).at("weight_v").transpose();
    DenseAdamW of_a(adamw), of_b(adamw);
    for (int i = 0; i < 20; ++i) {
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat z = a * batch.x;
      const Mat dy = batch.upstream(b * silu(z));
      const Mat dz = (b.transpose() * dy).cwiseProduct(silu_slope(z));
      const Mat dx = a.transpose() * dz;

      Mat computed;
      const double loss = backward(*weight, batch, &computed);
      CHECK(std::abs(loss - batch.loss(b * silu(z))) < 1e-10 * loss);
      CHECK(difference(computed, dx) < 1e-10);
      weight->step(step_info(i, 2e-2));

      of_b.step(b, dy * silu(z).transpose(), 2e-2);
      of_a.step(a, dz * batch.x.transpose(), 2e-2);
      CHECK(difference(parameters_of(*weight).at("weight_u"), b) < 1e-10);
      CHECK(difference(parameters_of(*weight).at("weight_v"), a.transpose()) < 1e-10);
    }
  }
}

TEST_CASE("CoLA: starts with the published variance") {
  const auto weight = make("cola", {{"rank", std::int64_t{40}}}, 200, 300);
  const double expected = std::pow(40.0 * (200 + 300), -0.5);
  for (const char* name : {"weight_u", "weight_v"}) {
    const Mat factor = parameters_of(*weight).at(name);
    // The mean of k squares of N(0, s²) has the deviation s² sqrt(2 / k): five of them.
    const double k = static_cast<double>(factor.size());
    CHECK(std::abs(factor.squaredNorm() / k - expected) < 5 * expected * std::sqrt(2 / k));
  }
}

TEST_CASE("CoLA: says whose activation it replaces, and keeps the state of two factors") {
  CHECK(make("cola", {}, 9, 14)->replaces_activation());
  CHECK_FALSE(make("cola", {{"only-low-rank-activation", false}}, 9, 14)->replaces_activation());
  const auto weight = make("cola", {{"rank", std::int64_t{3}}}, 9, 14);
  train(*weight, Batch(9, 14, 12, 1), step_info(0));
  CHECK(Snapshot(*weight).state_size() == 2 * (9 + 14) * 3);
}
