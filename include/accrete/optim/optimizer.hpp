// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/optim/pruning.hpp>

#include <concepts>
#include <cstdint>
#include <span>

ACCRETE_BEGIN_NAMESPACE

/// State of one m x k parameter that can be stepped, and whose columns come and go with the rank:
/// AdamW, SGD, Muon. `direction` updates the state as `step` does and writes what a step would
/// subtract, without learning rate and weight decay, instead of applying it.
template <class T>
concept Optimizer = requires(T& state, ViewOn<typename T::Scalar, typename T::Backend> parameter,
                             ViewOn<const typename T::Scalar, typename T::Backend> gradient,
                             std::span<const Index> columns, const typename T::HostMatrix& change,
                             double number, Index count) {
  { state.rows() } -> std::convertible_to<Index>;
  { state.cols() } -> std::convertible_to<Index>;
  { state.capacity() } -> std::convertible_to<Index>;
  state.step(parameter, gradient, number, number);
  state.direction(gradient, parameter, number);
  state.reserve(count);
  state.shrink_to_fit();
  state.append_columns(count);
  state.keep_columns(columns);
  state.rotate(change);
  state.reset();
  state.reset_columns(columns);
  state.freeze_columns(columns, std::int64_t{1});
  { state.prune(Pruning{}) } -> std::convertible_to<Index>;
};

ACCRETE_END_NAMESPACE
