// SPDX-License-Identifier: MIT
#include <accrete/grow/rank_budget.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace rank_by = accrete::rank_by;
using accrete::ArgumentError;
using accrete::Index;
using accrete::LayerSpectrum;
using accrete::RankAllocation;
using accrete::ranks_within_budget;

namespace {

using Values = std::vector<double>;

Values geometric(Index count, double first, double ratio) {
  Values values;
  for (Index i = 0; i < count; ++i) {
    values.push_back(first * std::pow(ratio, static_cast<double>(i)));
  }
  return values;
}

// 10 x 10: factors save parameters up to rank 4. Ratios to the largest 1, .8, .5, .3, .1 and zeros.
const Values steep{10, 8, 5, 3, 1, 0, 0, 0, 0, 0};
// 6 x 8, up to rank 3. Ratios 1, .9, .6, .2, .15, .12.
const Values flat{1, 0.9, 0.6, 0.2, 0.15, 0.12};

std::vector<LayerSpectrum> two_layers() { return {{10, 10, steep}, {6, 8, flat}}; }

} // namespace

TEST_CASE("one threshold over two layers meets the budget with the largest ranks") {
  // Ratios above the threshold, in descending order: 1 1 .9 .8 .6 .5 .3 .2; a rank of the first
  // layer costs 20 parameters, of the second 14.
  struct Case {
    Index budget, first, second, parameters;
  };
  for (const Case& c :
       {Case{34, 1, 1, 34}, Case{47, 1, 1, 34}, Case{48, 1, 2, 48}, Case{68, 2, 2, 68},
        Case{82, 2, 3, 82}, Case{102, 3, 3, 102}, Case{121, 3, 3, 102}, Case{122, 4, 3, 122}}) {
    CAPTURE(c.budget);
    const RankAllocation result = ranks_within_budget(two_layers(), c.budget);
    REQUIRE(result.layers.size() == 2);
    CHECK(result.layers[0].rank == c.first);
    CHECK(result.layers[1].rank == c.second);
    CHECK(result.layers[0].factored);
    CHECK(result.layers[1].factored);
    CHECK(result.parameters == c.parameters);
  }
}

TEST_CASE("a layer for which factors save nothing stays dense") {
  // At rank 4 the second layer would take 56 parameters as factors and takes 48 as a matrix.
  const RankAllocation result = ranks_within_budget(two_layers(), 128);
  CHECK(result.layers[0].rank == 4);
  CHECK(result.layers[0].parameters == 80);
  CHECK_FALSE(result.layers[1].factored);
  CHECK(result.layers[1].rank == 6);
  CHECK(result.layers[1].parameters == 48);
  CHECK(result.parameters == 128);

  const RankAllocation all = ranks_within_budget(two_layers(), 148);
  CHECK_FALSE(all.layers[0].factored);
  CHECK_FALSE(all.layers[1].factored);
  CHECK(all.threshold == 0);
}

TEST_CASE("the threshold is the least that meets the budget") {
  const std::vector<Values> values{geometric(40, 3, 0.9), geometric(30, 100, 0.7),
                                   geometric(25, 0.01, 0.95)};
  const std::vector<LayerSpectrum> layers{
      {200, 100, values[0]}, {60, 300, values[1]}, {90, 90, values[2]}};
  for (const Index budget : {2000, 7000, 11000, 15000}) {
    CAPTURE(budget);
    const RankAllocation result = ranks_within_budget(layers, budget);
    CHECK(result.parameters <= budget);
    const double below = result.threshold * (1 - 1e-12);
    Index parameters = 0;
    for (const LayerSpectrum& layer : layers) {
      const Index rank = rank_by::relative_threshold(below)(layer.values);
      parameters += std::min(rank * (layer.rows + layer.cols), layer.rows * layer.cols);
    }
    CHECK(parameters > budget);
  }
}

TEST_CASE("other one-parameter policies share a budget as well") {
  const auto layers = two_layers();
  for (const Index budget : {40, 70, 110}) {
    CHECK(ranks_within_budget(layers, budget, rank_by::tail_norm).parameters <= budget);
    const RankAllocation result =
        ranks_within_budget(layers, budget, rank_by::normalized_threshold);
    CHECK(result.parameters <= budget);
    CHECK(result.layers[1].rank == rank_by::normalized_threshold(result.threshold)(flat));
  }
  // At least two columns everywhere: 40 + 28 parameters.
  const auto two_or_more = [](double threshold) {
    return rank_by::bounded(rank_by::relative_threshold(threshold), 2, 9);
  };
  CHECK(ranks_within_budget(layers, 80, two_or_more).parameters == 68);
  CHECK_THROWS_WITH_AS((void)ranks_within_budget(layers, 67, two_or_more),
                       doctest::Contains("already take 68"), ArgumentError);
}

TEST_CASE("zero layers cost nothing, equal values stay or go together") {
  const Values zeros(5, 0.0);
  const Values equal(8, 2.0);
  const std::vector<LayerSpectrum> with_zero{{5, 9, zeros}, {10, 10, steep}};
  CHECK(ranks_within_budget(with_zero, 20).layers[0].rank == 0);
  CHECK(ranks_within_budget(with_zero, 20).layers[1].rank == 1);
  const std::vector<LayerSpectrum> all_equal{{8, 8, equal}};
  CHECK(ranks_within_budget(all_equal, 64).parameters == 64);
  CHECK_THROWS_AS((void)ranks_within_budget(all_equal, 63), ArgumentError);
  CHECK(ranks_within_budget({}, 0).parameters == 0);
}

TEST_CASE("budgets and spectra outside their domain are refused") {
  CHECK_THROWS_WITH_AS((void)ranks_within_budget(two_layers(), 33),
                       doctest::Contains("already take 34"), ArgumentError);
  const std::vector<LayerSpectrum> too_many{{4, 9, steep}};
  CHECK_THROWS_AS((void)ranks_within_budget(too_many, 100), ArgumentError);
  const Values bad{1, std::numeric_limits<double>::quiet_NaN()};
  const std::vector<LayerSpectrum> diverged{{4, 9, bad}};
  CHECK_THROWS_AS((void)ranks_within_budget(diverged, 100), accrete::NumericError);
}
