// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>

#include <Eigen/Core>

#include <type_traits>

namespace gpt {

using accrete::Index;

/// Column-major matrix in the memory of a backend. Activations hold one token a column:
/// C x (batch * length).
template <class Scalar, class Backend = accrete::Cpu>
using Matrix = accrete::Matrix<Scalar, Backend>;
/// The same of one column.
template <class Scalar, class Backend = accrete::Cpu>
using Vector =
    std::conditional_t<accrete::is_host_backend<Backend>, Eigen::Matrix<Scalar, Eigen::Dynamic, 1>,
                       accrete::Matrix<Scalar, Backend>>;

/// Consecutive scalars, for elementwise arithmetic.
template <class Scalar>
using Run = Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>>;
template <class Scalar>
using ConstRun = Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>>;

} // namespace gpt
