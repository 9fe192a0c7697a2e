// SPDX-License-Identifier: MIT
#include "app/model_files.hpp"
#include "tests/app_support.hpp"
#include "tests/model_support.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace gpt;

namespace {

/// Gives every count of a trainer's state a value.
template <class NewCount>
class SetCounts : public accrete::StateVisitor<float> {
 public:
  explicit SetCounts(NewCount new_count) : new_count_(std::move(new_count)) {}
  void tensor(const std::string&, accrete::View<float>) override {}
  void counts(const std::string&, std::span<std::int64_t> values) override {
    for (std::int64_t& count : values) {
      count = new_count_();
    }
  }
  void number(const std::string&, double&) override {}

 private:
  NewCount new_count_;
};

template <class NewCount>
void set_counts(Trainer<float>& trainer, const NewCount& new_count) {
  SetCounts<NewCount> visitor(new_count);
  trainer.visit_state(visitor);
}

std::map<std::string, std::vector<std::int64_t>> counts_of(Trainer<float>& trainer) {
  return test::KeptState<float>(trainer).kept_counts;
}

} // namespace

TEST_CASE("model files: counts of the state come back exactly, resting columns as well") {
  const TemporaryFolder folder;
  const GptConfig config = test::tiny_config();
  Gpt<float> model(config, 1);
  Trainer<float> trainer(model, {});
  std::int64_t next = (std::int64_t{1} << 53) + 1; // neither a float nor a double
  set_counts(trainer, [&] { return next++; });
  save_optimizer(folder.path(), trainer);

  Gpt<float> other(config, 2);
  Trainer<float> restored(other, {});
  load_optimizer(folder.path(), restored, TrainingState());
  CHECK(counts_of(restored) == counts_of(trainer));
  CHECK(counts_of(restored).contains("wte.weight.frozen"));

  set_counts(trainer, [] { return std::int64_t{-1}; });
  save_optimizer(folder.path(), trainer);
  const std::string message = test::message_of<FileError>(
      [&] { load_optimizer(folder.path(), restored, TrainingState()); });
  CHECK_MESSAGE(message.find("negative counts") != std::string::npos, message);
}
