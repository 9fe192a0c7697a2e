// SPDX-License-Identifier: MIT
#pragma once

#include "app/commands.hpp"

namespace gpt {

/// A TrainOnDevice for NVIDIA's GPUs. @throws accrete::CudaError where there is none
int train_on_cuda(const RunOptions& options, CheckpointStore& store, const TrainingState* saved);

} // namespace gpt
