// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/cuda.hpp>
