// SPDX-License-Identifier: MIT
// What every code block of the documentation takes as given.
#pragma once

#include <accrete/accrete.hpp>

#include <Eigen/Dense>

#include <iostream>

namespace ac = accrete;
