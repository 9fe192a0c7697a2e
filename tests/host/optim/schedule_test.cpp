// SPDX-License-Identifier: MIT
#include <accrete/error.hpp>
#include <accrete/optim/schedule.hpp>

#include <doctest/doctest.h>

#include <limits>

using accrete::CosineSchedule;
using accrete::CosineScheduleOptions;

TEST_CASE("CosineSchedule: warms up, then follows half a cosine to the floor") {
  const CosineSchedule schedule{CosineScheduleOptions{}};
  CHECK(schedule.at(0) == doctest::Approx(1e-3 / 101));
  CHECK(schedule.at(99) == doctest::Approx(1e-3 * 100 / 101));
  CHECK(schedule.at(100) == doctest::Approx(1e-3));
  CHECK(schedule.at(1050) == doctest::Approx(5.5e-4));
  CHECK(schedule.at(2000) == doctest::Approx(1e-4));
  CHECK(schedule.at(9999) == doctest::Approx(1e-4));
}

TEST_CASE("CosineSchedule: a restart grows again to where the cosine then is") {
  CosineScheduleOptions options;
  options.restart_warmup = 4;
  CosineSchedule schedule{options};
  const CosineSchedule smooth{options};
  schedule.restart(500);
  CHECK(schedule.at(499) == smooth.at(499));
  for (int i = 0; i < 4; ++i) {
    CHECK(schedule.at(500 + i) == doctest::Approx(smooth.at(504) * (i + 1) / 5));
  }
  CHECK(schedule.at(504) == smooth.at(504));
  CHECK(schedule.restarted_at() == 500);

  CosineSchedule early{options};
  early.restart(50); // the first warm-up goes on
  CHECK(early.at(60) == smooth.at(60));
}

TEST_CASE("CosineSchedule: options outside their domain are refused") {
  CosineScheduleOptions options;
  options.peak = -1;
  CHECK_THROWS_AS(CosineSchedule{options}, accrete::ArgumentError);
  options = {};
  options.floor = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(CosineSchedule{options}, accrete::ArgumentError);
  options = {};
  options.restart_warmup = -1;
  CHECK_THROWS_AS(CosineSchedule{options}, accrete::ArgumentError);
}
