// SPDX-License-Identifier: MIT
#pragma once

#include "app/errors.hpp"
#include "app/numbers.hpp"
#include "model/config.hpp"
#include "model/optimizer_config.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gpt {

enum class DataType : unsigned char { float32, float64 };
enum class Backend : unsigned char { cpu, cuda };
enum class Math : unsigned char { float32, tf32, bfloat16 };

/// Everything that decides a training run.
struct RunOptions {
  std::string data;
  std::string preset = "shakespeare-cpu";
  GptConfig model;
  OptimizerConfig optimizer;
  accrete::AdamWOptions adamw = nano_gpt_adamw();
  Index batch = 12;
  long steps = 2000;
  std::uint64_t seed = 1337;
  DataType dtype = DataType::float32;
  Backend backend = Backend::cpu;
  Math math = Math::float32;
  int threads = 0;
  long eval_interval = 250;
  long eval_iters = 20;
  bool overfit_one_batch = false;
  std::string metrics;
  long log_interval = 10;
  std::string checkpoint;
  long checkpoint_interval = 250;
  bool resume = false;
  bool overwrite = false;
};

/// The words of an option's values, in the order of the enumerators.
template <class Enum>
inline constexpr std::array<std::string_view, 0> enum_words{};
template <>
inline constexpr std::array<std::string_view, 4> enum_words<LayerChoice>{"published", "mlp",
                                                                         "attention", "all"};
template <>
inline constexpr std::array<std::string_view, 2> enum_words<DataType>{"float", "double"};
template <>
inline constexpr std::array<std::string_view, 2> enum_words<Backend>{"cpu", "cuda"};
template <>
inline constexpr std::array<std::string_view, 3> enum_words<Math>{"float32", "tf32", "bfloat16"};

template <class Enum>
[[nodiscard]] constexpr std::string_view word_of(Enum value) {
  return enum_words<Enum>[static_cast<std::size_t>(value)];
}

/// @throws accrete::ArgumentError for a word that is none of the enumeration's
template <class Enum>
[[nodiscard]] Enum enum_of(std::string_view word) {
  const auto& words = enum_words<Enum>;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == word) {
      return static_cast<Enum>(i);
    }
  }
  throw accrete::ArgumentError("'" + std::string(word) + "' is not one of the known values");
}

inline constexpr std::array<std::string_view, 2> preset_names{"shakespeare-cpu", "shakespeare"};

/// nanoGPT's two configurations for character-level Shakespeare, without dropout.
/// @throws accrete::ArgumentError for an unknown name
[[nodiscard]] inline RunOptions preset(const std::string& name) {
  RunOptions options;
  options.preset = name;
  options.optimizer.schedule.decay_steps = 0;
  if (name == "shakespeare-cpu") {
    return options;
  }
  if (name != "shakespeare") {
    throw accrete::ArgumentError("--preset " + name +
                                 ": there is no such preset; use shakespeare-cpu or shakespeare");
  }
  options.model.layers = 6;
  options.model.heads = 6;
  options.model.width = 384;
  options.model.context = 256;
  options.batch = 64;
  options.steps = 5000;
  options.eval_iters = 20; // nanoGPT takes 200, to cover what the whole validation part covers here
  return options;
}

enum class OptionGroup : unsigned char { run, model, method, optimizer, evaluation, output };

inline constexpr std::int64_t most_steps = 1'000'000'000'000;

/// One option: its name on the command line, without the dashes also its key in files.
struct OptionInfo {
  const char* name;
  OptionGroup group;
  const char* help;
  bool fixed_on_resume; ///< Another value than the checkpoint's would not continue the same run.
  bool stored;          ///< Written into checkpoints.

  [[nodiscard]] std::string key() const { return std::string(name).substr(2); }
};

/// The values of a numeric option, on the command line and in files; those not listed must not be
/// negative.
template <class Number>
[[nodiscard]] Range<Number> range_of(std::string_view name) {
  static const std::map<std::string_view, std::pair<std::int64_t, std::int64_t>> ranges{
      {"--n-layer", {1, 1000}},       {"--n-head", {1, 1000}},
      {"--width", {1, 1 << 20}},      {"--context", {1, 1 << 20}},
      {"--vocabulary", {1, 1 << 20}}, {"--batch", {1, 1 << 20}},
      {"--rows", {2, 1 << 20}},       {"--cols", {2, 1 << 20}},
      {"--steps", {1, most_steps}},   {"--log-interval", {1, most_steps}},
      {"--threads", {0, 4096}},       {"--beta1", {0, 1}},
      {"--label-smoothing", {0, 1}},  {"--beta2", {0, 1}},
      {"--top-k", {0, 256}},
  };
  const auto found = ranges.find(name);
  if (found == ranges.end()) {
    return {};
  }
  return {static_cast<Number>(found->second.first), static_cast<Number>(found->second.second)};
}

/// Prefix of the options of the method itself, on the command line and in files.
inline constexpr std::string_view method_prefix = "method.";

