// SPDX-License-Identifier: MIT
#include "methods/basis_checks.hpp"

#include <accrete/methods/fira.hpp>

#include <doctest/doctest.h>

using namespace method_test;
using Fira = accrete::FiraWeight<double, TestBackend>;

namespace {

constexpr std::int64_t period = 6;

struct Case {
  Index rows, cols;
  const char* residual;
  const char* scaling;
};

} // namespace

TEST_CASE("Fira: 20 steps are those of the dense formulas") {
  constexpr Case cases[] = {{9, 14, "paper", "column"},
                            {14, 9, "paper", "column"},
                            {10, 10, "paper", "matrix"},
                            {9, 14, "code", "column"},
                            {14, 9, "code", "matrix"}};
  for (const Case& c : cases) {
    CAPTURE(c.rows);
    CAPTURE(std::string(c.residual) + " " + c.scaling);
    const bool is_paper = std::string(c.residual) == "paper";
    const double alpha = 0.25;
    const double rate = 2e-2;
    const double growth = 1.05;
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight = make("fira",
                             {{"rank", std::int64_t{3}},
                              {"period", period},
                              {"basis", std::string("exact")},
                              {"residual", std::string(c.residual)},
                              {"scaling", std::string(c.scaling)},
                              {"growth-limit", growth}},
                             c.rows, c.cols, adamw);
    const auto& fira = dynamic_cast<const Fira&>(*weight);
    adamw.weight_decay = 0;
    DenseAdamW optimizer(adamw);
    Mat w = parameters_of(*weight).at("weight");
    Mat p;
    double last = 0;
    int limited = 0;
    for (int i = 0; i < 20; ++i) {
      // Batches of different sizes of error, so that the limit binds at some steps.
      Batch batch(c.rows, c.cols, 12, static_cast<unsigned>(i));
      batch.target *= 1 + i % 3;
      const Mat dense = batch.upstream(w * batch.x) * batch.x.transpose();
      const Mat g = wide(dense);
      auto info = step_info(i, rate);
      info.gradient_scale = 0.5;
      train(*weight, batch, info);
      if (i % period == 0) {
        p = accrete::to_host(fira.basis());
        check_leading(p, g, 1e-12);
      }
      const Mat r = p.transpose() * g;
      const Mat psi = optimizer.direction(0.5 * r);
      Mat s = g - (is_paper ? 1.0 : alpha) * p * r;
      for (Index j = 0; j < s.cols(); ++j) {
        s.col(j) *= std::string(c.scaling) == "column"
                        ? psi.col(j).norm() / (r.col(j).norm() + 1e-8)
                        : psi.norm() / (r.norm() + 1e-8);
      }
      if (i > 0 && s.norm() > growth * last) {
        s *= growth * last / s.norm();
        ++limited;
      }
      last = s.norm();
      const Mat update = alpha * p * psi + (is_paper ? alpha : 1.0) * s;
      w *= 1 - rate * 0.1;
      w -= rate * (c.rows < c.cols ? update : Mat(update.transpose()));
      CHECK(difference(parameters_of(*weight).at("weight"), w) < 1e-10);
    }
    CHECK(limited > 0);
    CHECK(limited < 19);
  }
}

TEST_CASE("Fira: a gradient within the subspace moves W as GaLore does") {
  // Of rank 2, on a basis of 2 directions: nothing is left outside.
  const auto settings = [](const char* basis) {
    return MethodSettings{{"rank", std::int64_t{2}}, {"basis", std::string(basis)}};
  };
  for (const char* basis : {"exact", "randomized"}) {
    const auto fira = make("fira", settings(basis), 9, 14);
    const auto galore = make("galore", settings(basis), 9, 14);
    const Batch batch(9, 14, 2, 5);
    train(*fira, batch, step_info(0));
    train(*galore, batch, step_info(0));
    CHECK(difference(parameters_of(*fira).at("weight"), parameters_of(*galore).at("weight")) <
          1e-12);
  }
}

TEST_CASE("Fira: a basis from products alone is nearly the best one") {
  const auto weight = make("fira", {{"rank", std::int64_t{3}}}, 30, 40);
  const Batch batch(30, 40, 60, 1);
  train(*weight, batch, step_info(0));
  const Mat g = gradients_of(*weight).at("weight");
  check_leading(accrete::to_host(dynamic_cast<const Fira&>(*weight).basis()), g, 0.02);
}

TEST_CASE("Fira: many pieces of W are updated as one") {
  // 2^17 entries a piece: three of them.
  const auto weight = make("fira", {{"rank", std::int64_t{1}}, {"growth-limit", 0.0}}, 300, 1100);
  const Batch batch(300, 1100, 3, 1);
  const Mat before = parameters_of(*weight).at("weight");
  train(*weight, batch, step_info(0, 1e-2));
  const Mat g = gradients_of(*weight).at("weight");
  const Mat p = accrete::to_host(dynamic_cast<const Fira&>(*weight).basis());
  const Mat r = p.transpose() * g;
  const Mat psi = r.array() / (r.array().abs() + 1e-8);
  Mat update = p * psi;
  for (Index j = 0; j < g.cols(); ++j) {
    update.col(j) += psi.col(j).norm() / (r.col(j).norm() + 1e-8) * (g.col(j) - p * r.col(j));
  }
  const Mat expected = (1 - 1e-2 * 0.01) * before - 1e-2 * 0.25 * update;
  CHECK(difference(parameters_of(*weight).at("weight") - before, expected - before) < 1e-10);
}

TEST_CASE("Fira: the memory is that of the paper's table") {
  const auto weight = make("fira", {{"rank", std::int64_t{3}}}, 9, 14);
  train(*weight, Batch(9, 14, 12, 1), step_info(0));
  // m r + 2 n r beside W, and one number.
  CHECK(Snapshot(*weight).state_size() == 9 * 3 + 2 * 14 * 3);
}
