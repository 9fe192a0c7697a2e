// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <accrete/error.hpp>
#include <accrete/grow/inrank.hpp>

#include <algorithm>
#include <string>

namespace gpt {

/// What the weight of a factored linear layer is made of.
enum class WeightKind {
  full,             ///< a dense matrix, trained
  low_rank,         ///< U Vᵀ of a fixed rank
  inrank,           ///< W0 + U Vᵀ, W0 frozen, the rank grows (InRank, arXiv 2306.11250)
  inrank_efficient, ///< U Vᵀ whose rank is searched first and then fixed (the paper's fast variant)
};

/// Which linear layers are factored.
enum class LayerSet {
  mlp, ///< the two of each multilayer perceptron, as in the InRank paper
  all, ///< those of the attention as well
};

/// How the share that a rank explains is measured.
using ExplainedReading = accrete::ExplainedRatio;

struct GptConfig {
  Index layers = 4;
  Index heads = 4;
  Index width = 128;
  Index context = 64;
  Index vocabulary = 0;
  bool bias = false;
  WeightKind weights = WeightKind::full;
  LayerSet factored_layers = LayerSet::mlp;
  Index rank = 0; ///< of low_rank; 0 for a quarter of the width

  // InRank; 0 stands for the paper's setting, scaled with the width where it is a rank.
  double threshold = 0.9; ///< share of the update that the rank must explain
  ExplainedReading reading = ExplainedReading::energy;
  Index initial_rank = 0;
  Index buffer = 0;      ///< columns trained beyond the rank
  long warmup = 0;       ///< steps before the first check
  long interval = 0;     ///< steps between checks
  long search_steps = 0; ///< inrank_efficient: length of the rank search

  /// Throws accrete::ArgumentError when a field is outside its domain.
  void validate() const {
    const auto require = [](bool holds, const std::string& text) {
      if (!holds) {
        throw accrete::ArgumentError("gpt: " + text);
      }
    };
    require(layers > 0 && heads > 0 && width > 0 && context > 0 && vocabulary > 0,
            "layers, heads, width, context and vocabulary must be positive");
    require(width % heads == 0, "the width " + std::to_string(width) +
                                    " must be a multiple of the number of heads " +
                                    std::to_string(heads));
    require(rank >= 0 && rank <= width,
            "the rank " + std::to_string(rank) + " must lie in [0, width]; 0 means width / 4");
    require(threshold > 0 && threshold < 1, "the threshold of InRank must lie in (0, 1)");
    require(initial_rank >= 0 && buffer >= 0 && warmup >= 0 && interval >= 0 && search_steps >= 0,
            "ranks and steps of InRank must not be negative");
  }

  [[nodiscard]] Index fixed_rank() const { return rank > 0 ? rank : std::max<Index>(1, width / 4); }
};

} // namespace gpt
