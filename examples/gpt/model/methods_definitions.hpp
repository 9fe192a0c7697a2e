// SPDX-License-Identifier: MIT
#pragma once

#include "model/methods.hpp"

#include <accrete/methods/registry.hpp>

namespace gpt {

template <class Scalar, class Backend>
WeightPointer<Scalar, Backend>
new_weight(const std::string& method, const accrete::MethodSettings& settings,
           const accrete::WeightPlace& place, const accrete::AdamWOptions& optimizer) {
  return accrete::make_weight<Scalar, Backend>(method, settings, place, optimizer);
}

} // namespace gpt
