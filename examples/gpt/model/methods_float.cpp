// SPDX-License-Identifier: MIT
#include "model/methods_definitions.hpp"

namespace gpt {

template WeightPointer<float, accrete::Cpu>
new_weight<float, accrete::Cpu>(const std::string&, const accrete::MethodSettings&,
                                const accrete::WeightPlace&, const accrete::AdamWOptions&);

} // namespace gpt
