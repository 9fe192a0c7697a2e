// SPDX-License-Identifier: MIT
#pragma once

#include "model/config.hpp"

#include <accrete/grow/inrank.hpp>

#include <algorithm>
#include <limits>
#include <string>

namespace gpt {

[[nodiscard]] inline bool is_growing(WeightKind kind) noexcept {
  return kind == WeightKind::inrank || kind == WeightKind::inrank_efficient;
}

/// Steps after which ranks no longer change. The authors search for 130 updates; W0 + U Vᵀ grows
/// all through the training.
[[nodiscard]] inline long search_steps(const GptConfig& config) noexcept {
  if (config.weights == WeightKind::inrank) {
    return std::numeric_limits<long>::max();
  }
  return config.search_steps > 0 ? config.search_steps : 130;
}

/// The policy of a rows x cols layer: the configuration, and where it says 0 the authors' setting,
/// scaled to the layer.
///
/// They check after 200 forward passes and then every 25, eight of which make an update of their
/// search: after 25 updates and every 3. Where the rank grows all through the training, 200 and 25
/// are taken as updates.
/// @throws accrete::RankError when the layer has not room for the configured columns
[[nodiscard]] inline accrete::InRankOptions inrank_options(const GptConfig& config, Index rows,
                                                           Index cols) {
  auto options = accrete::InRankOptions::scaled_to(rows, cols);
  const bool searches = config.weights == WeightKind::inrank_efficient;
  const Index largest = std::min(rows, cols);
  // What is left to choose makes room for what is given.
  if (config.buffer > 0) {
    options.buffer = config.buffer;
    options.initial_rank = std::clamp<Index>(largest - config.buffer, 1, options.initial_rank);
  }
  if (config.initial_rank > 0) {
    options.initial_rank = config.initial_rank;
    if (config.buffer == 0) {
      options.buffer = std::clamp<Index>(largest - config.initial_rank, 0, options.buffer);
    }
  }
  if (options.buffer > largest - options.initial_rank) {
    throw accrete::RankError("gpt: InRank with rank " + std::to_string(options.initial_rank) +
                             " and a buffer of " + std::to_string(options.buffer) +
                             " needs more columns than a " + std::to_string(rows) + " x " +
                             std::to_string(cols) + " layer can have, " + std::to_string(largest) +
                             "; use a smaller --buffer or --initial-rank");
  }
  options.max_rank = std::max(options.max_rank, options.initial_rank + options.buffer);
  options.threshold = config.threshold;
  options.reading = config.reading;
  options.warmup = config.warmup > 0 ? config.warmup : (searches ? 25 : 200);
  options.interval = config.interval > 0 ? config.interval : (searches ? 3 : 25);
  return options;
}

} // namespace gpt
