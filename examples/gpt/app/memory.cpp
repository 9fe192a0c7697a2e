// SPDX-License-Identifier: MIT
// What a weight costs under each method: counted from its tensors, and what its destruction gives
// back to the heap.
#include "app/commands.hpp"
#include "app/terminal.hpp"
#include "model/methods.hpp"

#include <accrete/methods/memory.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <variant>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace gpt {
namespace {

using Weight = accrete::TrainedWeight<float, accrete::Cpu>;
using Matrix = accrete::Matrix<float, accrete::Cpu>;

constexpr std::int64_t steps = 20;
constexpr Index samples = 1; // what is kept of a batch does not count

/// Bytes in use of the heap, where the C library tells.
std::optional<std::size_t> heap_in_use() {
#ifdef __GLIBC__
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return std::nullopt;
#endif
}

accrete::MethodSettings settings_of(const MethodEntry& method, Index rank) {
  accrete::MethodSettings settings = accrete::detail::frequent_settings(method.options, 5);
  for (const accrete::MethodOption& option : method.options) {
    const bool asks = option.value == accrete::MethodValue(std::int64_t{0}); // APOLLO-Mini's is 1
    if (option.name == "rank" && asks) {
      settings["rank"] = std::int64_t{rank};
    }
  }
  return settings;
}

void train_a_little(Weight& weight, const MemoryOptions& options) {
  Matrix x(options.cols, samples), y(options.rows, samples), dx(options.cols, samples);
  for (std::int64_t step = 0; step < steps; ++step) {
    x.setRandom();
    accrete::zero_gradients(weight);
    weight.forward(x, y);
    weight.backward(x, y, dx);
    const accrete::StepInfo info{.step = step, .total_steps = steps, .learning_rate = 1e-3};
    weight.step(info);
    (void)weight.after_step(info);
  }
}

std::string row(const MethodEntry& method, const MemoryOptions& options) {
  accrete::WeightPlace place;
  place.rows = options.rows;
  place.cols = options.cols;
  place.layer = 1; // the first layer of some methods is dense
  place.layers = 2;
  auto weight = new_weight<float, accrete::Cpu>(method.description.name,
                                                settings_of(method, options.rank), place, {});
  train_a_little(*weight, options);
  const accrete::WeightMemory memory = accrete::memory_of(*weight);
  const auto before = heap_in_use();
  weight.reset();
  const auto after = heap_in_use();
  const auto mebibytes = [](auto scalars) {
    return text_of("%.2f", static_cast<double>(scalars) * sizeof(float) / (1024.0 * 1024.0));
  };
  return std::string("| ") + method.description.name + " | " + mebibytes(memory.parameters) +
         " | " + mebibytes(memory.gradients) + " | " + mebibytes(memory.state) + " | " +
         mebibytes(memory.total()) + " | " +
         (before ? mebibytes((*before - std::min(*before, *after)) / sizeof(float)) : "-") + " |\n";
}

} // namespace

int print_memory(const MemoryOptions& options) {
  std::printf("A %td x %td weight of floats, rank %td where a method asks for one, after %ld "
              "steps; MiB.\n\n"
              "| method | weights | gradients | state | all | held, measured |\n"
              "|---|---:|---:|---:|---:|---:|\n",
              options.rows, options.cols, options.rank, static_cast<long>(steps));
  for (const MethodEntry& method : method_entries()) {
    std::printf("%s", row(method, options).c_str());
    std::fflush(stdout);
  }
  return 0;
}

} // namespace gpt
