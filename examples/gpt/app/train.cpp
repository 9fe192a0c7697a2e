// SPDX-License-Identifier: MIT
#include "app/commands.hpp"
#include "app/training_run.hpp"

#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

namespace gpt {
namespace {

bool same_file(const fs::path& a, const fs::path& b) {
  std::error_code ignored;
  return a == b || fs::equivalent(a, b, ignored);
}

/// Metrics go neither over another file of this run nor over what another run wrote.
void check_metrics(const RunOptions& options, const TrainingState* saved) {
  const fs::path path = options.metrics;
  std::error_code ignored;
  const auto fail = [&](const std::string& what) {
    throw FileError("train: --metrics '" + path.string() + "' " + what);
  };
  if (same_file(path, options.data)) {
    fail("is the text of --data; choose another file");
  }
  if (!options.checkpoint.empty() && CheckpointStore::is_reserved(path.filename().string()) &&
      same_file(path.has_parent_path() ? path.parent_path() : ".", options.checkpoint)) {
    fail("is a file of the checkpoints; choose another name");
  }
  const bool holds_something = fs::is_regular_file(path, ignored) && !fs::is_empty(path, ignored);
  const bool is_own = saved != nullptr && same_file(path, saved->options.metrics);
  if (holds_something && !is_own && !options.overwrite) {
    fail(std::string("exists and is not this run's; ") +
         (saved != nullptr ? "" : "add --overwrite to replace it, or ") + "choose another file");
  }
}

int train(const RunOptions& options, CheckpointStore& store, const TrainingState* saved,
          TrainOnDevice on_cuda) {
  if (options.backend == Backend::cuda) {
    return on_cuda(options, store, saved);
  }
  return options.dtype == DataType::float32 ? TrainingRun<float>(options, store, saved).run()
                                            : TrainingRun<double>(options, store, saved).run();
}

} // namespace

int train(const RunOptions& options, TrainOnDevice on_cuda) {
  // When what reads the metrics ends, the write fails with its own message.
  std::signal(SIGPIPE, SIG_IGN);
  CheckpointStore store(options.checkpoint);
  std::optional<TrainingState> saved;
  if (options.resume) {
    (void)store.require_latest(); // before claim() creates the folder
    store.claim(true);
    saved = load_state(store.require_latest());
    if (saved->step >= options.steps && saved->unevaluated_record.is_null()) {
      std::printf("this run is finished: its checkpoint is of step %ld of %ld; a larger --steps "
                  "continues it\n",
                  saved->step, options.steps);
      return 0;
    }
  }
  if (!options.metrics.empty()) {
    check_metrics(options, saved ? &*saved : nullptr);
  }
  return train(options, store, saved ? &*saved : nullptr, on_cuda);
}

} // namespace gpt
