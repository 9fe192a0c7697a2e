// SPDX-License-Identifier: MIT
#include "app/commands.hpp"
#include "app/evaluation.hpp"
#include "app/model_files.hpp"
#include "app/sampling.hpp"
#include "app/terminal.hpp"
#include "app/threads.hpp"
#include "model/gradient_check.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

namespace gpt {
namespace {

/// A trained model and the vocabulary it speaks.
template <class Scalar>
struct TrainedModel {
  explicit TrainedModel(const fs::path& folder, const TrainingState& saved)
      : state(saved), vocabulary(state.vocabulary), model(state.options.model, state.options.seed) {
    load_model(folder, model, state);
  }

  TrainingState state;
  Vocabulary vocabulary;
  Gpt<Scalar> model;
};

/// Calls function(TrainedModel) with the scalar type that the checkpoint was written with.
template <class Function>
int with_model(const std::string& checkpoint, const Function& function) {
  const fs::path folder = CheckpointStore(checkpoint).require_latest();
  const TrainingState state = load_state(folder);
  if (state.options.dtype == DataType::float32) {
    TrainedModel<float> trained(folder, state);
    return function(trained);
  }
  TrainedModel<double> trained(folder, state);
  return function(trained);
}

} // namespace

int evaluate(const EvalOptions& options) {
  set_threads(options.threads);
  return with_model(options.checkpoint, [&](auto& trained) {
    const RunOptions& run = trained.state.options;
    const std::string path = options.data.empty() ? run.data : options.data;
    const TextData text = TextData::load(path, run.model.context, trained.vocabulary);
    const Index batch = options.batch > 0 ? options.batch : run.batch;
    const auto never = [] { return false; };
    const double loss =
        *whole_loss(trained.model, text.validation(), run.model.context, batch, never);
    if (!is_finite(loss)) {
      throw accrete::NumericError("eval: the loss is not finite; the training diverged");
    }
    std::printf("step             %ld\n", trained.state.step);
    std::printf("validation part  %s characters of %s\n",
                grouped(static_cast<double>(text.validation().size())).c_str(), path.c_str());
    std::printf("loss             %.6f nats a character\n", loss);
    std::printf("                 %.6f bits a character, perplexity %.4f\n", loss / std::log(2.0),
                std::exp(loss));
    return 0;
  });
}

int sample(const SampleOptions& options) {
  set_threads(options.threads);
  return with_model(options.checkpoint, [&](auto& trained) {
    Sampler sampler(trained.model, options.temperature, options.top_k, options.seed);
    std::fwrite(options.prompt.data(), 1, options.prompt.size(), stdout);
    sampler.start(trained.vocabulary.encode(options.prompt));
    for (long i = 0; i < options.tokens; ++i) {
      std::putchar(trained.vocabulary.decode(sampler.next()));
      std::fflush(stdout);
    }
    std::putchar('\n');
    return 0;
  });
}

int check_gradients(const CheckOptions& options) {
  Gpt<double> model(options.model, options.seed);
  RandomStream random(options.seed, 0);
  // Factors and biases that start at zero would leave other gradients zero and unchecked.
  model.for_each_parameter([&](const Parameter<double>& parameter) {
    for (Index i = 0; i < parameter.value.size(); ++i) {
      parameter.value(i % parameter.value.rows, i / parameter.value.rows) +=
          0.1 * (random.uniform() - 0.5);
    }
  });
  Batch batch;
  batch.resize(options.batch, options.model.context);
  const auto vocabulary = static_cast<std::uint64_t>(options.model.vocabulary);
  for (int& token : batch.tokens) {
    token = static_cast<int>(random.below(vocabulary));
  }
  for (int& token : batch.targets) {
    token = static_cast<int>(random.below(vocabulary));
  }

  GradientCheckOptions check;
  check.entries = options.entries;
  check.seed = options.seed;
  const auto errors =
      check_gradients(model, batch.tokens, batch.targets, batch.count, batch.length, check);

  double worst = 0;
  bool finite = true;
  std::printf("%-28s %8s  %s\n", "tensor", "entries", "relative error");
  for (const GradientError& error : errors) {
    finite = finite && is_finite(error.relative);
    worst = std::max(worst, error.relative);
    std::printf("%-28s %8ld  %.2e\n", error.name.c_str(), static_cast<long>(error.entries),
                error.relative);
  }
  const bool passed = finite && worst <= options.tolerance;
  std::printf("%s: largest relative error %.2e, tolerance %.2e\n", passed ? "passed" : "FAILED",
              worst, options.tolerance);
  return passed ? 0 : 1;
}

} // namespace gpt
