// SPDX-License-Identifier: MIT
#include "app/comparison.hpp"
#include "app/checkpoint_store.hpp"
#include "app/comparison_report.hpp"
#include "app/method_options.hpp"
#include "app/terminal.hpp"
#include "app/threads.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <set>

namespace gpt {
namespace {

/// The user stopped a run, and with it the comparison.
struct Interrupted {};

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown processor";
}

/// Trains the contestants of one comparison, one run after the other.
class Comparison {
 public:
  Comparison(const CompareOptions& options, TrainOnDevice on_cuda)
      : options_(options), on_cuda_(on_cuda), folder_(options.output) {
    create_folders(folder_);
    for (const Contestant& contestant : options_.contestants) {
      results_.push_back({contestant.label, 0, {}, false});
    }
    const auto rates = sweeps() ? options_.rates.size() : 0;
    total_ = results_.size() * (rates + options_.seeds.size());
  }

  int run() {
    try {
      for (std::size_t i = 0; i < results_.size(); ++i) {
        choose_rate(i);
      }
      // Seeds outermost: what disturbs the machine for a while disturbs all methods.
      for (const std::uint64_t seed : options_.seeds) {
        for (std::size_t i = 0; i < results_.size(); ++i) {
          if (!results_[i].diverged) {
            train_seed(i, seed);
          }
        }
        write_table();
      }
    } catch (const Interrupted&) {
      write_table();
      std::printf("stopped; the same command goes on\n");
      return 0;
    }
    std::printf("\n%s\n", comparison_table(title(), results_).c_str());
    std::printf("%s\n", (folder_ / "comparison.md").c_str());
    if (write_plots(folder_, results_)) {
      std::printf("%s, loss_seconds.png, ranks.png\n", (folder_ / "loss_steps.png").c_str());
    } else {
      std::printf("no plots: install gnuplot, then: cd '%s' && gnuplot plots.gnuplot\n",
                  folder_.c_str());
    }
    return 0;
  }

 private:
  static constexpr long least_eval_interval = 5; // an evaluation takes as long as some 50 steps
  static constexpr int most_beyond = 5;          // rates beside those that were asked for

  /// Rates are tried where there are several, and where a time has to become a number of steps.
  [[nodiscard]] bool sweeps() const { return options_.rates.size() > 1 || options_.seconds > 0; }
  [[nodiscard]] long sweep_steps() const {
    return options_.sweep_steps > 0 ? options_.sweep_steps
                                    : std::max<long>(1, options_.run.steps / 4);
  }

  RunOptions run_options(const Contestant& contestant, double rate, std::uint64_t seed, long steps,
                         const fs::path& path) const {
    RunOptions run = options_.run;
    run.model.method = contestant.method;
    run.model.method_settings = contestant.settings;
    run.optimizer.schedule.peak = rate;
    run.optimizer.schedule.floor = rate / 10;
    run.optimizer.schedule.decay_steps = 0;
    run.optimizer.schedule.warmup =
        std::min<std::int64_t>(run.optimizer.schedule.warmup, std::max<long>(1, steps / 10));
    run.seed = seed;
    run.steps = steps;
    run.eval_iters = 0;
    run.metrics = path.string() + ".jsonl";
    run.checkpoint = path.string();
    run.log_interval = std::max<long>(1, steps / 4);
    return run;
  }

  /// The record of a run that is finished, trained now if it was not. None where it diverged.
  std::optional<RunRecord> finished(RunOptions run, const std::string& what) {
    ++started_;
    std::printf("\n== run %zu of %zu: %s\n", started_, total_, what.c_str());
    if (auto record = RunRecord::read(run.metrics)) {
      std::printf("finished before\n");
      return record;
    }
    const fs::path diverged = run.checkpoint + ".diverged";
    if (fs::exists(diverged)) {
      std::printf("diverged before\n");
      return std::nullopt;
    }
    run.resume = fs::exists(fs::path(run.checkpoint) / "latest");
    run.overwrite = !run.resume;
    try {
      (void)train(run, on_cuda_);
    } catch (const accrete::NumericError& error) {
      std::printf("%s\n", error.what());
      write_atomically(diverged, error.what());
      return std::nullopt;
    }
    auto record = RunRecord::read(run.metrics);
    if (!record) {
      throw Interrupted();
    }
    return record;
  }

