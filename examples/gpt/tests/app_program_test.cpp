// SPDX-License-Identifier: MIT
#include "app/safetensors.hpp"
#include "tests/app_process.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

using accrete::Index;
using namespace gpt::test;

namespace {

Index greatest_rank(const Json& record) {
  Index rank = 0;
  for (const auto& [name, value] : record["ranks"].items()) {
    rank = std::max(rank, value.get<Index>());
  }
  return rank;
}

/// Everything after the header, with the header's tensors, as two files can differ in metadata.
void check_same_tensors(const path& a, const path& b) {
  const auto tensors = [](const path& file) {
    const std::string text = gpt::InputFile(file).read_all();
    std::uint64_t header = 0;
    std::memcpy(&header, text.data(), sizeof header);
    Json json = Json::parse(text.substr(8, header));
    json.erase("__metadata__");
    return std::pair{json.dump(), text.substr(8 + header)};
  };
  const auto left = tensors(a);
  const auto right = tensors(b);
  CHECK(left.first == right.first);
  CHECK(left.second == right.second);
}

/// The step of the newest checkpoint; older ones are removed while a run goes on.
long newest_checkpoint(const path& folder) {
  std::error_code none;
  const std::string name = gpt::fs::read_symlink(folder / "latest", none).filename().string();
  return none ? 0 : std::stol(name.substr(name.find('-') + 1));
}

} // namespace

TEST_CASE("program: options that do not exist or are out of range are refused by name") {
  const Fixture f;
  check_fails({"train", "--foo"}, 2, "--foo");
  check_fails({"fly"}, 2, "fly");
  check_fails({}, 2, "check-gradients");
  check_fails(f.train({"--method", "sparse"}), 2, "--method: sparse not in");
  check_fails(f.train({"--method", "galore", "--method.rank", "x"}), 2,
              "--method.rank: 'x' is not");
  check_fails(f.train({"--method", "galore", "--method.basis", "x"}), 2, "randomized exact");
  check_fails(f.train({"--method", "galore", "--method.rank", "17"}), 1, "rank 17 exceeds");
  check_fails(f.train({"--method.rank", "3"}), 2, "--method.rank"); // of full
  check_fails(f.train({"--steps", "0"}), 2, "--steps");
  check_fails(f.train({"--learning-rate", "nan"}), 2, "--learning-rate");
  check_fails(f.train({"--preset", "mozart"}), 2, "--preset");
  check_fails(f.train({"--resume"}), 2, "--checkpoint");
  check_fails(f.train({"--width", "17"}), 1, "no multiple of --n-head 2");
  check_fails(f.train({"--backend", "tpu"}), 2, "--backend");
  check_fails(f.train({"--math", "tf32"}), 1, "--math tf32 is for --backend cuda");
  check_fails({"train"}, 1, "--data FILE");
}

TEST_CASE("program: where there is no GPU, or no CUDA, --backend cuda leaves nothing behind") {
  const Fixture f;
  const Result result = run(f.train({"--backend", "cuda", "--steps", "1", "--checkpoint",
                                     f.name("run"), "--metrics", f.name("metrics.jsonl")}));
  if (result.status == 0) {
    MESSAGE("skipped: this machine has a GPU");
    return;
  }
  CHECK(result.status == 1);
  CHECK_MESSAGE((contains(result.errors, "no CUDA backend") || contains(result.errors, "cuda")),
                result.errors);
  CHECK(!std::filesystem::exists(f.name("run")));
  CHECK(!std::filesystem::exists(f.name("metrics.jsonl")));
}

