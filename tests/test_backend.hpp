// SPDX-License-Identifier: MIT
#pragma once

#ifdef ACCRETE_TEST_DEVICE
#include ACCRETE_TEST_DEVICE
#endif

#include <accrete/accrete.hpp>

/// The backend that this test binary is about: accrete::Cpu, accrete::Reference,
/// remote::Remote or accrete::Cuda.
using TestBackend = ACCRETE_TEST_BACKEND;

/// Storage of that backend. Tests bring their data to it with on_backend() and read results with
/// accrete::to_host() or exact(), so that they hold for a device as well.
template <class Scalar>
using Stored = accrete::Matrix<Scalar, TestBackend>;

/// A copy of a host matrix in the memory of the backend.
template <class Derived>
Stored<typename Derived::Scalar> on_backend(const Eigen::DenseBase<Derived>& matrix) {
  return accrete::from_host<TestBackend>(matrix);
}

/// The same as an operand of expressions, which names the backend.
template <class Derived>
auto operand(const Eigen::DenseBase<Derived>& matrix) {
  return accrete::lazy<TestBackend>(on_backend(matrix));
}

/// A view of that storage.
template <class Scalar>
using StoredView = accrete::ViewOn<Scalar, TestBackend>;

/// The device that it lies on.
inline accrete::Device<TestBackend>& test_device() {
  return accrete::Context<TestBackend>::current().device();
}

/// Writes the entries of a host matrix into the memory that a view describes.
template <class Scalar>
void write(const accrete::View<Scalar, TestBackend::Space>& target,
           const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>& values) {
  accrete::Kernels<TestBackend>::upload(test_device(), values.data(), target);
}

/// The scalars of a templated test. What differs between them lies in the kernels, so binaries that
/// would cost much compile time leave one out.
#ifdef ACCRETE_TEST_SCALAR
#define TEST_SCALARS ACCRETE_TEST_SCALAR
#else
#define TEST_SCALARS float, double
#endif
