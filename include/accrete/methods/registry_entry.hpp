// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

ACCRETE_BEGIN_NAMESPACE

/// The linear layers of a transformer that a method is meant for; the others stay dense.
enum class LayerSet : unsigned char { none, mlp, attention, all };

/// What a method says of itself, in `static constexpr MethodDescription description`. With it an
/// entry of methods/registry.hpp has `Options`, a struct whose visit(visitor) names its fields, and
/// `Weight<Scalar, Backend>`, a TrainedWeight made of (WeightPlace, Options, AdamWOptions).
struct MethodDescription {
  const char* name;    ///< on a command line
  const char* title;   ///< in a table
  const char* source;  ///< who published it, and where
  const char* summary; ///< one clause: what is trained
  LayerSet layers = LayerSet::all;
};

ACCRETE_END_NAMESPACE
