// SPDX-License-Identifier: MIT
#pragma once

#include "app/evaluation.hpp"
#include "app/host_transfer.hpp"
#include "app/metrics.hpp"
#include "app/model_files.hpp"
#include "app/peak.hpp"
#include "app/settings_table.hpp"
#include "app/terminal.hpp"
#include "app/threads.hpp"
#include "app/training_state.hpp"

#include <accrete/methods/memory.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

namespace gpt {

/// One run of `gpt train`: data, model, trainer, and what is shown and written of them.
///
/// A step is counted when it is done: record and checkpoint n hold the state after n updates.
template <class Scalar, class ComputeBackend = accrete::Cpu>
class TrainingRun {
 public:
  /// A new run, or with `saved` the one that the store's latest checkpoint belongs to.
  /// @throws FileError, TextError, accrete::ArgumentError
  TrainingRun(const RunOptions& options, CheckpointStore& store, const TrainingState* saved)
      : options_(options),
        store_(store),
        text_(load_text(options_, saved)),
        model_(options_.model, options_.seed, options_.adamw),
        trainer_(model_, optimizer_config(options_), options_.steps) {
    batch_.resize(options_.batch, options_.model.context);
    std::optional<long> kept_records;
    if (saved != nullptr) {
      restore(*saved);
      kept_records = state_.step - (state_.unevaluated_record.is_null() ? 0 : 1);
    } else if (!options_.checkpoint.empty()) {
      store_.claim(options_.overwrite);
    }
    metrics_ = MetricsFile(options_.metrics, kept_records);
  }

  /// @return the exit status
  int run() {
    set_threads(options_.threads);
    print_settings();
    const InterruptGuard guard;
    start_ = Clock::now() - to_clock(state_.seconds);
    const bool begins = state_.step == 0 && options_.eval_interval > 0;
    if (begins || !state_.unevaluated_record.is_null()) {
      catch_up();
    }
    while (state_.step < options_.steps && !InterruptGuard::requested()) {
      advance();
    }
    display_.finish();
    return finished_ ? 0 : stop_early();
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Evaluation {
    std::optional<double> train_estimate;
    std::optional<double> val_estimate;
    double val_loss = 0;
  };

  static TextData load_text(RunOptions& options, const TrainingState* saved) {
    TextData text = TextData::load(options.data, options.model.context);
    if (saved != nullptr && saved->text_checksum != text.text_checksum()) {
      throw FileError("resuming: '" + options.data +
                      "' is not the text that this run was trained on; name that text with --data, "
                      "or start anew");
    }
    options.model.vocabulary = text.vocabulary().size();
    return text;
  }

  static OptimizerConfig optimizer_config(const RunOptions& options) {
    OptimizerConfig config = options.optimizer;
    if (config.schedule.decay_steps == 0) {
      config.schedule.decay_steps = options.steps;
    }
    return config;
  }

  static Clock::duration to_clock(double seconds) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(Clock::now() - start_).count();
  }

  void restore(const TrainingState& saved) {
    const fs::path folder = store_.require_latest();
    state_ = saved;
    load_model(folder, model_, state_);
    load_optimizer(folder, trainer_, state_);
    random_.seek(state_.batch_position);
    saved_step_ = state_.step;
  }

  void print_settings() {
    peak_ = gemm_peak(options_.model.width, options_.batch * options_.model.context,
                      measured_gemm_rate<Scalar, ComputeBackend>);
    const Memory memory = measure_memory();
    SettingsTable table;
    table.add_run(options_, text_, state_.step);
    table.add("parameters", grouped(static_cast<double>(model_.parameter_count())) + ", " +
                                grouped(static_cast<double>(model_.parameter_count(true))) +
                                " of them trained (without the positions)");
    table.add("memory", memory_text(memory.parameters) + " parameters, " +
                            memory_text(memory.gradients) + " gradients, " +
                            memory_text(memory.state) + " optimizer");
    table.add("compute", text_of("%.2f MFLOP a character, gemm peak %.0f GFLOP/s ",
                                 flops_per_token() * 1e-6, peak_) +
                             (options_.backend == Backend::cpu
                                  ? text_of("with %d threads", thread_count())
                                  : "on a GPU in " + std::string(word_of(options_.math))));
    table.print();
  }

