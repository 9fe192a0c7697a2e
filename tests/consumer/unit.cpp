// SPDX-License-Identifier: MIT
#include "numbers.hpp"

namespace {
const bool added =
    (add({CONSUMER_UNIT, CONSUMER_TEXT(ACCRETE_ABI_NAMESPACE), numbers_are_right}), true);
} // namespace