  /// What a short run at a rate showed.
  struct Trial {
    double val_loss = std::numeric_limits<double>::infinity(); ///< where it diverged
    double step_ms = 0;
  };

  Trial try_rate(std::size_t i, double rate) {
    const Contestant& contestant = options_.contestants[i];
    RunOptions run = run_options(contestant, rate, options_.seeds.front(), sweep_steps(),
                                 prepared(contestant) / ("rate-" + number_text(rate)));
    run.eval_interval = 0;
    run.checkpoint_interval = 0;
    const auto record =
        finished(run, contestant.label + text_of(", %ld steps at rate %g", run.steps, rate));
    return record ? Trial{record->val_loss(), record->final["step_ms"].get<double>()} : Trial{};
  }

  /// The best of the rates; while that is the least or the largest tried, of others beyond it.
  void choose_rate(std::size_t i) {
    ContestantResult& result = results_[i];
    result.rate = options_.rates.front();
    steps_.push_back(options_.run.steps);
    if (!sweeps()) {
      return;
    }
    std::map<double, Trial> trials;
    for (const double rate : options_.rates) {
      trials[rate] = try_rate(i, rate);
    }
    const auto find_best = [&] {
      return std::min_element(trials.begin(), trials.end(), [](const auto& a, const auto& b) {
        return a.second.val_loss < b.second.val_loss;
      });
    };
    auto best = find_best();
    for (int beyond = 0; beyond < most_beyond && trials.size() > 1; ++beyond) {
      const bool is_least = best == trials.begin();
      if (!is_least && best != std::prev(trials.end())) {
        break;
      }
      const double neighbour = is_least ? std::next(best)->first : std::prev(best)->first;
      const double rate = best->first * best->first / neighbour;
      ++total_;
      trials[rate] = try_rate(i, rate);
      best = find_best();
    }
    result.rate = best->first;
    result.diverged = !std::isfinite(best->second.val_loss);
    if (options_.seconds > 0 && !result.diverged) {
      steps_.back() = std::max<long>(1, std::lround(options_.seconds * 1e3 / best->second.step_ms));
    }
  }

  void train_seed(std::size_t i, std::uint64_t seed) {
    const Contestant& contestant = options_.contestants[i];
    ContestantResult& result = results_[i];
    const std::string name = "seed-" + std::to_string(seed) + "-steps-" + std::to_string(steps_[i]);
    RunOptions run =
        run_options(contestant, result.rate, seed, steps_[i], prepared(contestant) / name);
    run.eval_interval = std::max<long>(least_eval_interval, run.steps / 10);
    auto record = finished(
        run, contestant.label + text_of(", %ld steps at rate %g, seed ", run.steps, result.rate) +
                 std::to_string(seed));
    if (record) {
      result.runs.push_back(std::move(*record));
    }
  }

  [[nodiscard]] fs::path prepared(const Contestant& contestant) const {
    const fs::path folder = folder_ / contestant.folder();
    create_folders(folder);
    return folder;
  }

