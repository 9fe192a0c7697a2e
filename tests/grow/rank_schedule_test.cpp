// SPDX-License-Identifier: MIT
#include <accrete/grow/rank_schedule.hpp>

#include <doctest/doctest.h>

#include <vector>

using accrete::ArgumentError;
using accrete::Index;
using accrete::RankError;
using accrete::ranks_linear_in_depth;
using accrete::RankSchedule;

TEST_CASE("a schedule holds each rank until the next stage") {
  const RankSchedule schedule({{0, 8}, {1000, 16}, {5000, 4}});
  CHECK(schedule(0) == 8);
  CHECK(schedule(999) == 8);
  CHECK(schedule(1000) == 16);
  CHECK(schedule(4999) == 16);
  CHECK(schedule(5000) == 4);
  CHECK(schedule(1'000'000) == 4);
  CHECK_THROWS_AS((void)schedule(-1), ArgumentError);
}

TEST_CASE("schedules that leave a step without a rank are refused") {
  CHECK_THROWS_AS(RankSchedule({}), ArgumentError);
  CHECK_THROWS_AS(RankSchedule({{10, 8}}), ArgumentError);
  CHECK_THROWS_AS(RankSchedule({{0, 8}, {5, 9}, {5, 10}}), ArgumentError);
  CHECK_THROWS_AS(RankSchedule({{0, -1}}), RankError);
}

TEST_CASE("ranks in a straight line over the layers reach both ends") {
  CHECK(ranks_linear_in_depth(4, 12, 5) == std::vector<Index>{4, 6, 8, 10, 12});
  CHECK(ranks_linear_in_depth(12, 4, 3) == std::vector<Index>{12, 8, 4});
  CHECK(ranks_linear_in_depth(1, 4, 3) == std::vector<Index>{1, 3, 4}); // 2.5 rounds up
  CHECK(ranks_linear_in_depth(7, 9, 1) == std::vector<Index>{7});
  CHECK(ranks_linear_in_depth(7, 9, 0).empty());
  CHECK_THROWS_AS((void)ranks_linear_in_depth(-1, 4, 3), RankError);
  CHECK_THROWS_AS((void)ranks_linear_in_depth(1, 4, -3), ArgumentError);
}
