// SPDX-License-Identifier: MIT
#include "methods/directions_support.hpp"

#include <accrete/methods/mest.hpp>

#include <doctest/doctest.h>

#include <numeric>

using namespace method_test;

namespace {

constexpr std::int64_t period = 6;

MethodSettings settings(double lambda, double share = 0.4) {
  return {
      {"rank", std::int64_t{5}}, {"period", period}, {"share", share}, {"gradient-weight", lambda}};
}

} // namespace

TEST_CASE("MEST: 20 steps are those of the dense formulas") {
  int swayed = 0;
  for (const auto& shape : {std::pair<Index, Index>{11, 9}, {9, 11}}) {
    const Index rows = shape.first, cols = shape.second;
    CAPTURE(rows);
    const double lambda = 3;
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight = make("mest", settings(lambda), rows, cols, adamw);
    Directions own(*weight, "weight_sigma", adamw);
    int replaced = 0;
    for (int i = 0; i < 20; ++i) {
      CAPTURE(i);
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat w = own.u * own.sigma.asDiagonal() * own.v.transpose();
      const Mat g = batch.upstream(w * batch.x) * batch.x.transpose();
      const Eigen::VectorXd dsigma = (own.u.transpose() * g * own.v).diagonal();
      train(*weight, batch, step_info(i, 2e-2));
      own.step(g * own.v * own.sigma.asDiagonal(), dsigma,
               g.transpose() * own.u * own.sigma.asDiagonal(), 2e-2);
      auto now = parameters_of(*weight);
      if ((i + 1) % period == 0) {
        const Eigen::VectorXd score = own.sigma.cwiseAbs() + lambda * dsigma.cwiseAbs();
        std::vector<Index> order(5), by_size(5);
        std::iota(order.begin(), order.end(), Index{0});
        by_size = order;
        std::ranges::sort(order, [&](Index a, Index b) { return score[a] < score[b]; });
        std::ranges::sort(by_size, [&](Index a, Index b) {
          return std::abs(own.sigma[a]) < std::abs(own.sigma[b]);
        });
        swayed += std::min(order[0], order[1]) != std::min(by_size[0], by_size[1]) ? 1 : 0;
        order.resize(2); // 0.4 (1 - done / 100) of 5, rounded up
        for (const Index j : order) {
          const Mat u = now.at("weight_u").col(j), v = now.at("weight_v").col(j);
          CHECK(difference(u, own.u.col(j)) > 0.1);
          CHECK(difference(v, own.v.col(j)) > 0.1);
          CHECK(u.norm() == doctest::Approx(1).epsilon(1e-14));
          CHECK(v.norm() == doctest::Approx(1).epsilon(1e-14));
          own.u.col(j) = u;
          own.v.col(j) = v;
          own.sigma[j] = 0;
          own.optimizers[static_cast<std::size_t>(j)] = own.fresh();
          ++replaced;
        }
      }
      CHECK(difference(now.at("weight_u"), own.u) < 1e-10);
      CHECK(difference(now.at("weight_sigma"), own.sigma) < 1e-10);
      CHECK(difference(now.at("weight_v"), own.v) < 1e-10);
    }
    CHECK(replaced == 6);
  }
  CHECK(swayed > 0); // the gradient's part of the score has decided something
}

TEST_CASE("MEST: the share falls to nothing, and stays where the length is unknown") {
  const auto replaced_at = [](std::int64_t total, std::int64_t last) {
    const auto weight = make("mest", settings(0.0, 1.0), 12, 8);
    Index replaced = 0;
    for (std::int64_t i = 0; i <= last; ++i) {
      train(*weight, Batch(12, 8, 16, static_cast<unsigned>(i)), step_info(i, 1e-2, total));
      replaced = (parameters_of(*weight).at("weight_sigma").array() == 0).count();
    }
    return replaced;
  };
  CHECK(replaced_at(24, period - 1) == 4);     // 3/4 of 5
  CHECK(replaced_at(24, 3 * period - 1) == 2); // 1/4 of 5
  CHECK(replaced_at(24, 4 * period - 1) == 0);
  CHECK(replaced_at(0, 4 * period - 1) == 5);
}

TEST_CASE("MEST: no two replacements bring the same columns, and the memory is constant") {
  const auto weight = make("mest", settings(0.0, 1.0), 12, 8);
  const Index size = Snapshot(*weight).state_size();
  CHECK(size == 2 * 5 * (12 + 8 + 1));
  Mat first;
  for (int i = 0; i < 2 * period; ++i) {
    train(*weight, Batch(12, 8, 16, static_cast<unsigned>(i)), step_info(i, 1e-2, 0));
    if (i + 1 == period) {
      first = parameters_of(*weight).at("weight_u");
    }
  }
  CHECK((parameters_of(*weight).at("weight_u").transpose() * first).cwiseAbs().maxCoeff() < 0.99);
  CHECK(Snapshot(*weight).state_size() == size);
}