TEST_CASE("program: a checkpoint's method and its options are the run's") {
  const Fixture f;
  REQUIRE(run(f.train({"--steps", "1", "--method", "low-rank", "--method.rank", "3", "--layers",
                       "mlp", "--checkpoint", f.name("run")}))
              .status == 0);
  const Arguments resume{"train", "--resume", "--checkpoint", f.name("run"), "--steps", "2"};
  check_fails(resume + Arguments{"--method.rank", "4"}, 1, "--method.rank");
  check_fails(resume + Arguments{"--method", "galore"}, 1, "--method");
  check_fails(resume + Arguments{"--layers", "all"}, 1, "--layers");
  check_fails(resume + Arguments{"--preset", "shakespeare"}, 2, "--preset excludes --resume");
  check_fails(f.train({"--checkpoint-interval", "5"}), 2,
              "--checkpoint-interval requires --checkpoint");
  const Result result = run(resume + Arguments{"--method.rank", "3", "--threads", "1"});
  CHECK_MESSAGE(result.status == 0, result.errors);
  CHECK_MESSAGE(contains(result.output, "rank 3"), result.output);
}

TEST_CASE("program: the help text shows the defaults of the chosen preset") {
  const Result small = run({"train", "--help"});
  const Result large = run({"train", "--preset", "shakespeare", "--help"});
  CHECK(small.status == 0);
  CHECK_MESSAGE(contains(small.output, "--width INT=128"), small.output);
  CHECK_MESSAGE(contains(large.output, "--width INT=384"), large.output);
}

TEST_CASE("program: texts that are missing, empty or short") {
  const Fixture f;
  const auto train = [](const std::string& file) { return Arguments{"train", "--data", file}; };
  gpt::test::write_text(f.folder / "empty.txt", "");
  gpt::test::write_text(f.folder / "short.txt", "to be or not to be");
  check_fails(train(f.name("none.txt")), 1, "No such file");
  check_fails(train(f.name("empty.txt")), 1, "is empty");
  check_fails(train(f.name("short.txt")), 1, "641 characters");
  check_fails(train(f.folder.path().string()), 1, "folder");
  check_fails(train("/dev/null"), 1, "'/dev/null': it is a device; name a file");
}

TEST_CASE("program: the metrics file has one record a step and a final one") {
  const Fixture f;
  const Result result =
      run(f.train({"--steps", "6", "--eval-interval", "3", "--metrics", f.name("m.jsonl"),
                   "--method", "low-rank", "--layers", "mlp", "--seed", "5"}));
  REQUIRE_MESSAGE(result.status == 0, result.errors);
  const std::vector<Json> records = records_of(f.folder / "m.jsonl");
  REQUIRE(records.size() == 8);
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Json& record = records[i];
    for (const char* key : {"step", "train_loss", "val_loss", "lr", "grad_norm", "step_ms",
                            "tokens_per_s", "gflops", "params", "trained_params", "ranks"}) {
      CHECK_MESSAGE(record.contains(key), key);
    }
    CHECK(record["step"] == std::min<std::size_t>(i, 6));
    CHECK(record["val_loss"].is_number() == (i % 3 == 0 || i == 7));
    CHECK(record["ranks"].size() == 2);
  }
  const Json& final = records.back();
  CHECK(final["final"] == true);
  CHECK(final["seed"] == 5);
  CHECK(final["method"] == "low-rank");
  for (const char* key : {"parameter_bytes", "gradient_bytes", "state_bytes"}) {
    CHECK(final[key].get<double>() > 0);
  }
  CHECK(final["seconds"].is_number());
  CHECK(final["best_val_loss"].get<double>() <= final["val_loss"].get<double>());
  CHECK_FALSE(records.front().contains("final"));
}

TEST_CASE("program: the loss falls and the same seed gives the same run") {
  const Fixture f;
  for (const char* file : {"a.jsonl", "b.jsonl"}) {
    REQUIRE(run(f.train({"--steps", "60", "--metrics", f.name(file)})).status == 0);
  }
  const auto losses = train_losses_of(f.folder / "a.jsonl");
  CHECK(losses.at(60) < losses.at(1) - 0.2);
  CHECK(losses == train_losses_of(f.folder / "b.jsonl"));
}

