// SPDX-License-Identifier: MIT
#include "model/gpt_definitions.hpp"
#include "model/operations/cuda.hpp"

namespace gpt {

template class Gpt<float, accrete::Cuda>;

} // namespace gpt
