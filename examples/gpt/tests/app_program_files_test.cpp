// SPDX-License-Identifier: MIT
#include "tests/app_process.hpp"

#include <algorithm>
#include <map>
#include <string>

#include <sys/stat.h>
#include <sys/sysmacros.h>

using namespace gpt::test;
namespace fs = gpt::fs;

namespace {

std::string text_of(const path& file) { return gpt::InputFile(file).read_all(); }

fs::file_type kind_of(const path& file) { return fs::symlink_status(file).type(); }

/// Losses by step, with the evaluations.
std::map<long, std::string> losses_of(const path& file) {
  std::map<long, std::string> losses;
  for (const Json& record : records_of(file)) {
    if (!record.contains("final")) {
      std::string& text = losses[record["step"].get<long>()];
      CHECK_MESSAGE(text.empty(), record.dump());
      text = record["train_loss"].dump() + " " + record["val_loss"].dump();
    }
  }
  return losses;
}

Arguments resume(const Fixture& f, const Arguments& more = {}) {
  return Arguments{"train", "--resume", "--threads", "1", "--checkpoint", f.name("run")} + more;
}

} // namespace

TEST_CASE("program: metrics go through links and into devices, which stay") {
  const Fixture f;
  const path device = f.folder / "device";
  const path link = f.folder / "link.jsonl";
  fs::create_symlink("target.jsonl", link);
  const bool has_device = ::mknod(device.c_str(), S_IFCHR | 0600, ::makedev(1, 3)) == 0;
  const Arguments checkpoint{"--checkpoint", f.name("run"), "--steps", "2"};

  REQUIRE(run(f.train(checkpoint) + Arguments{"--metrics", link.string()}).status == 0);
  REQUIRE(run(resume(f, {"--steps", "4"})).status == 0);
  CHECK(kind_of(link) == fs::file_type::symlink);
  CHECK(kind_of(f.folder / "target.jsonl") == fs::file_type::regular);
  CHECK(losses_of(f.folder / "target.jsonl").size() == 5);

  if (has_device) {
    REQUIRE(
        run(f.train(checkpoint) + Arguments{"--overwrite", "--metrics", device.string()}).status ==
        0);
    REQUIRE(run(resume(f, {"--steps", "4"})).status == 0);
    CHECK(kind_of(device) == fs::file_type::character);
  } else {
    MESSAGE("skipped: this user may not make a device");
  }
}

TEST_CASE("program: a FIFO waits for its other end and says so") {
  const Fixture f;
  const path fifo = f.folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto waits = [](const Process& process) {
    return wait_for(process, [&] { return contains(process.errors(), "waiting for another"); });
  };

  Process writes(f.train({"--steps", "2", "--metrics", fifo.string()}));
  REQUIRE(waits(writes));
  const std::string records = text_of(fifo);
  CHECK(writes.wait().status == 0);
  CHECK(std::count(records.begin(), records.end(), '\n') == 4);

  Process reads({"train", "--data", fifo.string(), "--steps", "1", "--n-layer", "1", "--width", "8",
                 "--context", "8", "--threads", "1"});
  REQUIRE(waits(reads));
  write_text(fifo, sample_text(500));
  CHECK(reads.wait().status == 0);
  CHECK(kind_of(fifo) == fs::file_type::fifo);
}

TEST_CASE("program: a reader of the metrics that ends is an error with a reason") {
  const Fixture f;
  const path fifo = f.folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  Process process(f.train({"--steps", "1000000", "--metrics", fifo.string()}));
  char first = 0;
  {
    const gpt::FileDescriptor reader(::open(fifo.c_str(), O_RDONLY));
    CHECK(::read(reader.get(), &first, 1) == 1);
  }
  const Result result = process.wait();
  CHECK(result.status == 1);
  CHECK_MESSAGE(contains(result.errors, "read from it has ended"), result.errors);
}

