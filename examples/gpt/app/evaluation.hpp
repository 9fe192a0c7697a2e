// SPDX-License-Identifier: MIT
#pragma once

#include "app/text_data.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace gpt {

/// Mean cross-entropy over a whole text, nats a character, deterministic. None when `stop()` says
/// so, which is asked before each batch.
///
/// The text is cut into consecutive windows of `context` tokens, the last one shorter, so that
/// every token but the first is predicted exactly once.
template <class Model, class Stop>
std::optional<double> whole_loss(Model& model, Tokens text, std::int64_t context,
                                 std::int64_t batch_size, const Stop& stop) {
  const auto predicted = static_cast<std::int64_t>(text.size()) - 1;
  const std::int64_t windows = predicted / context;
  Batch batch;
  double sum = 0;
  const auto add = [&](std::int64_t first, std::int64_t count, std::int64_t length) {
    batch.resize(count, length);
    for (std::int64_t i = 0; i < count; ++i) {
      batch.set_window(i, text, static_cast<std::size_t>(first + i * length));
    }
    sum += model.forward(batch.tokens, batch.targets, count, length) *
           static_cast<double>(count * length);
  };
  for (std::int64_t w = 0; w < windows; w += batch_size) {
    if (stop()) {
      return std::nullopt;
    }
    add(w * context, std::min(batch_size, windows - w), context);
  }
  if (const std::int64_t rest = predicted % context; rest > 0) {
    add(windows * context, 1, rest);
  }
  return sum / static_cast<double>(predicted);
}

/// nanoGPT's estimate: the mean loss of `batches` random batches. The same batches each time. None
/// when `stop()` says so.
template <class Model, class Stop>
std::optional<double> estimated_loss(Model& model, Tokens text, std::int64_t context,
                                     std::int64_t batch_size, long batches, RandomStream random,
                                     const Stop& stop) {
  Batch batch;
  batch.resize(batch_size, context);
  double sum = 0;
  for (long i = 0; i < batches; ++i) {
    if (stop()) {
      return std::nullopt;
    }
    draw_batch(batch, text, random);
    sum += model.forward(batch.tokens, batch.targets, batch.count, batch.length);
  }
  return sum / static_cast<double>(batches);
}

} // namespace gpt
