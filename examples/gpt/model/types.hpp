// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>

#include <Eigen/Core>

namespace gpt {

using accrete::Index;

/// Column-major matrix. Activations hold one token a column: C x (batch * length).
template <class Scalar>
using Matrix = accrete::Matrix<Scalar>;
template <class Scalar>
using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

/// Consecutive scalars, for elementwise arithmetic.
template <class Scalar>
using Run = Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
template <class Scalar>
using ConstRun = Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>>;

} // namespace gpt