TEST_CASE("program: a killed run continues bit for bit") {
  for (const std::string method : {"full", "relora", "galore", "inrank-efficient"}) {
    CAPTURE(method);
    const Fixture f;
    Arguments train = f.train({"--steps", "300", "--eval-interval", "100", "--method", method});
    const bool grows = method.rfind("inrank", 0) == 0;
    if (grows) {
      train = train + Arguments{"--method.warmup",    "20",   "--method.interval",     "10",
                                "--method.threshold", "0.99", "--method.initial-rank", "1",
                                "--method.buffer",    "2"};
    } else if (method == "relora") {
      train = train + Arguments{"--method.interval", "20", "--method.warm-start", "0.05"};
    } else if (method == "galore") {
      train = train + Arguments{"--method.period", "20"};
    }
    const std::string whole = f.name("whole");
    const std::string killed = f.name("killed");
    const Result reference = run(train + Arguments{"--checkpoint", whole, "--checkpoint-interval",
                                                   "0", "--metrics", f.name("whole.jsonl")});
    REQUIRE_MESSAGE(reference.status == 0, reference.errors);

    // Where this process slept too long, the run was over before the signal: once more.
    int status = 0;
    for (int attempt = 0; attempt < 20 && status == 0; ++attempt) {
      gpt::fs::remove_all(killed);
      gpt::fs::remove(f.name("killed.jsonl"));
      Process process(train + Arguments{"--checkpoint", killed, "--checkpoint-interval", "7",
                                        "--metrics", f.name("killed.jsonl")});
      REQUIRE(wait_for(process, [&] { return newest_checkpoint(killed) >= 35; }));
      process.kill(SIGKILL);
      status = process.wait().status;
    }
    REQUIRE(status == -SIGKILL);
    const Result resumed = run({"train", "--checkpoint", killed, "--resume",
                                "--checkpoint-interval", "0", "--threads", "1"});
    REQUIRE_MESSAGE(resumed.status == 0, resumed.errors);

    if (grows) {
      CHECK(greatest_rank(records_of(f.folder / "whole.jsonl").back()) > 1);
    }
    CHECK(train_losses_of(f.folder / "killed.jsonl") == train_losses_of(f.folder / "whole.jsonl"));
    for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
      check_same_tensors(path(whole) / file, path(killed) / file);
    }
  }
}

TEST_CASE("program: an interrupt finishes the step, writes a checkpoint and ends well") {
  const Fixture f;
  Process process(f.train({"--steps", "1000000", "--metrics", f.name("m.jsonl"), "--checkpoint",
                           f.name("run"), "--checkpoint-interval", "0", "--eval-interval", "0"}));
  REQUIRE(wait_for(process, [&] {
    return gpt::fs::exists(f.folder / "m.jsonl") && gpt::fs::file_size(f.folder / "m.jsonl") > 2000;
  }));
  process.kill(SIGINT);
  const Result result = process.wait();

  CHECK(result.status == 0);
  CHECK_MESSAGE(contains(result.output, "--resume"), result.output);
  const long last = records_of(f.folder / "m.jsonl").back()["step"].get<long>();
  const Json state = Json::parse(gpt::InputFile(f.folder / "run/state.json").read_all());
  CHECK(state["step"] == last);
  const Result resumed = run({"train", "--checkpoint", f.name("run"), "--resume", "--threads", "1",
                              "--steps", std::to_string(last + 3)});
  CHECK_MESSAGE(resumed.status == 0, resumed.errors);
}

TEST_CASE("program: no room for a checkpoint ends with the reason and keeps the one before") {
  const Fixture f;
  const Arguments checkpoint{"--checkpoint", f.name("run")};
  REQUIRE(run(f.train({"--steps", "3"}) + checkpoint).status == 0);
  const Result full =
      Process({"train", "--resume", "--steps", "6", "--checkpoint", f.name("run")}, 5000).wait();

  CHECK(full.status == 1);
  CHECK_MESSAGE(contains(full.errors, "model.safetensors"), full.errors);
  CHECK_MESSAGE(contains(full.errors, "File too large"), full.errors);
  CHECK(gpt::fs::read_symlink(f.folder / "run/latest") == "step-00000003");
  CHECK(run({"eval", "--checkpoint", f.name("run")}).status == 0);
}

