// SPDX-License-Identifier: MIT
#pragma once

#include "app/commands.hpp"
#include "app/run_options.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gpt {

/// A method with its settings.
struct Contestant {
  std::string label; ///< as it was written: galore:rank=32
  std::string method;
  accrete::MethodSettings settings;

  /// The label as the name of a folder.
  [[nodiscard]] std::string folder() const;
};

/// What `gpt compare` is told.
struct CompareOptions {
  RunOptions run; ///< what all runs share
  std::vector<Contestant> contestants;
  std::vector<double> rates{5e-4, 1e-3, 2e-3, 4e-3};
  long sweep_steps = 0;
  std::vector<std::uint64_t> seeds{1337};
  double seconds = 0;
  std::string output;
};

/// Takes "galore:rank=32" or "all" into the list; the first entry replaces what was there.
/// @throws accrete::ArgumentError for methods, options or values that do not exist
void add_contestant(CompareOptions& options, const std::string& text, bool is_first);

/// Whether an option of `train` is one of `compare` as well: not those that each run decides.
[[nodiscard]] bool is_shared_by_comparison(const OptionInfo& info);

/// Trains every contestant with its best rate and every seed, writes comparison.md and plots.
/// Returns the exit status.
int compare(const CompareOptions& options, TrainOnDevice on_cuda);

} // namespace gpt
