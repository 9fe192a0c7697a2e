// SPDX-License-Identifier: MIT
#include "tests/app_process.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

using namespace gpt::test;
namespace fs = gpt::fs;

namespace {

/// The options that the help of a command shows with this type.
Arguments options_of(const std::string& command, const std::string& type) {
  Arguments options;
  std::istringstream lines(run({command, "--help"}).output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name, kind;
    words >> name >> kind;
    if (name.rfind("--", 0) == 0 && kind.rfind(type, 0) == 0) {
      options.push_back(name);
    }
  }
  return options;
}

/// The pointers of all leaves: numbers, texts, words and empty arrays.
void add_leaves(const Json& json, const Json::json_pointer& here,
                std::vector<Json::json_pointer>& leaves) {
  if (!json.is_structured() || json.empty()) {
    leaves.push_back(here);
    return;
  }
  for (const auto& [key, value] : json.items()) {
    add_leaves(value, json.is_array() ? here / std::stoul(key) : here / key, leaves);
  }
}

/// Replaces the last number of a checkpoint's file.
template <class Number>
void poison(const path& file, Number number) {
  std::string text = gpt::InputFile(file).read_all();
  std::memcpy(text.data() + text.size() - sizeof number, &number, sizeof number);
  write_text(file, text);
}

} // namespace

TEST_CASE("program: every number of every command is decimal, whole or in range") {
  for (const std::string command : {"train", "eval", "sample", "check-gradients"}) {
    const Arguments whole = options_of(command, "INT");
    const Arguments real = options_of(command, "FLOAT");
    CHECK(whole.size() >= 2);
    for (const std::string& option : whole + real) {
      for (const char* text : {"0x10", "1e999", "99999999999999999999999", "nan", "inf", "1,5",
                               "3 4", "-1", "5k", "1e-999"}) {
        if (text[0] == '9' && std::count(real.begin(), real.end(), option) > 0) {
          continue; // a number that a double can be
        }
        CAPTURE(command);
        CAPTURE(text);
        const Result result = run({command, option, text});
        CHECK(result.status == 2);
        CHECK_MESSAGE(contains(result.errors, option + ": '" + text + "' is not a"), result.errors);
      }
    }
    for (const std::string& option : whole) {
      check_fails({command, option, "1.5"}, 2, "is not a whole number from ");
    }
  }
  check_fails({"train", "--n-head", "0"}, 2, "'0' is not a whole number from 1 to 1000");
  check_fails({"train", "--seed", "18446744073709551616"}, 2, "from 0 to 18446744073709551615");
  check_fails({"train", "--bias=2"}, 2, "'2' is neither true nor false");
}

TEST_CASE("program: leading zeros mean nothing, and no locale changes a number") {
  const Fixture f;
  ::setenv("LC_ALL", "de_DE.UTF-8", 1);
  const Result result =
      run(f.train({"--steps", "010", "--learning-rate", "0.0015", "--seed", "18446744073709551615",
                   "--metrics", f.name("m.jsonl"), "--checkpoint", f.name("run")}));
  ::unsetenv("LC_ALL");
  REQUIRE_MESSAGE(result.status == 0, result.errors);
  CHECK(contains(result.output, "rate 0.0015"));
  const Json last = records_of(f.folder / "m.jsonl").back();
  CHECK(last["step"] == 10);
  CHECK(last["options"]["seed"] == std::numeric_limits<std::uint64_t>::max());
  CHECK(last["options"]["learning-rate"] == 0.0015);
  CHECK(run({"eval", "--checkpoint", f.name("run"), "--batch", "0"}).status == 0);
}

TEST_CASE("program: a training that diverges keeps the last good checkpoint") {
  const Fixture f;
  const Arguments large{"--learning-rate", "1e300", "--warmup", "0"};
  check_fails(f.train({"--steps", "1"}) + large, 1, "not finite");
  const Arguments checkpoint{"--checkpoint", f.name("run")};
  REQUIRE(run(f.train({"--steps", "2"}) + checkpoint).status == 0);
  check_fails(Arguments{"train", "--resume", "--steps", "3"} + checkpoint + large, 1,
              "The checkpoint of step 2 is untouched");
  CHECK(fs::read_symlink(f.folder / "run/latest") == "step-00000002");
  CHECK(run(Arguments{"sample"} + checkpoint).status == 0);
}

