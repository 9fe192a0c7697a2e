// SPDX-License-Identifier: MIT
#include "app/comparison.hpp"
#include "app/comparison_report.hpp"
#include "model/methods.hpp"
#include "tests/app_process.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace gpt::test;
using gpt::ContestantResult;
using gpt::RunRecord;

namespace {

Arguments compare(const Fixture& f, const Arguments& more) {
  return Arguments{"compare",  "--data",      f.text.string(),
                   "--output", f.name("out"), "--n-layer",
                   "1",        "--n-head",    "2",
                   "--width",  "16",          "--context",
                   "16",       "--threads",   "1"} +
         more;
}

std::string table_of(const Fixture& f) {
  return gpt::InputFile(f.folder / "out/comparison.md").read_all();
}

} // namespace

TEST_CASE("comparison: time to a loss lies between the evaluations around it") {
  RunRecord run;
  run.curve = {{0, 0, 4.0, 0}, {10, 2, 3.0, 0}, {20, 4, 2.0, 0}};
  CHECK(run.seconds_to(5).value() == 0);
  CHECK(run.seconds_to(3.5).value() == doctest::Approx(1));
  CHECK(run.seconds_to(2).value() == doctest::Approx(4));
  CHECK_FALSE(run.seconds_to(1.9).has_value());
}

TEST_CASE("comparison: a mean curve has the steps that all runs have") {
  ContestantResult result;
  result.runs.resize(2);
  result.runs[0].curve = {{0, 0, 4, 2}, {10, 2, 3, 4}, {15, 3, 2.5, 4}};
  result.runs[1].curve = {{0, 0, 4, 2}, {10, 4, 2, 8}};
  const auto curve = result.mean_curve();
  REQUIRE(curve.size() == 2);
  CHECK(curve[1].seconds == 3);
  CHECK(curve[1].val_loss == 2.5);
  CHECK(curve[1].mean_rank == 6);
}

TEST_CASE("comparison: contestants are read with their settings, or refused by name") {
  gpt::CompareOptions options;
  gpt::add_contestant(options, "galore:rank=32:basis=exact:scale=0.5", true);
  REQUIRE(options.contestants.size() == 1);
  const gpt::Contestant& contestant = options.contestants.front();
  CHECK(contestant.method == "galore");
  CHECK(std::get<std::int64_t>(contestant.settings.at("rank")) == 32);
  CHECK(std::get<std::string>(contestant.settings.at("basis")) == "exact");
  CHECK(std::get<double>(contestant.settings.at("scale")) == 0.5);
  CHECK(contestant.folder() == "galore-rank-32-basis-exact-scale-0.5");
  for (const char* wrong : {"galor", "galore:rnk=3", "galore:rank=x", "galore:rank",
                            "galore:rank=-1", "galore:rank=32:basis=exact:scale=0.5"}) {
    CAPTURE(std::string(wrong));
    CHECK_THROWS_AS(gpt::add_contestant(options, wrong, false), accrete::ArgumentError);
  }
  gpt::add_contestant(options, "all", true);
  CHECK(options.contestants.size() == gpt::method_entries().size());
}

TEST_CASE("program: compare trains, chooses rates, writes a table, and goes on where it was") {
  const Fixture f;
  const Arguments arguments = compare(f, {"--methods", "full,low-rank:rank=2", "--rates",
                                          "1e-4,1e-2", "--steps", "20", "--seeds", "1,2"});
  const Result first = run(arguments);
  REQUIRE_MESSAGE(first.status == 0, first.errors);
  CHECK_MESSAGE(contains(first.output, "run 10 of 10"), first.output); // each with one rate beyond
  const std::string table = table_of(f);
  CHECK(contains(table, "| full | 0.01 |"));
  CHECK(contains(table, "| low-rank:rank=2 | 0.01 |"));
  CHECK(contains(table, "±"));
  CHECK(contains(table, "2 / 2.0 / 2"));
  CHECK(contains(table, "after 5 steps"));
  CHECK(gpt::fs::exists(f.folder / "out/plots.gnuplot"));
  CHECK(gpt::fs::exists(f.folder / "out/low-rank:rank=2.curve"));

  // One run of seed 2 is missing: it alone is trained again, to the same numbers.
  gpt::fs::remove(f.folder / "out/full/seed-2-steps-20.jsonl");
  gpt::fs::remove_all(f.folder / "out/full/seed-2-steps-20");
  const Result second = run(arguments);
  REQUIRE_MESSAGE(second.status == 0, second.errors);
  std::size_t before = 0;
  for (std::size_t at = 0; (at = second.output.find("finished before", at)) != std::string::npos;
       ++at) {
    ++before;
  }
  CHECK(before == 9);
  const auto loss = [](const std::string& text) {
    const std::size_t at = text.find("| full |");
    return text.substr(at, 40);
  };
  CHECK(loss(table_of(f)) == loss(table));
}

