// SPDX-License-Identifier: MIT
#include <accrete/grow/inrank.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

using accrete::ArgumentError;
using accrete::explained_ratio;
using accrete::ExplainedRatio;
using accrete::Index;
using accrete::InRankOptions;
using accrete::InRankPolicy;
using accrete::NumericError;
using accrete::RankError;

namespace {

// torch.var of the spectrum padded with zeros, as the authors' code calls it.
double unbiased_variance(std::vector<double> values, Index total, Index leading_zeros) {
  values.resize(static_cast<std::size_t>(total), 0.0);
  for (Index i = 0; i < leading_zeros; ++i) {
    values[static_cast<std::size_t>(i)] = 0;
  }
  double mean = 0;
  for (const double x : values) {
    mean += x / static_cast<double>(total);
  }
  double sum = 0;
  for (const double x : values) {
    sum += (x - mean) * (x - mean);
  }
  return sum / static_cast<double>(total - 1);
}

std::vector<double> geometric(Index count, double ratio) {
  std::vector<double> values;
  for (Index i = 0; i < count; ++i) {
    values.push_back(3 * std::pow(ratio, i));
  }
  return values;
}

} // namespace

TEST_CASE("explained ratio of a flat spectrum in a 768-wide layer, both readings") {
  struct Case {
    Index active, rank;
    double variance, energy;
  };
  for (const Case& c :
       {Case{102, 2, .017, .020}, Case{354, 254, .544, .718}, Case{400, 300, .546, .750}}) {
    CAPTURE(c.active);
    const std::vector<double> flat(static_cast<std::size_t>(c.active), 0.7);
    CHECK(std::abs(explained_ratio(flat, c.rank, ExplainedRatio::variance, 768) - c.variance) <=
          5e-4);
    CHECK(std::abs(explained_ratio(flat, c.rank, ExplainedRatio::energy) - c.energy) <= 5e-4);
  }
}

