// SPDX-License-Identifier: MIT
#include "model/methods_definitions.hpp"

#include <accrete/cuda.hpp>

namespace gpt {

template WeightPointer<float, accrete::Cuda>
new_weight<float, accrete::Cuda>(const std::string&, const accrete::MethodSettings&,
                                 const accrete::WeightPlace&, const accrete::AdamWOptions&);

} // namespace gpt