  /// Bytes of what a run keeps between its steps.
  struct Memory {
    double parameters = 0, gradients = 0, state = 0;
  };

  [[nodiscard]] Memory measure_memory() {
    Memory memory;
    model_.for_each_parameter([&](const Parameter<Scalar, ComputeBackend>& p) {
      memory.parameters += static_cast<double>(p.value.size()) * sizeof(Scalar);
      memory.gradients +=
          p.is_trained() ? static_cast<double>(p.gradient.size()) * sizeof(Scalar) : 0.0;
    });
    accrete::detail::StateSize<Scalar, ComputeBackend> state;
    trainer_.visit_state(state);
    memory.state = static_cast<double>(state.scalars()) * sizeof(Scalar) +
                   static_cast<double>(state.counters()) * sizeof(std::int64_t);
    return memory;
  }

  [[nodiscard]] double flops_per_token() { return model_.flops_per_token(options_.model.context); }

  void advance() {
    draw();
    const auto before = Clock::now();
    const StepResult result =
        trainer_.step(batch_.tokens, batch_.targets, batch_.count, batch_.length);
    const double step_seconds = std::chrono::duration<double>(Clock::now() - before).count();
    ++state_.step;
    require_finite(result);
    note_speed(step_seconds);

    const bool last = state_.step == options_.steps;
    const bool saves = last || is_due(options_.checkpoint_interval);
    const bool evaluates = last || is_due(options_.eval_interval);
    if (saves || evaluates) {
      require_finite_tensors();
    }
    show_step(result);
    auto json = record(result, step_seconds);
    if (evaluates && !add_evaluation(json)) {
      return;
    }
    metrics_.write(json);
    if (last) {
      finish(json);
    }
    if (saves) {
      save();
    }
  }

  [[nodiscard]] bool is_due(long interval) const {
    return interval > 0 && state_.step % interval == 0;
  }

  void draw() {
    if (options_.overfit_one_batch) {
      random_.seek(0);
    }
    draw_batch(batch_, text_.train(), random_);
    state_.batch_position = random_.position();
  }

  void require_finite(const StepResult& result) const {
    if (!is_finite(result.loss) || !is_finite(result.grad_norm)) {
      throw_diverged(
          text_of("the loss is %g and the gradient's norm %g", result.loss, result.grad_norm));
    }
  }

  /// Calls check(name, tensor) for the tensors of a trainer's state.
  template <class Check>
  class FiniteState : public accrete::StateVisitor<Scalar, ComputeBackend> {
   public:
    explicit FiniteState(const Check& check) : check_(check) {}
    void tensor(const std::string& name, accrete::ViewOn<Scalar, ComputeBackend> values) override {
      check_(name, values);
    }
    void counts(const std::string&, std::span<std::int64_t>) override {}
    void number(const std::string&, double&) override {}

   private:
    const Check& check_;
  };

  /// A last update that overflows shows in no loss of the training.
  void require_finite_tensors() {
    const auto check = [&](const std::string& name,
                           const accrete::ViewOn<const Scalar, ComputeBackend>& tensor) {
      if (!is_finite_tensor(tensor)) {
        throw_diverged("'" + name + "' has entries that are not finite");
      }
    };
    model_.for_each_parameter(
        [&](const Parameter<Scalar, ComputeBackend>& p) { check(p.name, p.value); });
    FiniteState finite(check);
    trainer_.visit_state(finite);
  }

  [[noreturn]] void throw_diverged(const std::string& what) const {
    std::string text = text_of("train: in step %ld ", state_.step) + what +
                       "; use a smaller --learning-rate or a longer --warmup";
    if (saved_step_ > 0) {
      text += text_of(". The checkpoint of step %ld is untouched", saved_step_);
    }
    throw accrete::NumericError(text);
  }

