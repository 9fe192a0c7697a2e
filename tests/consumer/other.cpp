// SPDX-License-Identifier: MIT
#include "use.hpp"

const char* other_configuration() { return configuration(); }
double other_sum() { return use_accrete(); }
