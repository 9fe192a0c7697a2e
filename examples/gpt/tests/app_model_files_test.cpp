// SPDX-License-Identifier: MIT
#include "app/model_files.hpp"
#include "tests/app_support.hpp"
#include "tests/model_support.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

using namespace gpt;

namespace {

using Counts = std::map<std::string, std::vector<std::int64_t>>;

Counts counts_of(Trainer<float>& trainer) {
  Counts counts;
  trainer.for_each_state([&](const std::string& name, const auto& buffer) {
    if constexpr (is_count<decltype(buffer)>) {
      counts[name] = {buffer.begin(), buffer.end()};
    }
  });
  return counts;
}

} // namespace

TEST_CASE("model files: the optimizer's counts come back exactly, resting columns as well") {
  const TemporaryFolder folder;
  const GptConfig config = test::tiny_config();
  Gpt<float> model(config, 1);
  Trainer<float> trainer(model, {});
  std::int64_t next = (std::int64_t{1} << 53) + 1; // neither a float nor a double
  trainer.for_each_state([&](const std::string&, const auto& buffer) {
    if constexpr (is_count<decltype(buffer)>) {
      for (std::int64_t& count : buffer) {
        count = next++;
      }
    }
  });
  save_optimizer(folder.path(), trainer);

  Gpt<float> other(config, 2);
  Trainer<float> restored(other, {});
  load_optimizer(folder.path(), restored, TrainingState());
  CHECK(counts_of(restored) == counts_of(trainer));
  CHECK(counts_of(restored).contains("wte.weight.frozen"));

  trainer.for_each_state([](const std::string&, const auto& buffer) {
    if constexpr (is_count<decltype(buffer)>) {
      buffer.back() = -1;
    }
  });
  save_optimizer(folder.path(), trainer);
  const std::string message = test::message_of<FileError>(
      [&] { load_optimizer(folder.path(), restored, TrainingState()); });
  CHECK_MESSAGE(message.find("negative counts") != std::string::npos, message);
}
