// SPDX-License-Identifier: MIT
#include "model/gpt_definitions.hpp"

namespace gpt {

template class Gpt<float>;
template class Gpt<double>;

} // namespace gpt
