// SPDX-License-Identifier: MIT
#include "app/checkpoint_store.hpp"
#include "file_size_limit.hpp"
#include "tests/app_support.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

using gpt::CheckpointStore;
using gpt::FileError;
using gpt::fs::path;

namespace {

void save(CheckpointStore& store, long step, const std::string& text) {
  store.save(step, [&](const path& folder) {
    for (const char* name : {gpt::model_file, gpt::optimizer_file, gpt::state_file}) {
      gpt::test::write_text(folder / name, text);
    }
  });
}

std::string state_of(const CheckpointStore& store) {
  return gpt::InputFile(store.require_latest() / gpt::state_file).read_all();
}

std::size_t folders_in(const path& root) {
  std::size_t count = 0;
  for (const auto& entry : gpt::fs::directory_iterator(root)) {
    count += entry.is_directory() && !entry.is_symlink() ? 1 : 0;
  }
  return count;
}

} // namespace

TEST_CASE("checkpoints: the newest is the latest, two are kept, root names lead to it") {
  const TemporaryFolder folder;
  CheckpointStore store(folder / "run");
  CHECK_FALSE(store.latest().has_value());
  for (long step = 1; step <= 4; ++step) {
    save(store, step, std::to_string(step));
  }

  CHECK(state_of(store) == "4");
  CHECK(folders_in(folder / "run") == 2);
  CHECK(gpt::InputFile(folder / "run/model.safetensors").read_all() == "4");
  CHECK(CheckpointStore(folder / "run/step-00000003").latest().has_value());
}

TEST_CASE("checkpoints: the same step again does not touch the current one until it is replaced") {
  const TemporaryFolder folder;
  CheckpointStore store(folder.path());
  save(store, 5, "first");
  save(store, 5, "second");
  CHECK(state_of(store) == "second");
}

TEST_CASE("checkpoints: a failure while writing leaves the previous one and no rest") {
  const TemporaryFolder folder;
  CheckpointStore store(folder.path());
  save(store, 1, "good");
  CHECK_THROWS_AS(store.save(2,
                             [](const path& part) {
                               gpt::test::write_text(part / gpt::model_file, "half");
                               throw std::runtime_error("interrupted");
                             }),
                  std::runtime_error);
  CHECK(state_of(store) == "good");
  CHECK(folders_in(folder.path()) == 1);
}

TEST_CASE("checkpoints: no more room is a FileError that names file and remedy") {
  const TemporaryFolder folder;
  CheckpointStore store(folder.path());
  save(store, 1, "good");
  std::string message;
  {
    const FileSizeLimit limit(1000);
    message = gpt::test::message_of<FileError>([&] { save(store, 2, std::string(5000, 'x')); });
  }
  CHECK_MESSAGE(message.find("model.safetensors") != std::string::npos, message);
  CHECK_MESSAGE(message.find("File too large; raise the limit") != std::string::npos, message);
  CHECK(state_of(store) == "good");
  CHECK(folders_in(folder.path()) == 1);
}

TEST_CASE("checkpoints: a folder is claimed once, and not over what another program wrote") {
  const TemporaryFolder folder;
  const auto message = [&](const char* root, bool may_hold) {
    return gpt::test::message_of<FileError>(
        [&] { CheckpointStore(folder / root).claim(may_hold); });
  };
  {
    CheckpointStore store(folder / "run");
    store.claim(false);
    CHECK(message("run", true).find("another run") != std::string::npos);
    save(store, 1, "good");
  }
  CHECK(message("run", true).empty());
  CHECK(message("run", false).find("--overwrite") != std::string::npos);
  gpt::fs::create_directories(folder / "other/latest");
  CHECK(message("other", true).find("latest' is no link") != std::string::npos);
}

TEST_CASE("checkpoints: what a killed run left unfinished goes with the next one") {
  const TemporaryFolder folder;
  CheckpointStore store(folder.path());
  gpt::fs::create_directories(folder / ".unfinished");
  gpt::test::write_text(folder / ".unfinished/model.safetensors", "half");
  save(store, 1, "good");
  CHECK_FALSE(gpt::fs::exists(folder / ".unfinished"));
  CHECK(state_of(store) == "good");
}

TEST_CASE("files: a full device is a FileError that says so") {
  if (!gpt::fs::exists("/dev/full")) {
    MESSAGE("skipped: no full device here");
    return;
  }
  const std::string message = gpt::test::message_of<FileError>([] {
    gpt::OutputFile file("/dev/full");
    file.write("text");
  });
  CHECK_MESSAGE(message.find("No space left on device; free some space") != std::string::npos,
                message);
}

TEST_CASE("checkpoints: a folder without one says what to name") {
  const TemporaryFolder folder;
  const auto message = [](const path& root) {
    return gpt::test::message_of<FileError>([&] { (void)CheckpointStore(root).require_latest(); });
  };
  CHECK(message(folder.path()).find("holds no checkpoint") != std::string::npos);
  CHECK(message(folder / "none").find("no such folder") != std::string::npos);
}
