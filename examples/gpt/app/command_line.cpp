// SPDX-License-Identifier: MIT
#include "app/checkpoint_store.hpp"
#include "app/commands.hpp"
#include "app/comparison.hpp"
#include "app/method_options.hpp"
#include "app/options_json.hpp"
#include "app/training_state.hpp"
#include "model/methods.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <new>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace gpt {
namespace {

const char* title_of(OptionGroup group) {
  switch (group) {
  case OptionGroup::run:
    return "Run";
  case OptionGroup::model:
    return "Model";
  case OptionGroup::method:
    return "Method";
  case OptionGroup::optimizer:
    return "Optimizer";
  case OptionGroup::evaluation:
    return "Evaluation";
  case OptionGroup::output:
    break;
  }
  return "Output";
}

CLI::Option& add_text(CLI::App& app, const std::string& name, std::string& value,
                      const std::string& help) {
  return *app.add_option(name, value, help)->capture_default_str();
}

/// CLI11 itself would read 010 as eight and cut what is too large to the largest number.
template <class Number>
CLI::Option& add_number(CLI::App& app, const std::string& name, Number& value,
                        const std::string& help, const Range<Number>& range) {
  const auto set = [&value](const std::string& text) { value = *number_of<Number>(text); };
  const auto check = [range](const std::string& text) {
    const auto number = number_of<Number>(text);
    return number && range.contains(*number) ? "" : "'" + text + "' is not " + range.text();
  };
  return *app.add_option_function<std::string>(name, set, help)
              ->check(check)
              ->type_name(std::is_integral_v<Number> ? "INT" : "FLOAT")
              ->default_str(number_text(value));
}

/// `--bias` or `--bias=false`; CLI11 itself takes numbers as well.
CLI::Option& add_flag(CLI::App& app, const std::string& name, bool& value,
                      const std::string& help) {
  return *app.add_flag(name, value, help)->check([](const std::string& word) {
    return word == "true" || word == "false" ? "" : "'" + word + "' is neither true nor false";
  });
}

template <class Enum>
CLI::Option& add_enum(CLI::App& app, const std::string& name, Enum& value,
                      const std::string& help) {
  const auto& words = enum_words<Enum>;
  const auto set = [&value](const std::string& word) { value = enum_of<Enum>(word); };
  return *app.add_option_function<std::string>(name, set, help)
              ->check(CLI::IsMember(std::vector<std::string>(words.begin(), words.end())))
              ->default_str(std::string(word_of(value)));
}

template <class Value>
CLI::Option& add_option(CLI::App& app, const std::string& name, Value& value,
                        const std::string& help) {
  if constexpr (std::is_same_v<Value, bool>) {
    return add_flag(app, name, value, help);
  } else if constexpr (std::is_enum_v<Value>) {
    return add_enum(app, name, value, help);
  } else if constexpr (std::is_same_v<Value, std::string>) {
    return add_text(app, name, value, help);
  } else {
    return add_number(app, name, value, help, range_of<Value>(name));
  }
}

/// `--threads 4` among the arguments before they are parsed as a whole.
std::optional<std::string> value_of(const std::string& name,
                                    const std::vector<std::string>& arguments) {
  std::optional<std::string> value;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == name && i + 1 < arguments.size()) {
      value = arguments[i + 1];
    }
    if (arguments[i].rfind(name + "=", 0) == 0) {
      value = arguments[i].substr(name.size() + 1);
    }
  }
  return value;
}

bool contains(const std::string& name, const std::vector<std::string>& arguments) {
  return std::find(arguments.begin(), arguments.end(), name) != arguments.end();
}

/// Takes the named method, whose options the others are then parsed with. CLI11 refuses a name that
/// there is not.
void choose_method(GptConfig& model, const std::vector<std::string>& arguments) {
  const std::vector<std::string> names = method_names();
  const auto name = value_of("--method", arguments);
  if (name && std::find(names.begin(), names.end(), *name) != names.end()) {
    model.method = *name;
  }
}

