// SPDX-License-Identifier: MIT
#include "cuda/train.hpp"
#include "app/training_run.hpp"
#include "model/operations/cuda.hpp"

namespace gpt {
namespace {

accrete::CudaMath cuda_math(Math math) {
  switch (math) {
  case Math::tf32:
    return accrete::CudaMath::tf32;
  case Math::bfloat16:
    return accrete::CudaMath::bf16;
  case Math::float32:
    break;
  }
  return accrete::CudaMath::strict;
}

} // namespace

int train_on_cuda(const RunOptions& options, CheckpointStore& store, const TrainingState* saved) {
  accrete::CudaOptions cuda;
  cuda.math = cuda_math(options.math);
  accrete::Context<accrete::Cuda> context{accrete::Device<accrete::Cuda>(cuda)};
  const accrete::ScopedContext<accrete::Cuda> scope(context);
  return TrainingRun<float, accrete::Cuda>(options, store, saved).run();
}

} // namespace gpt
