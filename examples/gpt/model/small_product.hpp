// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <accrete/backend/cpu/cpu.hpp>

namespace gpt {

/// c = alpha a b + beta c on parts of matrices, for use inside parallel loops: one thread, and a
/// device of its own for each thread.
template <class Scalar>
void multiply(std::type_identity_t<Scalar> alpha, accrete::View<const Scalar> a,
              std::type_identity_t<accrete::View<const Scalar>> b,
              std::type_identity_t<Scalar> beta, std::type_identity_t<accrete::View<Scalar>> c) {
  thread_local accrete::Device<accrete::Cpu> device;
  accrete::Kernels<accrete::Cpu>::gemm(device, alpha, a, b, beta, c);
}

} // namespace gpt