TEST_CASE("the variance reading is torch.var over all values, zeros included") {
  const std::vector<double> values = geometric(9, 0.8);
  for (Index rank = 0; rank <= 9; ++rank) {
    const double expected =
        1 - unbiased_variance(values, 20, rank) / unbiased_variance(values, 20, 0);
    CHECK(explained_ratio(values, rank, ExplainedRatio::variance, 20) ==
          doctest::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("explained ratio at its ends") {
  const std::vector<double> values = geometric(6, 0.5);
  CHECK(explained_ratio(values, 0) == 0.0);
  CHECK(explained_ratio(values, 6) == 1.0);
  CHECK(explained_ratio(values, 6, ExplainedRatio::variance, 6) == 1.0);
  CHECK(explained_ratio({}, 0) == 1.0);
  CHECK(explained_ratio(std::vector<double>(4, 0.0), 1) == 1.0);
  const std::vector<double> flat(4, 0.1);
  CHECK(explained_ratio(flat, 1, ExplainedRatio::variance, 4) == doctest::Approx(0.25));
  const std::vector<double> huge(4, 1e300);
  CHECK(explained_ratio(huge, 1) == doctest::Approx(0.25));
  CHECK_THROWS_AS((void)explained_ratio(values, 7), RankError);
  CHECK_THROWS_AS((void)explained_ratio(values, -1), RankError);
  CHECK_THROWS_AS((void)explained_ratio(values, 1, ExplainedRatio::variance, 5), ArgumentError);
}

TEST_CASE("options follow the width, and are the authors' from 768 on") {
  const InRankOptions small = InRankOptions::scaled_to(768, 3072);
  CHECK(small.initial_rank == 2);
  CHECK(small.buffer == 100);
  CHECK(small.max_rank == 384);
  const InRankOptions large = InRankOptions::scaled_to(5120, 1280);
  CHECK(large.buffer == 100);
  CHECK(large.max_rank == 640);
  const InRankOptions tiny = InRankOptions::scaled_to(128, 512);
  CHECK(tiny.buffer == 17);
  CHECK(tiny.max_rank == 64);
  for (const Index width : {2, 3, 4, 5, 8, 16, 384, 767}) {
    CAPTURE(width);
    const InRankOptions options = InRankOptions::scaled_to(width, 4 * width);
    CHECK_NOTHROW(options.validate());
    CHECK(options.max_rank <= width);
  }
}

TEST_CASE("checks come every interval after the warm-up") {
  const InRankPolicy policy(InRankOptions{});
  CHECK_FALSE(policy.due(200));
  CHECK_FALSE(policy.due(201));
  CHECK(policy.due(225));
  CHECK_FALSE(policy.due(226));
  CHECK(policy.due(250));
}

TEST_CASE("the rank rises until the threshold is explained, and never falls") {
  InRankOptions options{.initial_rank = 2, .buffer = 8, .max_rank = 40};
  for (const auto reading : {ExplainedRatio::energy, ExplainedRatio::variance}) {
    options.reading = reading;
    InRankPolicy policy(options, 64);
    CHECK(policy.active_columns() == 10);
    const std::vector<double> values = geometric(10, 0.8);
    const Index rank = policy.update(values);
    CHECK(rank > 2);
    CHECK(explained_ratio(values, rank, reading, 64) >= options.threshold);
    CHECK(explained_ratio(values, rank - 1, reading, 64) < options.threshold);
    CHECK(policy.update(geometric(rank + 8, 0.01)) == rank);
    CHECK(policy.rank() == rank);
  }
}

TEST_CASE("one check raises the rank by the buffer at most, and max_rank holds the buffer too") {
  const InRankOptions options{.initial_rank = 1, .buffer = 3, .threshold = 0.999, .max_rank = 9};
  InRankPolicy policy(options);
  const auto flat = [&] {
    return std::vector<double>(static_cast<std::size_t>(policy.active_columns()), 1.0);
  };
  CHECK(policy.update(flat()) == 4);
  CHECK(policy.update(flat()) == 6);
  CHECK(policy.update(flat()) == 6);
  CHECK(policy.active_columns() == 9);
}

TEST_CASE("a diverged spectrum is refused and the rank stays") {
  InRankPolicy policy(InRankOptions{.initial_rank = 1, .buffer = 3, .max_rank = 9});
  const std::vector<double> bad{1.0, std::numeric_limits<double>::quiet_NaN(), 0.5};
  CHECK_THROWS_AS(policy.update(bad), NumericError);
  CHECK(policy.rank() == 1);
  policy.set_rank(5);
  CHECK(policy.rank() == 5);
  CHECK_THROWS_AS(policy.set_rank(7), RankError);
}

TEST_CASE("options outside their domain are refused") {
  CHECK_THROWS_AS(InRankPolicy(InRankOptions{.max_rank = 50}), RankError);
  CHECK_THROWS_AS(InRankPolicy(InRankOptions{.initial_rank = 0}), RankError);
  CHECK_THROWS_AS(InRankPolicy(InRankOptions{.buffer = 0}), RankError);
  CHECK_THROWS_AS(InRankPolicy(InRankOptions{.threshold = 1.0}), ArgumentError);
  CHECK_THROWS_AS(InRankPolicy(InRankOptions{.interval = 0}), ArgumentError);
  CHECK_THROWS_AS(InRankPolicy(InRankOptions{.reading = ExplainedRatio::variance}), ArgumentError);
}

TEST_CASE("the scaled options fit every layer, down to one row") {
  for (Index width = 1; width <= 40; ++width) {
    CAPTURE(width);
    for (const auto& options :
         {InRankOptions::scaled_to(width, 1000), InRankOptions::scaled_to(1000, width)}) {
      CHECK_NOTHROW(options.validate());
      CHECK(options.max_rank <= width);
      CHECK((options.buffer > 0) == (width > 1));
    }
  }
  auto options = InRankOptions::scaled_to(1, 7);
  options.reading = ExplainedRatio::variance;
  InRankPolicy policy(options, 1);
  CHECK(policy.active_columns() == 1);
  CHECK(policy.update(std::vector<double>{0.3}) == 1);
  CHECK_NOTHROW(policy.set_rank(1));
}

TEST_CASE("options without a buffer, and counts that add up to too much, are refused") {
  constexpr Index largest = std::numeric_limits<Index>::max();
  InRankOptions options;
  for (const auto& [rank, buffer] : {std::pair<Index, Index>{2, 0},
                                     {2, -1},
                                     {0, 1},
                                     {2, largest},
                                     {largest, largest},
                                     {385, 0}}) {
    options.initial_rank = rank;
    options.buffer = buffer;
    CHECK_THROWS_AS(options.validate(), RankError);
  }
  options.initial_rank = options.max_rank;
  options.buffer = 0;
  CHECK_NOTHROW(options.validate());
  CHECK_THROWS_AS(InRankPolicy(options).set_rank(largest), RankError);
}