namespace detail {

template <class Options, class Visitor>
void visit_run_options(Options& o, const Visitor& visit) {
  constexpr auto g = OptionGroup::run;
  visit(OptionInfo{"--data", g, "text file to train on", false, true}, o.data);
  visit(OptionInfo{"--preset", g, "values that the options below start from", false, true},
        o.preset);
  visit(OptionInfo{"--steps", g, "optimizer steps in all", false, true}, o.steps);
  visit(OptionInfo{"--batch", g, "sequences in a batch", true, true}, o.batch);
  visit(OptionInfo{"--seed", g, "seed of initial weights and batches", true, true}, o.seed);
  visit(OptionInfo{"--dtype", g, "scalar type", true, true}, o.dtype);
  visit(OptionInfo{"--threads", g, "threads; 0: one a core", false, false}, o.threads);
  visit(OptionInfo{"--backend", g, "where to compute", false, false}, o.backend);
  visit(OptionInfo{"--math", g, "cuda: precision of the operands of products", false, false},
        o.math);
  visit(OptionInfo{"--overfit-one-batch", g, "train on the first batch only, to test a model", true,
                   true},
        o.overfit_one_batch);
}

template <class Options, class Visitor>
void visit_model_options(Options& o, const Visitor& visit) {
  auto g = OptionGroup::model;
  auto& m = o.model;
  visit(OptionInfo{"--n-layer", g, "transformer blocks", true, true}, m.layers);
  visit(OptionInfo{"--n-head", g, "attention heads a block", true, true}, m.heads);
  visit(OptionInfo{"--width", g, "embedding width; a multiple of --n-head", true, true}, m.width);
  visit(OptionInfo{"--context", g, "characters that the model sees", true, true}, m.context);
  visit(OptionInfo{"--bias", g, "biases in linear layers and layer norms", true, true}, m.bias);
  g = OptionGroup::method;
  visit(OptionInfo{"--method", g, "how linear layers are trained; see: gpt methods", true, true},
        m.method);
  visit(OptionInfo{"--layers", g, "linear layers that the method has; the others are dense", true,
                   true},
        m.method_layers);
}

template <class Options, class Visitor>
void visit_optimizer_options(Options& o, const Visitor& visit) {
  constexpr auto g = OptionGroup::optimizer;
  auto& p = o.optimizer.schedule;
  visit(OptionInfo{"--learning-rate", g, "learning rate after the warm-up", false, true}, p.peak);
  visit(OptionInfo{"--min-learning-rate", g, "learning rate at the end", false, true}, p.floor);
  visit(OptionInfo{"--warmup", g, "steps of linear warm-up", false, true}, p.warmup);
  visit(OptionInfo{"--decay-steps", g, "step where the cosine decay ends; 0: --steps", false, true},
        p.decay_steps);
  visit(OptionInfo{"--restart-warmup", g, "steps of linear warm-up after a method's restart", false,
                   true},
        p.restart_warmup);
  visit(OptionInfo{"--beta1", g, "AdamW: decay of the first moment", false, true}, o.adamw.beta1);
  visit(OptionInfo{"--beta2", g, "AdamW: decay of the second moment", false, true}, o.adamw.beta2);
  visit(OptionInfo{"--epsilon", g, "AdamW: added to the root of the second moment", false, true},
        o.adamw.epsilon);
  visit(OptionInfo{"--weight-decay", g, "AdamW: decay of matrices", false, true},
        o.adamw.weight_decay);
  visit(OptionInfo{"--label-smoothing", g,
                   "share of the targets' probability that lies on all characters alike (LORT)",
                   false, true},
        o.model.label_smoothing);
  visit(OptionInfo{"--clip", g, "largest norm of the gradient; 0: no clipping", false, true},
        o.optimizer.clip);
}

template <class Options, class Visitor>
void visit_output_options(Options& o, const Visitor& visit) {
  auto g = OptionGroup::evaluation;
  visit(OptionInfo{"--eval-interval", g, "steps between evaluations; 0: at the end only", false,
                   true},
        o.eval_interval);
  visit(OptionInfo{"--eval-iters", g, "random batches of each part in nanoGPT's estimate", false,
                   true},
        o.eval_iters);
  g = OptionGroup::output;
  visit(OptionInfo{"--metrics", g, "write one JSON record a step and an evaluation here", false,
                   true},
        o.metrics);
  visit(OptionInfo{"--log-interval", g, "steps between lines when the output is no terminal", false,
                   true},
        o.log_interval);
  visit(OptionInfo{"--checkpoint", g, "folder for checkpoints", false, false}, o.checkpoint);
  visit(OptionInfo{"--checkpoint-interval", g, "steps between checkpoints; 0: at the end only",
                   false, true},
        o.checkpoint_interval);
  visit(OptionInfo{"--resume", g, "continue from the checkpoint, with its options", false, false},
        o.resume);
  visit(OptionInfo{"--overwrite", g, "replace checkpoints and metrics of an earlier run", false,
                   false},
        o.overwrite);
}

} // namespace detail

/// Calls visit(info, value) for every option in the order of the help text.
template <class Options, class Visitor>
void visit_options(Options& options, const Visitor& visit) {
  detail::visit_run_options(options, visit);
  detail::visit_model_options(options, visit);
  detail::visit_optimizer_options(options, visit);
  detail::visit_output_options(options, visit);
}

} // namespace gpt