TEST_CASE("program: compare goes beyond the rates while the best is at an end") {
  const Fixture f;
  const Result result =
      run(compare(f, {"--methods", "full", "--rates", "1e-5,1e-4", "--steps", "40"}));
  REQUIRE_MESSAGE(result.status == 0, result.errors);
  CHECK_MESSAGE(contains(result.output, "at rate 0.001"), result.output);
  CHECK_MESSAGE(contains(result.output, "at rate 0.01"), result.output);
  CHECK_FALSE(contains(table_of(f), "| full | 0.0001 |"));
}

TEST_CASE("program: equal seconds are as many steps as take so long at the best rate") {
  const Fixture f;
  const Result result = run(compare(
      f, {"--methods", "full", "--rates", "1e-5,1e-3", "--steps", "40", "--seconds", "0.02"}));
  REQUIRE_MESSAGE(result.status == 0, result.errors);
  const std::string table = table_of(f);
  const std::size_t at = table.find("| full | ") + 9;
  const std::string rate = table.substr(at, table.find(' ', at) - at);
  const Json trial = records_of(f.folder / ("out/full/rate-" + rate + ".jsonl")).back();
  const long steps = std::max(1L, std::lround(20 / trial["step_ms"].get<double>()));
  CHECK_MESSAGE(
      contains(result.output, "full, " + std::to_string(steps) + " steps at rate " + rate),
      result.output);
}

TEST_CASE("comparison: many methods are drawn in panels, the reference in each") {
  const Fixture f;
  std::vector<ContestantResult> results;
  for (const char* label : {"full", "a", "b", "c", "d", "e", "f", "g", "h", "i"}) {
    ContestantResult result;
    result.label = label;
    result.runs.resize(1);
    result.runs[0].final = {{"val_loss", 2.0}};
    result.runs[0].curve = {{0, 0, 4.0, 2}, {10, 2, 3.0, 2}, {20, 4, 2.0, 2}};
    results.push_back(result);
  }
  (void)gpt::write_plots(f.folder.path(), results);
  const std::string script = gpt::InputFile(f.folder / "plots.gnuplot").read_all();
  const std::string loss = script.substr(0, script.find("unset multiplot"));
  CHECK(contains(loss, "layout 1,2"));
  std::size_t references = 0;
  for (std::size_t at = 0; (at = loss.find("'full.curve'", at)) != std::string::npos; ++at) {
    ++references;
  }
  CHECK(references == 2);
  CHECK(contains(loss, "set yrange [*:3]"));
  CHECK(contains(script, "set yrange [0:*]"));
}

TEST_CASE("program: an interrupted comparison goes on") {
  const Fixture f;
  const Arguments arguments =
      compare(f, {"--methods", "full", "--rates", "1e-3", "--steps", "3000"});
  Process process(arguments);
  const path metrics = f.folder / "out/full/seed-1337-steps-3000.jsonl";
  REQUIRE(wait_for(process,
                   [&] { return gpt::fs::exists(metrics) && gpt::fs::file_size(metrics) > 5000; }));
  process.kill(SIGINT);
  const Result stopped = process.wait();
  CHECK(stopped.status == 0);
  CHECK_MESSAGE(contains(stopped.output, "the same command goes on"), stopped.output);
  CHECK(contains(table_of(f), "| full | not finished |"));
  const Result result = run(arguments);
  REQUIRE_MESSAGE(result.status == 0, result.errors);
  CHECK_MESSAGE(contains(result.output, "resumed after step"), result.output);
  CHECK(records_of(metrics).back()["final"] == true);
}

TEST_CASE("program: methods that diverge under every rate are said to, and the others go on") {
  const Fixture f;
  const Result result = run(compare(
      f, {"--methods", "full,low-rank", "--rates", "1e18,1e19", "--clip", "0", "--steps", "40"}));
  CHECK_MESSAGE(result.status == 0, result.errors);
  CHECK(contains(table_of(f), "| full | diverged |"));
}

TEST_CASE("program: compare refuses what it does not know") {
  const Fixture f;
  check_fails(compare(f, {"--methods", "full,galor"}), 2, "galor");
  check_fails(compare(f, {"--methods", "galore:rank=x"}), 2, "rank");
  check_fails(compare(f, {"--rates", "fast"}), 2, "--rates");
  check_fails(compare(f, {"--seeds", "1,x"}), 2, "--seeds");
  check_fails({"compare", "--data", f.text.string()}, 2, "--output");
}
