// SPDX-License-Identifier: MIT
#include "model/operations/cuda.hpp"
#include "model/trainer_definitions.hpp"

namespace gpt {

template class Trainer<float, accrete::Cuda>;

} // namespace gpt