/// What the options start from: the checkpoint's values, or those of the preset.
RunOptions starting_options(const std::vector<std::string>& arguments) {
  const auto folder = value_of("--checkpoint", arguments);
  if (contains("--resume", arguments) && folder) {
    return TrainingState::load(CheckpointStore(*folder).require_latest()).options;
  }
  const std::string name = value_of("--preset", arguments).value_or(RunOptions().preset);
  const bool known =
      std::find(preset_names.begin(), preset_names.end(), name) != preset_names.end();
  RunOptions options = preset(known ? name : RunOptions().preset);
  choose_method(options.model, arguments);
  return options;
}

/// `--method.rank 64` and so on, of the method that the model has now.
void add_method_options(CLI::App& app, GptConfig& model) {
  app.get_option("--method")->check(CLI::IsMember(method_names()));
  for (const accrete::MethodOption& option : method_entry(model.method).options) {
    const std::string name = "--" + std::string(method_prefix) + option.name;
    const auto set = [&model, &option](const std::string& text) {
      model.method_settings[option.name] = *method_value(option, text);
    };
    const auto check = [&option](const std::string& text) {
      return method_value(option, text) ? "" : "'" + text + "' is not " + domain_of(option);
    };
    const auto given = model.method_settings.find(option.name);
    const auto& value = given == model.method_settings.end() ? option.value : given->second;
    app.add_option_function<std::string>(name, set, option.help)
        ->check(check)
        ->type_name(std::holds_alternative<std::string>(option.value) ? "WORD" : "VALUE")
        ->default_str(text_of_value(value))
        ->group("Method " + model.method);
  }
}

void add_run_options(CLI::App& app, RunOptions& options) {
  visit_options(options, [&](const OptionInfo& info, auto& value) {
    add_option(app, info.name, value, info.help).group(title_of(info.group));
  });
  add_method_options(app, options.model);
  app.get_option("--preset")
      ->check(CLI::IsMember(std::vector<std::string>(preset_names.begin(), preset_names.end())));
  app.get_option("--resume")->needs(app.get_option("--checkpoint"));
  app.get_option("--checkpoint-interval")->needs(app.get_option("--checkpoint"));
  for (const char* option : {"--overwrite", "--preset"}) { // the checkpoint's options count
    app.get_option(option)->excludes(app.get_option("--resume"));
  }
}

CLI::App* add_train(CLI::App& app, RunOptions& options) {
  CLI::App* command = app.add_subcommand("train", "Train a character-level GPT on a text file");
  command->footer("The presets are nanoGPT's; dropout is not supported.");
  add_run_options(*command, options);
  return command;
}

CLI::App* add_eval(CLI::App& app, EvalOptions& options) {
  CLI::App* command =
      app.add_subcommand("eval", "Loss of a checkpoint over the whole validation part of a text");
  add_option(*command, "--checkpoint", options.checkpoint, "folder that train wrote").required();
  add_option(*command, "--data", options.data, "text file; default: the one it was trained on");
  add_number(*command, "--batch", options.batch, "sequences at once; 0: as in training",
             {0, range_of<Index>("--batch").most});
  add_option(*command, "--threads", options.threads, "threads; 0: one a core");
  return command;
}

CLI::App* add_sample(CLI::App& app, SampleOptions& options) {
  CLI::App* command = app.add_subcommand("sample", "Write text with a checkpoint");
  add_option(*command, "--checkpoint", options.checkpoint, "folder that train wrote").required();
  command->add_option("--prompt", options.prompt, "text to continue")->default_str("a line break");
  add_option(*command, "--tokens", options.tokens, "characters to write");
  add_option(*command, "--temperature", options.temperature, "0: always the likeliest character");
  add_option(*command, "--top-k", options.top_k, "choose among the k likeliest only; 0: all");
  add_option(*command, "--seed", options.seed, "seed of the choices");
  add_option(*command, "--threads", options.threads, "threads; 0: one a core");
  return command;
}

/// A list with commas between its entries.
template <class Add>
CLI::Option& add_list(CLI::App& app, const std::string& name, const std::string& help,
                      const std::string& shown, const Add& add) {
  return *app.add_option_function<std::string>(
                 name,
                 [=](const std::string& text) {
                   for (std::size_t begin = 0; begin <= text.size();) {
                     const std::size_t end = std::min(text.find(',', begin), text.size());
                     add(text.substr(begin, end - begin), begin == 0);
                     begin = end + 1;
                   }
                 },
                 help)
              ->default_str(shown);
}