TEST_CASE("program: every reader refuses tensors that are not finite") {
  const Fixture f;
  const Arguments checkpoint{"--checkpoint", f.name("run")};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    REQUIRE(run(f.train({"--steps", "2", "--overwrite"}) + checkpoint).status == 0);
    poison(f.folder / "run/model.safetensors", bad);
    check_fails(Arguments{"eval"} + checkpoint, 1, "not finite");
    check_fails(Arguments{"sample"} + checkpoint, 1, "not finite");
    check_fails(Arguments{"train", "--resume", "--steps", "3"} + checkpoint, 1, "not finite");
  }
}

TEST_CASE("program: every field of state.json is checked") {
  const Fixture f;
  const std::string folder = f.name("run");
  REQUIRE(run(f.train({"--steps", "2", "--method", "inrank", "--method.buffer", "3", "--checkpoint",
                       folder}))
              .status == 0);
  const path file = fs::canonical(f.folder / "run/state.json");
  const Json good = Json::parse(gpt::InputFile(file).read_all());
  std::vector<Json::json_pointer> leaves;
  add_leaves(good, Json::json_pointer(), leaves);
  CHECK(leaves.size() > 50);

  // These are other values of the kind, no damage; the empty array is an empty text.
  const auto is_free = [](const std::string& name, const Json& value) {
    return (name == "/seconds" && (value == 0 || value == 1.5)) || name == "/best_val_loss" ||
           (name == "/options/metrics" && value == Json::array());
  };
  const std::vector<Json> values{nullptr, 0, -1, 1.5, 1e300, 1u << 30U, "x", Json::array()};
  for (const auto& leaf : leaves) {
    if (leaf.to_string().rfind("/data/vocabulary/", 0) == 0 && leaf.back() != "3") {
      continue; // one byte of them stands for all
    }
    for (const Json& value : values) {
      if (good[leaf] == value || is_free(leaf.to_string(), value)) {
        continue;
      }
      CAPTURE(leaf.to_string());
      CAPTURE(value.dump());
      Json damaged = good;
      damaged[leaf] = value;
      write_text(file, damaged.dump());
      const Result result = run({"eval", "--checkpoint", folder, "--threads", "1"});
      CHECK(result.status == 1);
      CHECK_MESSAGE(contains(result.errors, "damaged"), result.errors);
    }
    if (Json damaged = good; damaged[leaf.parent_pointer()].is_object()) {
      damaged[leaf.parent_pointer()].erase(leaf.back());
      write_text(file, damaged.dump());
      check_fails({"eval", "--checkpoint", folder}, 1, "damaged");
    }
  }
  write_text(file, good.dump());
  CHECK(run({"eval", "--checkpoint", folder}).status == 0);
}

TEST_CASE("program: InRank's columns are as many as asked for, or refused") {
  const Fixture f;
  const Arguments inrank =
      f.train({"--steps", "30", "--method", "inrank", "--method.warmup", "1", "--method.interval",
               "2", "--metrics", f.name("m.jsonl"), "--overwrite", "--checkpoint", f.name("run")});
  const auto columns = [](const char* rank, const char* buffer) {
    return Arguments{"--method.initial-rank", rank, "--method.buffer", buffer};
  };
  check_fails(inrank + columns("0", "500"), 1, "rank 501 exceeds");
  check_fails(inrank + columns("10", "7"), 1, "use at most 16");
  REQUIRE(run(inrank + columns("3", "13")).status == 0);
  const Json state = Json::parse(gpt::InputFile(f.folder / "run/state.json").read_all());
  CHECK(state["shapes"]["h.0.mlp.c_fc"] == Json{{"rank", 3}, {"columns", 16}});

  for (const char* kind : {"inrank", "inrank-efficient"}) {
    const Result narrow =
        run(inrank + Arguments{"--width", "1", "--n-head", "1", "--method", kind});
    CHECK_MESSAGE(narrow.status == 0, narrow.errors);
    CHECK(run({"eval", "--checkpoint", f.name("run")}).status == 0);
  }
}
