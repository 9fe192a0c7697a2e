// SPDX-License-Identifier: MIT
#pragma once

#include "app/host_transfer.hpp"
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
template <class Scalar, class Backend>
void save_model(const fs::path& folder, Gpt<Scalar, Backend>& model, const TrainingState& state) {
  HostTensors<Scalar> tensors;
  safetensors::Writer writer;
  writer.set_metadata("format", "pt");
  writer.set_metadata("config", to_json(state.options).dump());
  writer.set_metadata("ranks", state.rank_json().dump());
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

namespace detail {

/// What the layers' sizes say of their ranks, beside what TrainingState::load has checked.
/// @throws FileError
template <class Scalar, class Backend>
void check_ranks(const fs::path& folder, const Gpt<Scalar, Backend>& model,
                 const TrainingState& state) {
  const auto fail = [&](const std::string& what) {
    throw FileError("reading the checkpoint '" + (folder / state_file).string() +
                    "': the file is damaged: " + what + "; use an earlier checkpoint");
  };
  const GptConfig& config = model.config();
  const std::vector<LayerRank> layers = model.ranks();
  if (layers.size() != state.ranks.size()) {
    fail("it has the ranks of " + std::to_string(state.ranks.size()) + " layers of " +
         std::to_string(layers.size()));
  }
  for (const LayerRank& layer : layers) {
    const auto same = [&](const LayerRank& other) { return other.name == layer.name; };
    const auto found = std::find_if(state.ranks.begin(), state.ranks.end(), same);
    if (found == state.ranks.end()) {
      fail("it has no rank of " + layer.name);
    }
    // A fixed rank is all of the columns; one that grows keeps its buffer until the search ends.
    Index buffer = 0;
    if (is_growing(config.weights) && state.step < search_steps(config)) {
      const auto options = inrank_options(config, layer.rows, layer.cols);
      buffer = options.buffer;
      if (found->rank < options.initial_rank || found->columns > options.max_rank) {
        fail("the rank of " + layer.name + " is outside what InRank allows");
      }
    }
    if (found->columns != found->rank + buffer) {
      fail("the columns of " + layer.name + " are not its rank and the buffer of " +
           std::to_string(buffer));
    }
  }
}

} // namespace detail

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
  detail::check_ranks(folder, model, state);
  model.set_ranks(state.ranks);
  const safetensors::Reader reader(folder / model_file);
  model.for_each_parameter([&](const Parameter<Scalar, Backend>& parameter) {
    write_tensor(parameter.value, [&](const accrete::View<Scalar>& values) {
      reader.read<Scalar>(parameter.name, values);
    });
  });
}

/// Writes optimizer.safetensors: what visit_state shows of every trained tensor's optimizer.
/// @throws FileError
template <class Scalar, class Backend>
void save_optimizer(const fs::path& folder, Trainer<Scalar, Backend>& trainer) {
  HostTensors<Scalar> tensors;
  safetensors::Writer writer;
  trainer.for_each_state([&](const std::string& name, const auto& buffer) {
    if constexpr (is_count<decltype(buffer)>) {
      writer.add(name, std::vector<std::int64_t>(buffer.begin(), buffer.end()));
    } else {
      writer.add<Scalar>(name, tensors.read(buffer.as_const()));
    }
  });
  writer.write(folder / optimizer_file);
}

/// Gives the trainer of a loaded model the checkpoint's state. @throws FileError
template <class Scalar, class Backend>
void load_optimizer(const fs::path& folder, Trainer<Scalar, Backend>& trainer,
                    const TrainingState& state) {
  const safetensors::Reader reader(folder / optimizer_file);
  trainer.for_each_state([&](const std::string& name, const auto& buffer) {
    if constexpr (is_count<decltype(buffer)>) {
      reader.read(name, accrete::dense_view(buffer.data(), static_cast<Index>(buffer.size()), 1));
      if (std::any_of(buffer.begin(), buffer.end(), [](std::int64_t n) { return n < 0; })) {
        throw FileError("safetensors file '" + reader.path().string() + "' tensor '" + name +
                        "' has negative counts; it is damaged: use an earlier checkpoint");
      }
    } else {
      write_tensor(buffer, [&](const accrete::View<Scalar>& values) { reader.read(name, values); });
    }
  });
  trainer.set_step_count(state.step);
}

} // namespace gpt
