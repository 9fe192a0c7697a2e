// SPDX-License-Identifier: MIT
#pragma once

#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/bfloat16.hpp>

inline Stored<accrete::bfloat16> stored_bfloat16(Eigen::Index rows, Eigen::Index cols,
                                                 unsigned seed) {
  return on_backend(random_matrix<float>(rows, cols, seed).cast<accrete::bfloat16>());
}

/// Eigen converts bfloat16 to float only.
template <class Matrix>
Exact wide(const Matrix& m) {
  return accrete::to_host(m).template cast<float>().template cast<long double>();
}
