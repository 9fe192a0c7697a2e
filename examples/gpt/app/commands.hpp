// SPDX-License-Identifier: MIT
#pragma once

#include "app/run_options.hpp"

#include <cstdint>
#include <string>

namespace gpt {

struct EvalOptions {
  std::string checkpoint;
  std::string data;
  Index batch = 0;
  int threads = 0;
};

struct SampleOptions {
  std::string checkpoint;
  std::string prompt = "\n";
  long tokens = 500;
  double temperature = 0.8;
  int top_k = 200;
  std::uint64_t seed = 1337;
  int threads = 0;
};

struct CheckOptions {
  GptConfig model;
  Index batch = 2;
  Index entries = 64; ///< Compared in each tensor, drawn at random; 0: all.
  std::uint64_t seed = 1337;
  double tolerance = 1e-7;
};

struct MemoryOptions {
  Index rows = 512, cols = 2048;
  Index rank = 128; ///< of the methods that ask for one
};

class CheckpointStore;
struct TrainingState;

/// Trains on a device: a new run, or the one that `saved` belongs to. Returns the exit status.
using TrainOnDevice = int (*)(const RunOptions& options, CheckpointStore& store,
                              const TrainingState* saved);

/// Each runs one command, prints to standard output and returns the exit status.
/// `on_cuda` may be null where the options choose another backend.
int train(const RunOptions& options, TrainOnDevice on_cuda);
int evaluate(const EvalOptions& options);
int sample(const SampleOptions& options);
int check_gradients(const CheckOptions& options);
int print_memory(const MemoryOptions& options);

/// Parses the command line and runs the command. Errors are printed to standard error. Without
/// `train_on_cuda` the program has no CUDA backend.
int run_program(int argc, const char* const* argv, TrainOnDevice train_on_cuda = nullptr);

} // namespace gpt