TEST_CASE("program: metrics replace neither the text nor what another run wrote") {
  const Fixture f;
  const std::string metrics = f.name("m.jsonl");
  const std::string text = text_of(f.text);
  fs::create_symlink(f.text, f.folder / "text.jsonl");
  for (const std::string& name : {f.text.string(), f.name("text.jsonl")}) {
    check_fails(f.train({"--overwrite", "--metrics", name}), 1, "is the text of --data");
  }
  CHECK(text_of(f.text) == text);

  const Arguments train = f.train({"--steps", "2", "--metrics", metrics});
  REQUIRE(run(train).status == 0);
  const std::string before = text_of(metrics);
  check_fails(train, 1, "add --overwrite");
  REQUIRE(run(f.train({"--steps", "1", "--checkpoint", f.name("run")})).status == 0);
  check_fails(resume(f, {"--steps", "2", "--metrics", metrics}), 1, "is not this run's");
  CHECK(text_of(metrics) == before);
  CHECK(run(train + Arguments{"--overwrite", "--steps", "1"}).status == 0);
  CHECK(losses_of(metrics).size() == 2);
  check_fails(f.train({"--overwrite", "--checkpoint", f.name("run"), "--metrics",
                       f.name("run") + "/model.safetensors"}),
              1, "file of the checkpoints");
}

TEST_CASE("program: a finished run says so and changes nothing") {
  const Fixture f;
  REQUIRE(
      run(f.train({"--steps", "3", "--checkpoint", f.name("run"), "--metrics", f.name("m.jsonl")}))
          .status == 0);
  const std::string metrics = text_of(f.folder / "m.jsonl");
  const auto written = fs::last_write_time(f.folder / "run");
  for (const Arguments& more : {Arguments{}, Arguments{"--steps", "2"}}) {
    const Result again = run(resume(f, more));
    CHECK(again.status == 0);
    CHECK_MESSAGE(contains(again.output, "finished: its checkpoint is of step 3"), again.output);
  }
  CHECK(text_of(f.folder / "m.jsonl") == metrics);
  CHECK(fs::last_write_time(f.folder / "run") == written);
}

TEST_CASE("program: the text may have moved, and paths and texts need not be UTF-8") {
  const Fixture f;
  const path odd = f.folder / "\xff\xfe.txt";
  std::string bytes;
  for (int i = 0; i < 3000; ++i) {
    bytes.push_back(static_cast<char>(i * 37 % 256));
  }
  write_text(odd, bytes);
  const Result first = run(f.train({"--data", odd.string(), "--steps", "2", "--checkpoint",
                                    f.name("run"), "--metrics", f.name("\xfe.jsonl")}));
  REQUIRE_MESSAGE(first.status == 0, first.errors);
  REQUIRE(run(resume(f, {"--steps", "3"})).status == 0);
  CHECK(losses_of(f.folder / "\xfe.jsonl").size() == 4);
  CHECK(run({"sample", "--checkpoint", f.name("run"), "--prompt", "\xff"}).status == 0);

  fs::rename(odd, f.folder / "moved");
  check_fails(resume(f, {"--steps", "4"}), 1, "No such file");
  check_fails(resume(f, {"--steps", "4", "--data", f.text.string()}), 1,
              "name that text with --data");
  const Result moved = run(resume(f, {"--steps", "4", "--data", f.name("moved")}));
  CHECK_MESSAGE(moved.status == 0, moved.errors);
  CHECK(run({"eval", "--checkpoint", f.name("run")}).status == 0);
}