template <class Number>
void set_in_list(std::vector<Number>& list, const std::string& name, const std::string& text,
                 bool is_first) {
  const auto number = number_of<Number>(text);
  if (!number || !(*number >= 0)) {
    throw CLI::ValidationError(name, "'" + text + "' is not " + Range<Number>{}.text());
  }
  if (is_first) {
    list.clear();
  }
  list.push_back(*number);
}

CLI::App* add_memory(CLI::App& app, MemoryOptions& options) {
  CLI::App* command =
      app.add_subcommand("memory", "Print what a weight takes under each training method");
  add_option(*command, "--rows", options.rows, "outputs of the weight");
  add_option(*command, "--cols", options.cols, "inputs of the weight");
  add_option(*command, "--rank", options.rank, "of the methods that ask for one");
  return command;
}

CLI::App* add_compare(CLI::App& app, CompareOptions& options) {
  CLI::App* command = app.add_subcommand(
      "compare", "Train several methods on a text and compare them in a table and plots");
  command->footer("A method's options follow its name: galore:rank=32:period=100. An interrupted "
                  "comparison goes on where it was with the same command.");
  add_list(*command, "--methods", "methods to compare, or all", "full,low-rank,inrank,...",
           [&options](const std::string& text, bool is_first) {
             try {
               add_contestant(options, text, is_first);
             } catch (const accrete::ArgumentError& error) {
               throw CLI::ValidationError("--methods", error.what());
             }
           })
      .group("Comparison");
  add_option(*command, "--output", options.output, "folder for table, plots and runs")
      .group("Comparison")
      ->required();
  add_list(*command, "--rates", "learning rates of which each method gets its best",
           "5e-4,1e-3,2e-3,4e-3",
           [&options](const std::string& text, bool is_first) {
             set_in_list(options.rates, "--rates", text, is_first);
           })
      .group("Comparison");
  add_option(*command, "--sweep-steps", options.sweep_steps,
             "steps of each run that chooses the rate; 0: a quarter of --steps")
      .group("Comparison");
  add_list(*command, "--seeds", "seeds of the runs that are compared", "1337",
           [&options](const std::string& text, bool is_first) {
             set_in_list(options.seeds, "--seeds", text, is_first);
           })
      .group("Comparison");
  add_option(*command, "--seconds", options.seconds,
             "train each method for so long instead of --steps; 0: equal steps")
      .group("Comparison");
  visit_options(options.run, [&](const OptionInfo& info, auto& value) {
    if (is_shared_by_comparison(info)) {
      add_option(*command, info.name, value, info.help).group(title_of(info.group));
    }
  });
  command->get_option("--preset")
      ->check(CLI::IsMember(std::vector<std::string>(preset_names.begin(), preset_names.end())));
  command->get_option("--data")->required();
  return command;
}

CLI::App* add_check(CLI::App& app, CheckOptions& options) {
  CLI::App* command = app.add_subcommand(
      "check-gradients", "Compare every gradient with finite differences, in double");
  add_option(*command, "--tolerance", options.tolerance, "largest relative error that passes");
  add_option(*command, "--entries", options.entries, "entries compared a tensor; 0: all");
  add_option(*command, "--batch", options.batch, "sequences in the batch");
  add_option(*command, "--seed", options.seed, "seed of weights and tokens");
  auto& m = options.model;
  add_option(*command, "--n-layer", m.layers, "transformer blocks").group("Model");
  add_option(*command, "--n-head", m.heads, "attention heads a block").group("Model");
  add_option(*command, "--width", m.width, "embedding width").group("Model");
  add_option(*command, "--context", m.context, "length of the sequences").group("Model");
  add_option(*command, "--vocabulary", m.vocabulary, "number of characters").group("Model");
  add_option(*command, "--bias", m.bias, "biases in linear layers and norms").group("Model");
  add_option(*command, "--method", m.method, "how linear layers are trained").group("Method");
  add_option(*command, "--layers", m.method_layers, "linear layers that the method has")
      .group("Method");
  add_method_options(*command, m);
  return command;
}

