// SPDX-License-Identifier: MIT
#pragma once

#include "app/host_transfer.hpp"
#include "app/safetensors.hpp"
#include "app/training_state.hpp"
#include "model/gpt.hpp"
#include "model/trainer.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace gpt {

namespace detail {

/// Scales and shifts have one dimension; a matrix may have a single column as well.
inline bool is_vector(const std::string& name) {
  return name.ends_with(".bias") || name.find("ln_") != std::string::npos;
}

} // namespace detail

/// Writes model.safetensors: the parameters under GPT-2's names, options and vocabulary as
/// metadata. @throws FileError
template <class Scalar, class Backend>
void save_model(const fs::path& folder, Gpt<Scalar, Backend>& model, const TrainingState& state) {
  HostTensors<Scalar> tensors;
  safetensors::Writer writer;
  writer.set_metadata("format", "pt");
  writer.set_metadata("config", to_json(state.options).dump());
  writer.set_metadata("shapes", nlohmann::json(state.shapes).dump());
  writer.set_metadata("vocabulary",
                      nlohmann::json(TrainingState::bytes_of(state.vocabulary)).dump());
  model.for_each_parameter([&](const Parameter<Scalar, Backend>& parameter) {
    const accrete::View<const Scalar> value = tensors.read(parameter.value.as_const());
    if (detail::is_vector(parameter.name)) {
      writer.add<Scalar>(parameter.name, {value.size()}, value);
    } else {
      writer.add<Scalar>(parameter.name, value);
    }
  });
  writer.write(folder / model_file);
}

/// The state of a checkpoint whose model file fits it, so that a damaged size is known before
/// memory is reserved for it. @throws FileError
[[nodiscard]] inline TrainingState load_state(const fs::path& folder) {
  TrainingState state = TrainingState::load(folder);
  const GptConfig& model = state.options.model;
  const safetensors::Reader reader(folder / model_file);
  const auto norm = [](Index layer) { return "h." + std::to_string(layer) + ".ln_1.weight"; };
  reader.require_shape("wte.weight", {model.vocabulary, model.width});
  reader.require_shape("wpe.weight", {model.context, model.width});
  reader.require_shape(norm(model.layers - 1), {model.width});
  const auto config = reader.metadata().find("config");
  const auto written = config == reader.metadata().end()
                           ? nlohmann::json()
                           : nlohmann::json::parse(config->second, nullptr, false);
  if (written != nlohmann::json(to_json(state.options))) {
    throw FileError("reading the checkpoint '" + folder.string() + "': the options in " +
                    state_file + " are not those in " + model_file +
                    "; one of them is damaged: use an earlier checkpoint");
  }
  return state;
}

/// Gives the model the checkpoint's ranks and tensors. @throws FileError
template <class Scalar, class Backend>
void load_model(const fs::path& folder, Gpt<Scalar, Backend>& model, const TrainingState& state) {
  try {
    model.set_shapes(state.shapes);
  } catch (const accrete::Error& error) {
    throw FileError("reading the checkpoint '" + (folder / state_file).string() +
                    "': the file is damaged: " + error.what() + "; use an earlier checkpoint");
  }
  const safetensors::Reader reader(folder / model_file);
  model.for_each_parameter([&](const Parameter<Scalar, Backend>& parameter) {
    write_tensor(parameter.value, [&](const accrete::View<Scalar>& values) {
      reader.read<Scalar>(parameter.name, values);
    });
  });
}

namespace detail {

/// Writes what a trainer shows of its state.
template <class Scalar, class Backend>
class StateWriter : public accrete::StateVisitor<Scalar, Backend> {
 public:
  void tensor(const std::string& name, accrete::ViewOn<Scalar, Backend> values) override {
    writer_.add<Scalar>(name, tensors_.read(values.as_const()));
  }
  void counts(const std::string& name, std::span<std::int64_t> values) override {
    writer_.add(name, std::vector<std::int64_t>(values.begin(), values.end()));
  }
  void number(const std::string& name, double& value) override {
    numbers_.push_back(Matrix<double>::Constant(1, 1, value));
    writer_.add<double>(name, {1}, accrete::view_of(std::as_const(numbers_.back())));
  }
  void write(const fs::path& path) { writer_.write(path); }

 private:
  HostTensors<Scalar> tensors_;
  std::deque<Matrix<double>> numbers_;
  safetensors::Writer writer_;
};

/// Gives a trainer the state of a file.
template <class Scalar, class Backend>
class StateReader : public accrete::StateVisitor<Scalar, Backend> {
 public:
  explicit StateReader(const fs::path& path) : reader_(path) {}

  void tensor(const std::string& name, accrete::ViewOn<Scalar, Backend> values) override {
    write_tensor(values,
                 [&](const accrete::View<Scalar>& host) { reader_.read<Scalar>(name, host); });
  }
  void counts(const std::string& name, std::span<std::int64_t> values) override {
    reader_.read(name, accrete::dense_view(values.data(), static_cast<Index>(values.size()), 1));
    if (std::any_of(values.begin(), values.end(), [](std::int64_t n) { return n < 0; })) {
      throw FileError("safetensors file '" + reader_.path().string() + "' tensor '" + name +
                      "' has negative counts; it is damaged: use an earlier checkpoint");
    }
  }
  void number(const std::string& name, double& value) override {
    reader_.read<double>(name, accrete::dense_view(&value, 1, 1));
  }

 private:
  safetensors::Reader reader_;
};

} // namespace detail

/// Writes optimizer.safetensors: what the next steps depend on beside the parameters.
/// @throws FileError
template <class Scalar, class Backend>
void save_optimizer(const fs::path& folder, Trainer<Scalar, Backend>& trainer) {
  detail::StateWriter<Scalar, Backend> writer;
  trainer.visit_state(writer);
  writer.write(folder / optimizer_file);
}

/// Gives the trainer of a loaded model the checkpoint's state. @throws FileError
template <class Scalar, class Backend>
void load_optimizer(const fs::path& folder, Trainer<Scalar, Backend>& trainer,
                    const TrainingState& state) {
  detail::StateReader<Scalar, Backend> reader(folder / optimizer_file);
  trainer.visit_state(reader);
  trainer.set_step_count(state.step);
}

} // namespace gpt
