// SPDX-License-Identifier: MIT
#pragma once

#include "numerics.hpp"

#include <accrete/bfloat16.hpp>

using Stored = Eigen::MatrixX<accrete::bfloat16>;

inline Stored stored(Eigen::Index rows, Eigen::Index cols, unsigned seed) {
  return random_matrix<float>(rows, cols, seed).cast<accrete::bfloat16>();
}

/// Eigen converts bfloat16 to float only.
template <class Derived>
Exact wide(const Eigen::MatrixBase<Derived>& m) {
  return m.template cast<float>().template cast<long double>();
}