CheckOptions small_model() {
  CheckOptions options;
  options.model.layers = 2;
  options.model.heads = 2;
  options.model.width = 16;
  options.model.context = 8;
  options.model.vocabulary = 11;
  return options;
}

/// A checkpoint says nothing of the backend: a run may go on on another.
void check_backend(const RunOptions& options, bool has_cuda) {
  if (options.backend == Backend::cpu) {
    if (options.math != Math::float32) {
      throw accrete::ArgumentError("train: --math " + std::string(word_of(options.math)) +
                                   " is for --backend cuda; leave it out, or use that backend");
    }
    return;
  }
  if (!has_cuda) {
    throw accrete::ArgumentError(
        "train: this build has no CUDA backend; use --backend cpu, or build the program where "
        "NVIDIA's toolkit 12.6 or newer is installed, with ACCRETE_WITH_CUDA=ON");
  }
  if (options.dtype != DataType::float32) {
    throw accrete::ArgumentError("train: --backend cuda computes in float; use --dtype float, or "
                                 "--backend cpu");
  }
}

void check_run_options(const RunOptions& options, const RunOptions& start) {
  if (options.data.empty()) {
    throw accrete::ArgumentError("train: there is no text to train on; add --data FILE");
  }
  if (options.model.width % options.model.heads != 0) {
    throw accrete::ArgumentError("train: --width " + std::to_string(options.model.width) +
                                 " is no multiple of --n-head " +
                                 std::to_string(options.model.heads));
  }
  const std::string differing = options.resume ? differing_options(start, options) : "";
  if (!differing.empty()) {
    throw accrete::ArgumentError("train --resume: the checkpoint was made with other values of " +
                                 differing + "; leave these options out, or start anew");
  }
}

void print_methods() {
  for (const MethodEntry& method : method_entries()) {
    const accrete::MethodDescription& d = method.description;
    std::printf("%-18s %s: %s\n%-18s %s\n", d.name, d.title, d.summary, "", d.source);
    for (const accrete::MethodOption& option : method.options) {
      std::printf("  --method.%-24s %s [%s]\n", option.name.c_str(), option.help.c_str(),
                  text_of_value(option.value).c_str());
    }
  }
}

int parse_and_run(int argc, const char* const* argv, TrainOnDevice train_on_cuda) {
  const std::vector<std::string> arguments(argv, argv + argc);
  const RunOptions start = starting_options(arguments);
  RunOptions run = start;
  EvalOptions eval;
  SampleOptions sampling;
  CheckOptions check = small_model();
  check.model.method = start.model.method;

  CLI::App app("Trains a small GPT by low-rank methods", "gpt");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const CLI::App* train_command = add_train(app, run);
  const CLI::App* eval_command = add_eval(app, eval);
  const CLI::App* sample_command = add_sample(app, sampling);
  CompareOptions comparison;
  comparison.run = start;
  const CLI::App* compare_command = add_compare(app, comparison);
  (void)add_check(app, check);
  const CLI::App* methods_command =
      app.add_subcommand("methods", "List the training methods and their options");
  MemoryOptions memory;
  const CLI::App* memory_command = add_memory(app, memory);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (app.get_subcommands().empty()) {
    std::fprintf(stderr, "%s", app.help().c_str());
    return 2;
  }

  if (train_command->parsed()) {
    check_run_options(run, start);
    check_backend(run, train_on_cuda != nullptr);
    return train(run, train_on_cuda);
  }
  if (eval_command->parsed()) {
    return evaluate(eval);
  }
  if (sample_command->parsed()) {
    return sample(sampling);
  }
  if (compare_command->parsed()) {
    check_backend(comparison.run, train_on_cuda != nullptr);
    return compare(comparison, train_on_cuda);
  }
  if (methods_command->parsed()) {
    print_methods();
    return 0;
  }
  if (memory_command->parsed()) {
    return print_memory(memory);
  }
  return check_gradients(check);
}

} // namespace

int run_program(int argc, const char* const* argv, TrainOnDevice train_on_cuda) {
  // A file beyond the limit is then a failed write with its own message, as a full disk is.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return parse_and_run(argc, argv, train_on_cuda);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "gpt: error: not enough memory; use a smaller --batch or model\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpt: error: %s\n", error.what());
  }
  return 1;
}

} // namespace gpt
