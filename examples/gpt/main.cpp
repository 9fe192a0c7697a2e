// SPDX-License-Identifier: MIT
#include "app/commands.hpp"
#ifdef GPT_WITH_CUDA
#include "cuda/train.hpp"
#endif

int main(int argc, char** argv) {
#ifdef GPT_WITH_CUDA
  return gpt::run_program(argc, argv, gpt::train_on_cuda);
#else
  return gpt::run_program(argc, argv);
#endif
}