  void note_speed(double step_seconds) {
    const double tokens = static_cast<double>(batch_.count * batch_.length);
    seconds_per_token_.add(step_seconds / tokens);
    training_seconds_ += step_seconds;
    training_tokens_ += tokens;
    training_flops_ += tokens * flops_per_token();
  }

  void show_step(const StepResult& result) {
    if (display_.is_live()) {
      return display_.update(step_line(result));
    }
    if (state_.step % options_.log_interval == 0 || state_.step == 1) {
      display_.print(step_line(result));
    }
  }

  [[nodiscard]] std::string step_line(const StepResult& result) {
    const double speed = 1 / seconds_per_token_.value();
    const double gflops = speed * flops_per_token() * 1e-9;
    const double left = static_cast<double>(options_.steps - state_.step) *
                        static_cast<double>(batch_.count * batch_.length) / speed;
    // What matters most comes first: a narrow terminal shows the beginning.
    return text_of("step %ld/%ld  ETA ", state_.step, options_.steps) + duration_text(left) +
           text_of("  loss %.4f", result.loss) + rank_text(model_.ranks()) +
           text_of("  lr %.1e  norm %.2f  ", result.learning_rate, result.grad_norm) +
           grouped(speed) + text_of(" tok/s  %.0f GFLOP/s (%.0f%%)", gflops, 100 * gflops / peak_);
  }

  /// The evaluation before the first step, or the one that an interrupt cut short.
  void catch_up() {
    nlohmann::ordered_json json = state_.unevaluated_record;
    const bool starts = json.is_null();
    if (starts) {
      json = record({}, 0);
    }
    if (!add_evaluation(json)) {
      return;
    }
    if (starts) {
      json["train_loss"] = json.value("train_loss_estimate", nlohmann::ordered_json());
    }
    metrics_.write(json);
    state_.unevaluated_record = nullptr;
    if (state_.step == options_.steps) {
      finish(json);
      save();
    }
  }

  /// False when an interrupt came first; the state then remembers the record.
  bool add_evaluation(nlohmann::ordered_json& json) {
    const auto evaluation = evaluate();
    if (!evaluation) {
      state_.unevaluated_record = json;
      return false;
    }
    json["val_loss"] = evaluation->val_loss;
    if (evaluation->train_estimate && evaluation->val_estimate) {
      json["train_loss_estimate"] = *evaluation->train_estimate;
      json["val_loss_estimate"] = *evaluation->val_estimate;
    }
    return true;
  }

  /// Seed of the estimates' batches: the same for every run, since another draw moves an estimate
  /// by more (0.03 nats with 20 batches) than another seed of the training does.
  static constexpr std::uint64_t estimate_seed = 1337;

  /// None when an interrupt came first.
  std::optional<Evaluation> evaluate() {
    display_.update(text_of("step %ld/%ld  evaluating", state_.step, options_.steps));
    const Index context = options_.model.context;
    const auto stop = [] { return InterruptGuard::requested(); };
    const auto estimate = [&](Tokens part, std::uint64_t stream) {
      return estimated_loss(model_, part, context, options_.batch, options_.eval_iters,
                            RandomStream(estimate_seed, stream), stop);
    };
    Evaluation evaluation;
    if (options_.eval_iters > 0) {
      evaluation.train_estimate = estimate(text_.train(), 1);
      evaluation.val_estimate = estimate(text_.validation(), 2);
    }
    const auto loss = whole_loss(model_, text_.validation(), context, options_.batch, stop);
    if (!loss) {
      return std::nullopt;
    }
    evaluation.val_loss = *loss;
    if (!is_finite(evaluation.val_loss)) {
      throw_diverged("the validation loss is not finite");
    }
    state_.best_val_loss = std::min(state_.best_val_loss.value_or(*loss), *loss);
    std::string line = text_of("step %ld/%ld  validation %.4f over the whole part", state_.step,
                               options_.steps, *loss);
    if (evaluation.train_estimate && evaluation.val_estimate) {
      line += text_of("; estimates: train %.4f, validation %.4f", *evaluation.train_estimate,
                      *evaluation.val_estimate);
    }
    display_.print(line);
    return evaluation;
  }

