// SPDX-License-Identifier: MIT
// Checkpoints are the same files on both backends.
#include "app/model_files.hpp"
#include "cuda_support.hpp"
#include "temporary_folder.hpp"

#include <doctest/doctest.h>

using namespace gpt;
using namespace gpt::test;

namespace {

/// Writes the files of a checkpoint after as many steps.
template <class Backend>
TrainingState save(const fs::path& folder, const GptConfig& config, Training<Backend>& run,
                   int steps) {
  TrainingState state;
  state.options.model = config;
  state.shapes = run.model.shapes();
  state.step = steps;
  save_model(folder, run.model, state);
  save_optimizer(folder, run.trainer);
  return state;
}

template <class From, class To>
void check_continuation(const std::string& method) {
  const TemporaryFolder folder;
  const GptConfig config = busy_config(method);
  Training<From> run(config);
  run.losses(7);
  const TrainingState state = save(folder.path(), config, run, 7);

  Training<To> resumed(config);
  resumed.losses(1); // whatever it starts from
  load_model(folder.path(), resumed.model, state);
  load_optimizer(folder.path(), resumed.trainer, state);
  CHECK(resumed.trainer.step_count() == 7);
  for (int i = 0; i < 10; ++i) {
    CHECK(resumed.step().loss == doctest::Approx(run.step().loss).epsilon(1e-4));
  }
}

} // namespace

TEST_CASE("cuda: a checkpoint goes on on the other backend") {
  for (const char* method : {"full", "inrank", "inrank-efficient", "relora", "galore"}) {
    CAPTURE(std::string(method));
    check_continuation<Cuda, accrete::Cpu>(method);
    check_continuation<accrete::Cpu, Cuda>(method);
    check_continuation<Cuda, Cuda>(method);
  }
}

TEST_CASE("cuda: a checkpoint that goes through the device is bit for bit what it was") {
  const TemporaryFolder folder;
  const TemporaryFolder copy;
  const GptConfig config = busy_config("inrank");
  Training<accrete::Cpu> run(config);
  run.losses(5);
  const TrainingState state = save(folder.path(), config, run, 5);

  Training<Cuda> device(config);
  load_model(folder.path(), device.model, state);
  load_optimizer(folder.path(), device.trainer, state);
  save_model(copy.path(), device.model, state);
  save_optimizer(copy.path(), device.trainer);
  for (const char* file : {model_file, optimizer_file}) {
    CHECK(InputFile(folder.path() / file).read_all() == InputFile(copy.path() / file).read_all());
  }
}
