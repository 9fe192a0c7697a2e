// SPDX-License-Identifier: MIT
#pragma once

#include "operands.hpp"

// What cuSOLVER computes, while the work runs. Those that return a number return `info`.

namespace fake_cuda::detail {

/// R above the reflectors, as LAPACK has them.
void run_geqrf(const Operand& a, const Operand& tau);
/// The first columns of Q, from the reflectors.
void run_orgqr(const Operand& a, const Operand& tau);
int run_potrf(const Operand& a, bool lower);
int run_syevd(const Operand& a, const Operand& values, bool vectors, bool lower);
/// Of U and VT what they have room for. A is lost.
int run_gesvd(const Operand& a, const Operand& s, const Operand& u, const Operand& vt);

} // namespace fake_cuda::detail