  /// Of a step that is not evaluated.
  nlohmann::ordered_json record(const StepResult& result, double step_seconds) {
    const double tokens = static_cast<double>(batch_.count * batch_.length);
    const double speed = step_seconds > 0 ? tokens / step_seconds : 0;
    nlohmann::ordered_json json;
    json["step"] = state_.step;
    json["train_loss"] = result.loss;
    json["val_loss"] = nullptr;
    json["lr"] = result.learning_rate;
    json["grad_norm"] = result.grad_norm;
    json["step_ms"] = step_seconds * 1e3;
    json["tokens_per_s"] = speed;
    json["gflops"] = speed * flops_per_token() * 1e-9;
    json["params"] = model_.parameter_count();
    json["trained_params"] = model_.parameter_count(true);
    json["ranks"] = rank_map(model_.ranks());
    return json;
  }

  void save() {
    if (options_.checkpoint.empty()) {
      return;
    }
    state_.options = options_;
    state_.vocabulary = text_.vocabulary().bytes();
    state_.text_checksum = text_.text_checksum();
    state_.shapes = model_.shapes();
    state_.seconds = seconds();
    store_.save(state_.step, [&](const fs::path& folder) {
      save_model(folder, model_, state_);
      save_optimizer(folder, trainer_);
      state_.save(folder);
    });
    saved_step_ = state_.step;
  }

  int stop_early() {
    if (state_.step == 0) {
      display_.print("stopped before the first step; nothing was saved");
      return 0;
    }
    std::string message = text_of("stopped after step %ld", state_.step);
    if (!options_.checkpoint.empty()) {
      if (saved_step_ != state_.step) {
        require_finite_tensors();
        save();
      }
      message += "; continue with: gpt train --checkpoint " + options_.checkpoint + " --resume";
    }
    display_.print(message);
    return 0;
  }

  /// Writes and shows the final record, which is the last step's and more.
  void finish(nlohmann::ordered_json json) {
    finished_ = true;
    json["final"] = true;
    json["seconds"] = seconds();
    json["seed"] = options_.seed;
    json["method"] = options_.model.method;
    const Memory memory = measure_memory();
    json["parameter_bytes"] = memory.parameters;
    json["gradient_bytes"] = memory.gradients;
    json["state_bytes"] = memory.state;
    json["best_val_loss"] = state_.best_val_loss.value();
    if (training_seconds_ > 0) {
      json["step_ms"] =
          training_seconds_ * 1e3 * static_cast<double>(batch_.tokens.size()) / training_tokens_;
      json["tokens_per_s"] = training_tokens_ / training_seconds_;
      json["gflops"] = training_flops_ / training_seconds_ * 1e-9;
    }
    json["gemm_peak_gflops"] = peak_;
    json["threads"] = thread_count();
    json["backend"] = std::string(word_of(options_.backend));
    json["math"] = std::string(word_of(options_.math));
    json["options"] = to_json(options_);
    metrics_.write(json);
    display_.print(summary(json));
  }

  [[nodiscard]] std::string summary(const nlohmann::ordered_json& json) {
    return text_of("done: validation loss %.4f nats a character (best %.4f), ",
                   json["val_loss"].get<double>(), state_.best_val_loss.value()) +
           grouped(static_cast<double>(model_.parameter_count())) + " parameters" +
           rank_text(model_.ranks()) + ", " + duration_text(seconds());
  }

  RunOptions options_;
  CheckpointStore& store_;
  TextData text_;
  Gpt<Scalar, ComputeBackend> model_;
  Trainer<Scalar, ComputeBackend> trainer_;
  Batch batch_;
  RandomStream random_{options_.seed, 0};
  TrainingState state_;
  MetricsFile metrics_;
  ProgressDisplay display_;
  long saved_step_ = 0; // 0: no checkpoint
  bool finished_ = false;
  Clock::time_point start_;
  double peak_ = 1;
  SmoothedMean seconds_per_token_;
  double training_seconds_ = 0;
  double training_tokens_ = 0;
  double training_flops_ = 0;
};

} // namespace gpt
