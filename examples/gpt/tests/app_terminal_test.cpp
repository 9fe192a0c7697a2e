// SPDX-License-Identifier: MIT
#include "app/metrics.hpp"
#include "app/terminal.hpp"
#include "tests/app_support.hpp"

#include <doctest/doctest.h>

TEST_CASE("terminal: large numbers are grouped in threes") {
  CHECK(gpt::grouped(0) == "0");
  CHECK(gpt::grouped(999) == "999");
  CHECK(gpt::grouped(1000) == "1,000");
  CHECK(gpt::grouped(-1234567.4) == "-1,234,567");
}

TEST_CASE("terminal: durations have two units") {
  CHECK(gpt::duration_text(0.4) == "0s");
  CHECK(gpt::duration_text(185) == "3m05s");
  CHECK(gpt::duration_text(7620) == "2h07m");
}

TEST_CASE("terminal: the smoothed mean starts at the first value and follows") {
  gpt::SmoothedMean mean;
  CHECK(mean.value() == 0);
  mean.add(3);
  CHECK(mean.value() == doctest::Approx(3));
  for (int i = 0; i < 200; ++i) {
    mean.add(5);
  }
  CHECK(mean.value() == doctest::Approx(5).epsilon(1e-3));
}

TEST_CASE("metrics: a resumed run drops later, final and torn records and appends") {
  const TemporaryFolder folder;
  const gpt::fs::path path = folder / "m.jsonl";
  gpt::test::write_text(path, "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"final\":true}\nnonsense\n"
                              "{\"step\":3}\n{\"st");
  gpt::MetricsFile file(path, 2);
  file.write({{"step", 3}});
  CHECK(gpt::InputFile(path).read_all() == "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
}
