// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <Eigen/Core>

namespace gpt {

using accrete::Index;

/// Column-major matrix. Activations hold one token a column: C x (batch * length).
template <class Scalar>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
template <class Scalar>
using Vector = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

/// Writable part of a matrix with its own leading dimension.
template <class Scalar>
using Block = Eigen::Map<Matrix<Scalar>, 0, Eigen::OuterStride<>>;
template <class Scalar>
using ConstBlock = Eigen::Map<const Matrix<Scalar>, 0, Eigen::OuterStride<>>;

/// `count` consecutive scalars, for elementwise arithmetic.
template <class Scalar>
using Run = Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
template <class Scalar>
using ConstRun = Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>>;

} // namespace gpt