TEST_CASE("program: an existing run is neither replaced nor continued by accident") {
  const Fixture f;
  const Arguments train = f.train({"--steps", "2", "--checkpoint", f.name("run")});
  REQUIRE(run(train).status == 0);
  check_fails(train, 1, "--overwrite");
  check_fails({"train", "--resume", "--checkpoint", f.name("run"), "--width", "32"}, 1,
              "--width (16)");
  check_fails({"train", "--resume", "--checkpoint", f.name("none")}, 1, "no such folder");
  CHECK(run(train + Arguments{"--overwrite"}).status == 0);
  gpt::test::write_text(f.text, gpt::test::sample_text(3100));
  check_fails({"train", "--resume", "--steps", "3", "--checkpoint", f.name("run")}, 1,
              "not the text");
}

TEST_CASE("program: damaged, foreign and unfitting checkpoints are refused by name") {
  const Fixture f;
  REQUIRE(run(f.train({"--steps", "2", "--checkpoint", f.name("run")})).status == 0);
  REQUIRE(run(f.train({"--steps", "2", "--checkpoint", f.name("other"), "--width", "32"})).status ==
          0);
  const path model = f.folder / "run/step-00000002/model.safetensors";
  const Arguments eval{"eval", "--checkpoint", f.name("run")};

  gpt::fs::copy_file(f.folder / "other/model.safetensors", model,
                     gpt::fs::copy_options::overwrite_existing);
  check_fails(eval, 1, "tensor 'wte.weight' has shape");
  gpt::fs::resize_file(model, gpt::fs::file_size(model) - 10);
  check_fails(eval, 1, "was cut off");
  gpt::test::write_text(model, "This is not a model, but it is long enough to have a header.");
  check_fails(eval, 1, "no safetensors file");
  gpt::test::write_text(f.folder / "run/step-00000002/state.json", "{\"format\": \"other\"}");
  check_fails(eval, 1, "state.json");
  check_fails({"sample", "--checkpoint", f.folder.path().string()}, 1, "holds no checkpoint");
}

TEST_CASE("program: eval repeats the loss of training, and sample the text of its seed") {
  const Fixture f;
  const std::string folder = f.name("run");
  REQUIRE(run(f.train({"--steps", "5", "--checkpoint", folder, "--metrics", f.name("m.jsonl"),
                       "--dtype", "double"}))
              .status == 0);
  char loss[32];
  std::snprintf(loss, sizeof loss, "%.6f",
                records_of(f.folder / "m.jsonl").back()["val_loss"].get<double>());
  const Result eval = run({"eval", "--checkpoint", folder, "--threads", "1"});
  CHECK_MESSAGE(contains(eval.output, loss), eval.output);

  const auto sample = [&](const char* seed) {
    return run({"sample", "--checkpoint", folder, "--prompt", "The", "--tokens", "40", "--seed",
                seed, "--threads", "1"});
  };
  CHECK(sample("1").output == sample("1").output);
  CHECK(sample("1").output != sample("2").output);
  CHECK(sample("1").output.size() == 44);
  check_fails({"sample", "--checkpoint", folder, "--prompt", "{"}, 1, "character '{'");
}

TEST_CASE("program: the gradient check passes, and fails beyond its tolerance") {
  const Result result = run({"check-gradients", "--entries", "4"});
  CHECK_MESSAGE(result.status == 0, result.output);
  CHECK(contains(result.output, "h.1.mlp.c_proj.weight"));
  CHECK(run({"check-gradients", "--entries", "4", "--tolerance", "0"}).status == 1);
}
