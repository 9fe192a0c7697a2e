// SPDX-License-Identifier: MIT
#pragma once

// What the kernel symmetric_eigen of the cpu backend needs; apart from the other factorisations,
// since it would make every program compile Eigen's geometry and LU as well.
#include <accrete/backend/cpu/cpu.hpp>

#if ACCRETE_HAS_DEFINITIONS
#include <Eigen/Eigenvalues>
#endif
