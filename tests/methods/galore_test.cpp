// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <accrete/methods/projected_weight.hpp>

#include <doctest/doctest.h>

using namespace method_test;
using Projected = accrete::ProjectedWeight<double, TestBackend>;

namespace {

constexpr std::int64_t period = 6;

MethodSettings settings(const std::string& basis) {
  return {{"rank", std::int64_t{3}}, {"period", period}, {"basis", basis}};
}

/// The basis in use, which has to be one of the leading singular vectors of G.
Mat checked_basis(Weight& weight, const Mat& g, double slack) {
  const auto& projected = dynamic_cast<const Projected&>(weight);
  const Mat p = accrete::to_host(projected.basis());
  CHECK((p.transpose() * p - Mat::Identity(p.cols(), p.cols())).norm() < 1e-13);
  const Mat side = projected.is_on_outputs() ? g : Mat(g.transpose());
  const Eigen::VectorXd values = Eigen::JacobiSVD<Mat>(g).singularValues();
  const double tail = values.tail(values.size() - p.cols()).norm();
  CHECK((side - p * (p.transpose() * side)).norm() <= (1 + slack) * tail);
  return p;
}

} // namespace

TEST_CASE("GaLore: 20 steps are those of the dense formulas") {
  for (const bool is_wide : {true, false}) {
    CAPTURE(is_wide);
    const Index rows = is_wide ? 9 : 14;
    const Index cols = 23 - rows;
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight = make("galore", settings("exact"), rows, cols, adamw);
    Mat w = parameters_of(*weight).at("weight");
    Mat p;
    adamw.weight_decay = 0;
    DenseAdamW optimizer(adamw);
    const double rate = 2e-2;
    for (int i = 0; i < 20; ++i) {
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat g = batch.upstream(w * batch.x) * batch.x.transpose();
      train(*weight, batch, step_info(i, rate));
      if (i % period == 0) {
        p = checked_basis(*weight, g, 1e-12);
      }
      w *= 1 - rate * 0.1;
      if (rows < cols) { // the shorter side is projected
        w -= rate * 0.25 * p * optimizer.direction(p.transpose() * g);
      } else {
        w -= rate * 0.25 * optimizer.direction(g * p) * p.transpose();
      }
      CHECK(difference(parameters_of(*weight).at("weight"), w) < 1e-10);
    }
  }
}

TEST_CASE("GaLore: a basis from products alone is nearly the best one") {
  const auto weight = make("galore", settings("randomized"), 40, 30);
  const Batch batch(40, 30, 60, 1);
  const Mat w = parameters_of(*weight).at("weight");
  backward(*weight, batch);
  checked_basis(*weight, batch.upstream(w * batch.x) * batch.x.transpose(), 0.02);
}

TEST_CASE("GaLore: keeps its basis for a period, and its moments beyond it") {
  const auto weight = make("galore", settings("exact"), 9, 14);
  const auto& projected = dynamic_cast<const Projected&>(*weight);
  Mat before;
  for (int i = 0; i < 2 * period; ++i) {
    train(*weight, Batch(9, 14, 12, static_cast<unsigned>(i)), step_info(i));
    const Mat basis = accrete::to_host(projected.basis());
    CHECK((i % period == 0) == (basis.size() != before.size() || basis != before));
    before = basis;
  }
  // m n + m r + 2 n r: weights, basis and moments of the paper's table, for m <= n.
  CHECK(9 * 14 + Snapshot(*weight).state_size() == 9 * 14 + 9 * 3 + 2 * 14 * 3);
}
