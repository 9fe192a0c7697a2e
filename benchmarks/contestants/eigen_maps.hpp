// SPDX-License-Identifier: MIT
#pragma once

#include "operands.hpp"

#include <eigen_instantiations.hpp>

namespace benchmarks {

template <class Scalar>
auto map(const Array<Scalar>& a) {
  return Eigen::Map<Eigen::MatrixX<Scalar>, Eigen::Aligned64>(a.data, a.rows, a.cols);
}

} // namespace benchmarks