  [[nodiscard]] std::string title() const {
    char date[32];
    const std::time_t now = std::time(nullptr);
    std::strftime(date, sizeof date, "%Y-%m-%d", std::localtime(&now));
    const GptConfig& model = options_.run.model;
    const long steps = options_.run.steps;
    std::string text = "`" + fs::path(options_.run.data).filename().string() + "`, " +
                       text_of("%ld layers, %ld heads, width %ld, context %ld, batch %ld, ",
                               static_cast<long>(model.layers), static_cast<long>(model.heads),
                               static_cast<long>(model.width), static_cast<long>(model.context),
                               static_cast<long>(options_.run.batch));
    text += options_.seconds > 0 ? text_of("%g training seconds each, ", options_.seconds)
                                 : text_of("%ld steps each, ", steps);
    text += text_of("%zu seeds; ", options_.seeds.size()) + processor_name() +
            text_of(", %d threads, ",
                    options_.run.threads > 0 ? options_.run.threads : thread_count()) +
            date + ". ";
    if (sweeps()) {
      text += text_of("The learning rate is the best after %ld steps of ", sweep_steps());
      for (std::size_t i = 0; i < options_.rates.size(); ++i) {
        text += (i > 0 ? ", " : "") + number_text(options_.rates[i]);
      }
      text +=
          options_.rates.size() > 1 ? ", and of others beyond while the best is at an end." : ".";
    }
    return text + "\n";
  }

  void write_table() const {
    write_atomically(folder_ / "comparison.md", comparison_table(title(), results_));
  }

  const CompareOptions& options_;
  TrainOnDevice on_cuda_;
  fs::path folder_;
  std::vector<ContestantResult> results_; // in the order of the contestants
  std::vector<long> steps_;               // of each contestant
  std::size_t started_ = 0, total_ = 0;
};

} // namespace

std::string Contestant::folder() const {
  std::string name = label;
  std::replace_if(name.begin(), name.end(), [](char c) { return c == ':' || c == '='; }, '-');
  return name;
}

void add_contestant(CompareOptions& options, const std::string& text, bool is_first) {
  if (is_first) {
    options.contestants.clear();
  }
  if (text == "all") {
    for (const std::string& name : method_names()) {
      add_contestant(options, name, false);
    }
    return;
  }
  Contestant contestant{text, text.substr(0, text.find(':')), {}};
  const MethodEntry& method = method_entry(contestant.method);
  for (std::size_t at = text.find(':'); at != std::string::npos;) {
    const std::size_t next = text.find(':', at + 1);
    const std::string setting =
        text.substr(at + 1, next == std::string::npos ? next : next - at - 1);
    at = next;
    const std::size_t equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : setting.substr(equals + 1);
    const auto option =
        std::find_if(method.options.begin(), method.options.end(),
                     [&](const accrete::MethodOption& known) { return known.name == name; });
    if (option == method.options.end()) {
      throw accrete::ArgumentError("'" + text + "': " + contestant.method + " has no option '" +
                                   name + "'; gpt methods lists them");
    }
    const auto parsed = method_value(*option, value);
    if (!parsed) {
      throw accrete::ArgumentError("'" + text + "': '" + value + "' is not " + domain_of(*option));
    }
    contestant.settings[name] = *parsed;
  }
  const bool is_new =
      std::none_of(options.contestants.begin(), options.contestants.end(),
                   [&](const Contestant& other) { return other.folder() == contestant.folder(); });
  if (!is_new) {
    throw accrete::ArgumentError("'" + text + "' is named twice");
  }
  options.contestants.push_back(std::move(contestant));
}

bool is_shared_by_comparison(const OptionInfo& info) {
  static const std::set<std::string_view> of_each_run{
      "--method",  "--seed",       "--learning-rate",       "--min-learning-rate", "--decay-steps",
      "--metrics", "--checkpoint", "--log-interval",        "--eval-interval",     "--eval-iters",
      "--resume",  "--overwrite",  "--checkpoint-interval", "--overfit-one-batch"};
  return !of_each_run.contains(info.name);
}

int compare(const CompareOptions& given, TrainOnDevice on_cuda) {
  CompareOptions options = given;
  if (options.contestants.empty()) {
    for (const char* method : {"full", "low-rank", "inrank", "inrank-efficient"}) {
      add_contestant(options, method, false);
    }
  }
  return Comparison(options, on_cuda).run();
}

} // namespace gpt
