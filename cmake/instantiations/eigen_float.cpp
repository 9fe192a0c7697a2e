// SPDX-License-Identifier: MIT
#include "eigen_instantiations.hpp"

ACCRETE_INSTANTIATE_EIGEN(, float)
