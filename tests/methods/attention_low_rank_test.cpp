// SPDX-License-Identifier: MIT
#include "methods/switch_support.hpp"

#include <accrete/methods/attention_low_rank.hpp>

using namespace method_test;

namespace {

std::unique_ptr<Weight> weight_of_layer(Index layer, Index layers, const MethodSettings& settings,
                                        const accrete::AdamWOptions& adamw = {}) {
  auto where = place(16, 24);
  where.layer = layer;
  where.layers = layers;
  return make_at("attention-low-rank", settings, where, adamw);
}

} // namespace

TEST_CASE("attention-low-rank: the rank is linear in the depth") {
  const auto ranks = [](double first, double last, Index layers) {
    std::vector<Index> result;
    for (Index layer = 0; layer < layers; ++layer) {
      result.push_back(
          weight_of_layer(layer, layers, {{"first-share", first}, {"last-share", last}})
              ->rank()
              .rank);
    }
    return result;
  };
  CHECK(ranks(0.125, 0.5, 4) == std::vector<Index>{2, 4, 6, 8});
  CHECK(ranks(0.5, 0.125, 4) == std::vector<Index>{8, 6, 4, 2});
  CHECK(ranks(0.25, 1, 1) == std::vector<Index>{4});
  CHECK(ranks(0, 0, 2) == std::vector<Index>{1, 1});
  CHECK_THROWS_AS((void)weight_of_layer(2, 2, {}), accrete::ArgumentError);
  CHECK(accrete::AttentionLowRank::description.layers == accrete::LayerSet::attention);
}

TEST_CASE("attention-low-rank: 20 steps from the SVD of a dense start are those of the formulas") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0.5;
  const auto weight = weight_of_layer(1, 3, {}, adamw);
  const Mat dense = parameters_of(*make("full", {}, 16, 24)).at("weight");
  Mat u = parameters_of(*weight).at("weight_u"), v = parameters_of(*weight).at("weight_v");
  REQUIRE(u.cols() == 4);
  check_balanced_svd(u, v, dense);
  DenseAdamW of_u(adamw), of_v(adamw);
  for (int i = 0; i < 20; ++i) {
    const Batch batch(16, 24, 12, static_cast<unsigned>(i));
    const Mat g = batch.upstream(u * (v.transpose() * batch.x)) * batch.x.transpose();
    const Mat du = g * v, dv = g.transpose() * u;
    of_u.step(u, du, 2e-2);
    of_v.step(v, dv, 2e-2);
    train(*weight, batch, step_info(i, 2e-2, 20));
    CHECK(difference(parameters_of(*weight).at("weight_u"), u) < 1e-10);
    CHECK(difference(parameters_of(*weight).at("weight_v"), v) < 1e-10);
  }
  CHECK(Snapshot(*weight).state_size() == 2 * (16 + 24) * 4);
}
