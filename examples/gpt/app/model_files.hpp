// SPDX-License-Identifier: MIT
#pragma once

#include "app/safetensors.hpp"
#include "app/training_state.hpp"
#include "model/gpt.hpp"
#include "model/trainer.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
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
template <class Scalar>
void save_model(const fs::path& folder, Gpt<Scalar>& model, const TrainingState& state) {
  safetensors::Writer writer;
  writer.set_metadata("format", "pt");
  writer.set_metadata("config", to_json(state.options).dump());
  writer.set_metadata("ranks", state.rank_json().dump());
  writer.set_metadata("vocabulary",
                      nlohmann::json(TrainingState::bytes_of(state.vocabulary)).dump());
  model.for_each_parameter([&](const Parameter<Scalar>& parameter) {
    const accrete::View<const Scalar> value = parameter.value;
    if (detail::is_vector(parameter.name)) {
      writer.add<Scalar>(parameter.name, {value.size()}, value);
    } else {
      writer.add<Scalar>(parameter.name, value);
    }
  });
  writer.write(folder / model_file);
}

/// Gives the model the checkpoint's ranks and tensors. @throws FileError, accrete::ArgumentError
template <class Scalar>
void load_model(const fs::path& folder, Gpt<Scalar>& model, const TrainingState& state) {
  model.set_ranks(state.ranks);
  const safetensors::Reader reader(folder / model_file);
  model.for_each_parameter([&](const Parameter<Scalar>& parameter) {
    reader.read<Scalar>(parameter.name, parameter.value);
  });
}

namespace detail {

/// Step counts come as scalars and are stored as integers.
inline bool is_step_count(const std::string& name) { return name.ends_with(".steps"); }

} // namespace detail

/// Writes optimizer.safetensors: both moments and the step counts of every trained tensor.
/// @throws FileError
template <class Scalar>
void save_optimizer(const fs::path& folder, Trainer<Scalar>& trainer) {
  safetensors::Writer writer;
  trainer.for_each_state([&](const std::string& name, accrete::View<Scalar> value) {
    if (detail::is_step_count(name)) {
      writer.add(name, std::vector<std::int64_t>(value.data, value.data + value.size()));
    } else {
      writer.add<Scalar>(name, value);
    }
  });
  writer.write(folder / optimizer_file);
}

/// Gives the trainer of a loaded model the checkpoint's state. @throws FileError
template <class Scalar>
void load_optimizer(const fs::path& folder, Trainer<Scalar>& trainer, const TrainingState& state) {
  const safetensors::Reader reader(folder / optimizer_file);
  trainer.for_each_state([&](const std::string& name, accrete::View<Scalar> value) {
    if (detail::is_step_count(name)) {
      std::vector<std::int64_t> counts(static_cast<std::size_t>(value.size()));
      reader.read(name, accrete::dense_view(counts.data(), value.size(), 1));
      std::copy(counts.begin(), counts.end(), value.data);
    } else {
      reader.read(name, value);
    }
  });
  trainer.set_step_count(state.step);
}

} // namespace gpt
