// SPDX-License-Identifier: MIT
#include "app/commands.hpp"
#include "app/training_run.hpp"

namespace gpt {

int train(const RunOptions& options) {
  return options.dtype == DataType::float32 ? TrainingRun<float>(options).run()
                                            : TrainingRun<double>(options).run();
}

} // namespace gpt
