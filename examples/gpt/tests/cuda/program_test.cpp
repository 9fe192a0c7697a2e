// SPDX-License-Identifier: MIT
// The program with the GPU of the tests, which lies beside this test.
#include "tests/app_process.hpp"

#include <cmath>
#include <map>

using namespace gpt::test;

TEST_CASE("program: --backend cuda and --math are checked") {
  const Fixture f;
  check_fails(f.train({"--backend", "cuda", "--dtype", "double"}), 1, "use --dtype float");
  check_fails(f.train({"--math", "bfloat16"}), 1, "--math bfloat16 is for --backend cuda");
  check_fails(f.train({"--backend", "cuda", "--math", "float16"}), 2, "--math");
}

TEST_CASE("program: a run goes from one backend to the other") {
  const Fixture f;
  const Arguments method{"--method",          "inrank", "--method.warmup", "2",
                         "--method.interval", "2",      "--method.buffer", "3",
                         "--eval-interval",   "4"};
  const auto train = [&](const std::string& name, const std::string& backend,
                         const std::string& steps, const Arguments& more) {
    const Arguments files{"--metrics", f.name(name + ".jsonl"), "--checkpoint", f.name(name)};
    const Result result = run(
        f.train({"--backend", backend, "--steps", steps, "--decay-steps", "12"}) + files + more);
    CHECK_MESSAGE(result.status == 0, result.errors);
    return result.output;
  };
  train("cpu", "cpu", "12", method);
  const std::string output = train("mixed", "cuda", "4", method + Arguments{"--math", "tf32"});
  CHECK_MESSAGE(contains(output, "on a GPU in tf32"), output);
  train("mixed", "cpu", "8", {"--resume"});
  train("mixed", "cuda", "12", {"--resume"});

  const auto expected = train_losses_of(f.name("cpu.jsonl"));
  const auto losses = train_losses_of(f.name("mixed.jsonl"));
  CHECK(losses.size() == 13);
  for (const auto& [step, loss] : losses) {
    CAPTURE(step);
    CHECK(std::abs(loss - expected.at(step)) <= 1e-4 * expected.at(step));
  }
  const Json last = records_of(f.name("mixed.jsonl")).back();
  CHECK(last["backend"] == "cuda");
  CHECK(last["math"] == "float32");
  CHECK(!last["options"].contains("backend"));
  const Result eval = run({"eval", "--checkpoint", f.name("mixed")});
  CHECK_MESSAGE(eval.status == 0, eval.errors);
}