TEST_CASE("program: only what a run wrote is removed from a checkpoint folder") {
  const Fixture f;
  const path root = f.folder / "run";
  REQUIRE(run(f.train({"--steps", "1", "--checkpoint", root.string()})).status == 0);
  for (const char* copy : {"step-best", "step-00000001-1", "step-00000000"}) {
    fs::copy(root / "step-00000001", root / copy);
  }
  write_text(root / "step-00000001/notes.txt", "mine");
  for (const char* steps : {"2", "3", "4"}) {
    REQUIRE(run(resume(f, {"--steps", steps})).status == 0);
  }
  for (const char* kept : {"step-best", "step-00000001-1", "step-00000000", "step-00000003"}) {
    CHECK_MESSAGE(fs::exists(root / kept / "state.json"), kept);
  }
  CHECK(text_of(root / "step-00000001/notes.txt") == "mine");
  CHECK_FALSE(fs::exists(root / "step-00000001/state.json"));
  CHECK_FALSE(fs::exists(root / "step-00000002"));

  // A file of another program, and a single checkpoint as the folder.
  fs::create_directories(f.folder / "other");
  write_text(f.folder / "other/model.safetensors", "mine");
  check_fails(f.train({"--checkpoint", f.name("other")}), 1, "would be replaced");
  CHECK(text_of(f.folder / "other/model.safetensors") == "mine");
  check_fails(
      {"train", "--resume", "--steps", "9", "--checkpoint", (root / "step-00000003").string()}, 1,
      "the one above a single checkpoint");
}

TEST_CASE("program: two runs do not share a checkpoint folder") {
  const Fixture f;
  const Arguments endless = f.train({"--steps", "1000000", "--checkpoint", f.name("run")});
  Process first(endless + Arguments{"--metrics", f.name("m.jsonl"), "--checkpoint-interval", "1",
                                    "--eval-interval", "0"});
  REQUIRE(wait_for(first, [&] { return fs::exists(f.folder / "run/latest"); }));
  check_fails(endless + Arguments{"--overwrite"}, 1, "another run writes its checkpoints");
  check_fails(resume(f), 1, "another run writes its checkpoints");
  first.kill(SIGKILL);
  CHECK(first.wait().status == -SIGKILL);
  const long step = Json::parse(text_of(f.folder / "run/latest/state.json"))["step"].get<long>();
  CHECK(run(resume(f, {"--steps", std::to_string(step + 1)})).status == 0);
}

TEST_CASE("program: an interrupt cuts an evaluation short, and the resumed run makes up for it") {
  const Fixture f;
  // The evaluation takes many times as long as the steps.
  write_text(f.text, sample_text(2'000'000));
  const Arguments train = f.train({"--steps", "3", "--eval-iters", "0"});
  REQUIRE(run(train + Arguments{"--metrics", f.name("whole.jsonl")}).status == 0);

  const path metrics = f.folder / "m.jsonl";
  bool cut = false;
  for (int attempt = 0; attempt < 20 && !cut; ++attempt) {
    Process process(train + Arguments{"--checkpoint", f.name("run"), "--metrics", metrics.string(),
                                      "--overwrite"});
    REQUIRE(wait_for(process, [&] {
      return contains(fs::exists(metrics) ? text_of(metrics) : "", "\"step\":2,");
    }));
    process.kill(SIGTERM);
    const Result result = process.wait();
    REQUIRE_MESSAGE(result.status == 0, result.errors);
    const Json state = Json::parse(text_of(f.folder / "run/state.json"));
    cut = state["unevaluated_record"].is_object();
    if (cut) {
      CHECK(state["step"] == 3);
      CHECK_FALSE(contains(result.output, "done:"));
    }
  }
  REQUIRE(cut);
  const Result resumed = run(resume(f));
  CHECK_MESSAGE(contains(resumed.output, "done:"), resumed.errors);
  CHECK(losses_of(metrics) == losses_of(f.folder / "whole.jsonl"));
  CHECK(records_of(metrics).back()["final"] == true);
  CHECK(contains(run(resume(f)).output, "is finished"));

  Process start(train + Arguments{"--checkpoint", f.name("none")});
  REQUIRE(wait_for(start, [&] { return contains(start.output(), "compute"); }));
  start.kill(SIGTERM);
  const Result stopped = start.wait();
  CHECK((stopped.status == -SIGTERM || contains(stopped.output, "nothing was saved")));
}
