// SPDX-License-Identifier: MIT
#include "methods/directions_support.hpp"

#include <accrete/methods/powerpropagation.hpp>

#include <doctest/doctest.h>

using namespace method_test;

namespace {

constexpr std::int64_t period = 6;

MethodSettings settings(Index rank, Index power, double cutoff) {
  return {{"rank", std::int64_t{rank}},
          {"power", std::int64_t{power}},
          {"period", period},
          {"cutoff", cutoff}};
}

Eigen::VectorXd raised(const Eigen::VectorXd& theta, double power) {
  return theta.array() * theta.array().abs().pow(power - 1);
}

} // namespace

TEST_CASE("Powerpropagation: 20 steps are those of the dense formulas") {
  for (const auto& shape : {std::pair<Index, Index>{11, 9}, {9, 11}}) {
    const Index rows = shape.first, cols = shape.second;
    for (const Index power : {1, 2, 3}) {
      CAPTURE(rows);
      CAPTURE(power);
      const auto alpha = static_cast<double>(power);
      accrete::AdamWOptions adamw;
      adamw.weight_decay = 0.1;
      const auto weight = make("powerpropagation", settings(6, power, 0.3), rows, cols, adamw);
      Directions own(*weight, "weight_theta", adamw);
      const auto start = accrete::detail::normal_factors<double, TestBackend>(place(rows, cols), 6);
      CHECK(difference(own.u * raised(own.sigma, alpha).asDiagonal() * own.v.transpose(),
                       Mat(accrete::to_host(start.U())) *
                           Mat(accrete::to_host(start.V())).transpose()) < 1e-12);
      for (int i = 0; i < 20; ++i) {
        CAPTURE(i);
        const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
        const Eigen::VectorXd sigma = raised(own.sigma, alpha);
        const Mat w = own.u * sigma.asDiagonal() * own.v.transpose();
        const Mat g = batch.upstream(w * batch.x) * batch.x.transpose();
        const Eigen::VectorXd slope = alpha * own.sigma.array().abs().pow(alpha - 1);
        const Eigen::VectorXd dsigma = (own.u.transpose() * g * own.v).diagonal();
        train(*weight, batch, step_info(i, 5e-2));
        own.step(g * own.v * sigma.asDiagonal(), slope.cwiseProduct(dsigma),
                 g.transpose() * own.u * sigma.asDiagonal(), 5e-2);
        if ((i + 1) % period == 0) {
          const Eigen::VectorXd size = raised(own.sigma, alpha).cwiseAbs();
          std::vector<Index> kept;
          for (Index j = 0; j < size.size(); ++j) {
            if (size[j] >= 0.3 * size.maxCoeff()) {
              kept.push_back(j);
            }
          }
          own.keep(kept);
        }
        auto now = parameters_of(*weight);
        REQUIRE(now.at("weight_u").cols() == own.u.cols());
        CHECK(difference(now.at("weight_u"), own.u) < 1e-10);
        CHECK(difference(now.at("weight_theta"), own.sigma) < 1e-10);
        CHECK(difference(now.at("weight_v"), own.v) < 1e-10);
      }
      CHECK(own.sigma.size() < 6);
    }
  }
}

TEST_CASE("Powerpropagation: large singular values move, small ones stay behind") {
  // The share of the small half in the spectrum, after the same training.
  const auto small_share = [](Index power) {
    const auto weight = make("powerpropagation", settings(8, power, 0), 16, 16);
    for (int i = 0; i < 300; ++i) {
      train(*weight, Batch(16, 16, 64, static_cast<unsigned>(i)), step_info(i, 3e-3));
    }
    Eigen::VectorXd sigma =
        raised(parameters_of(*weight).at("weight_theta"), static_cast<double>(power)).cwiseAbs();
    std::sort(sigma.begin(), sigma.end());
    return sigma.head(4).sum() / sigma.sum();
  };
  CHECK(small_share(3) < small_share(1));
}

TEST_CASE("Powerpropagation: the memory falls with the directions") {
  const auto weight = make("powerpropagation", settings(6, 2, 1.0), 12, 8);
  CHECK(Snapshot(*weight).state_size() == 2 * 6 * (12 + 8 + 1));
  for (int i = 0; i < period; ++i) {
    train(*weight, Batch(12, 8, 16, static_cast<unsigned>(i)), step_info(i));
  }
  CHECK(weight->rank().rank == 1);
  CHECK(Snapshot(*weight).state_size() == 2 * (12 + 8 + 1));
}
