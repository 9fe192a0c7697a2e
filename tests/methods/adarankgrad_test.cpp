// SPDX-License-Identifier: MIT
#include "methods/basis_checks.hpp"

#include <accrete/methods/projected_weight.hpp>

#include <doctest/doctest.h>

using namespace method_test;
using Projected = accrete::ProjectedWeight<double, TestBackend>;

namespace {

/// The least rank up to `most` whose tail has no more than this share of the energy.
Index least_rank(const Mat& g, double share, Index most) {
  const Eigen::VectorXd values = Eigen::JacobiSVD<Mat>(g).singularValues();
  Index rank = 1;
  while (rank < most &&
         values.tail(values.size() - rank).squaredNorm() > share * values.squaredNorm()) {
    ++rank;
  }
  return rank;
}

/// A batch whose gradient has the given decay of singular values, roughly.
Batch decaying_batch(Index rows, Index cols, double decay, unsigned seed) {
  Batch batch(rows, cols, 12, seed);
  for (Index j = 0; j < 12; ++j) {
    batch.target.col(j) *= 5 * std::pow(decay, static_cast<double>(j));
    batch.x.col(j) *= std::pow(decay, static_cast<double>(j));
  }
  return batch;
}

/// Moments l x r as LDAdam carries them over.
void transport(DenseAdamW& optimizer, const Mat& change, const accrete::AdamWOptions& adamw) {
  const double c1 = 1 - std::pow(adamw.beta1, optimizer.steps);
  const double c2 = 1 - std::pow(adamw.beta2, optimizer.steps);
  const Mat m = optimizer.first / c1;
  const Mat v = optimizer.second / c2;
  const Mat mean = m * change;
  optimizer.first *= change;
  optimizer.second = c2 * ((v - m.cwiseAbs2()) * change.cwiseAbs2() + mean.cwiseAbs2()).cwiseAbs();
}

} // namespace

TEST_CASE("AdaRankGrad: 20 steps are those of the dense formulas") {
  const double share = 0.1;
  const double converged = 0.6;
  const std::int64_t period = 4;
  const Index most = 5;
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}, {10, 10}}) {
    CAPTURE(rows);
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight = make("adarankgrad",
                             {{"rank", std::int64_t{most}},
                              {"tail-energy", share},
                              {"converged", converged},
                              {"period", period},
                              {"basis", std::string("exact")}},
                             rows, cols, adamw);
    const auto& projected = dynamic_cast<const Projected&>(*weight);
    adamw.weight_decay = 0;
    DenseAdamW optimizer(adamw);
    Mat w = parameters_of(*weight).at("weight");
    Mat p;
    const double rate = 2e-2;
    double first_norm = 0;
    int age = 0;
    bool due = true;
    std::map<Index, int> ranks;
    int by_norm = 0;
    for (int i = 0; i < 20; ++i) {
      const Batch batch =
          decaying_batch(rows, cols, i % 8 < 4 ? 0.5 : 0.9, static_cast<unsigned>(i));
      const Mat g = wide(batch.upstream(w * batch.x) * batch.x.transpose());
      train(*weight, batch, step_info(i, rate));
      if (due) {
        const Index rank = least_rank(g, share, most);
        CHECK(weight->rank().rank == rank);
        ++ranks[rank];
        const Mat basis = accrete::to_host(projected.basis()).leftCols(rank);
        check_leading(basis, g, 1e-12);
        if (i > 0) {
          transport(optimizer, p.transpose() * basis, adamw);
        }
        p = basis;
        age = 0;
      }
      const Mat r = g.transpose() * p;
      first_norm = age == 0 ? r.norm() : first_norm;
      ++age;
      const Mat update = 0.25 * p * optimizer.direction(r).transpose();
      w *= 1 - rate * 0.1;
      w -= rate * (rows < cols ? update : Mat(update.transpose()));
      CHECK(difference(parameters_of(*weight).at("weight"), w) < 1e-10);
      due = r.norm() <= converged * first_norm || age >= period;
      by_norm += due && age < period ? 1 : 0;
      CHECK(weight->rank().columns == (due ? most : weight->rank().rank));
    }
    CHECK(ranks.size() > 1);
    CHECK(by_norm > 0);
    CHECK(by_norm < 19);
  }
}

TEST_CASE("AdaRankGrad: a basis from products alone has the rank of the exact one") {
  const Batch batch = decaying_batch(40, 30, 0.3, 1);
  const auto full = make("full", {}, 40, 30);
  backward(*full, batch);
  const Mat g = gradients_of(*full).at("weight");
  for (const double share : {0.2, 1e-2, 1e-4}) {
    const auto weight =
        make("adarankgrad", {{"rank", std::int64_t{8}}, {"tail-energy", share}}, 40, 30);
    train(*weight, batch, step_info(0));
    CHECK(weight->rank().rank == least_rank(g, share, 8));
    CHECK(weight->rank().rank < 8);
  }
}

TEST_CASE("AdaRankGrad: bounds of the rank hold") {
  const auto rank_after = [](const MethodSettings& settings, double decay) {
    const auto weight = make("adarankgrad", settings, 12, 16);
    train(*weight, decaying_batch(12, 16, decay, 3), step_info(0));
    return weight->rank().rank;
  };
  CHECK(rank_after({{"rank", std::int64_t{6}}, {"least-rank", std::int64_t{4}}}, 0.1) == 4);
  CHECK(rank_after({{"rank", std::int64_t{3}}, {"tail-energy", 0.0}}, 0.9) == 3);
  CHECK_THROWS_AS((void)make("adarankgrad",
                             {{"rank", std::int64_t{3}}, {"least-rank", std::int64_t{4}}}, 12, 16),
                  accrete::ArgumentError);
}

TEST_CASE("AdaRankGrad: between two bases only the rank in use is stored") {
  const auto weight = make("adarankgrad", {{"rank", std::int64_t{6}}}, 12, 16);
  train(*weight, decaying_batch(12, 16, 0.2, 3), step_info(0));
  const Index rank = weight->rank().rank;
  REQUIRE(rank < 6);
  CHECK(Snapshot(*weight).state_size() == 12 * rank + 2 * 16 * rank);
}
