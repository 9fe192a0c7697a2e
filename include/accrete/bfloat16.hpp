// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/bfloat16_kernels.hpp>
#include <accrete/backend/reference/bfloat16.hpp>

// Operands stored as accrete::bfloat16: half the memory of float, and on CPUs that multiply such
// matrices in hardware several times its speed. Choose it per expression by the scalar of the
// operands; all operands of one expression have the same:
//
//     Eigen::MatrixX<accrete::bfloat16> W0 = ..., U = ..., V = ..., X = ...;
//     Eigen::MatrixXf Y = (W0 + accrete::outer(U, V)) * X;
//
// Products are summed in float and the value is float. Intermediate results, as Vᵀ X here, are
// rounded to bfloat16 (relative error 2^-9), so the error of a plan with one is about 2^-9 |U| |Z|,
// plus what the rounding of the operands themselves has cost before. Where the processor multiplies
// bfloat16 itself, numbers below 2^-126 count as zero.
