// SPDX-License-Identifier: MIT
#include "model/trainer_definitions.hpp"

namespace gpt {

template class Trainer<float>;
template class Trainer<double>;

} // namespace gpt
