// SPDX-License-Identifier: MIT
#pragma once

#include "model/types.hpp"

#include <accrete/plan/context.hpp>

namespace gpt {

/// The device of a backend that this thread works on.
template <class Backend>
[[nodiscard]] accrete::Device<Backend>& current_device() {
  return accrete::Context<Backend>::current().device();
}

/// Gives storage another shape; what it holds is lost with the old one.
template <class Storage>
void set_shape(Storage& storage, Index rows, Index cols) {
  if constexpr (requires { storage.resize(rows, cols); }) {
    storage.resize(rows, cols);
  } else if (storage.rows() != rows || storage.cols() != cols) {
    storage = Storage(); // gives its memory back first
    storage = Storage(rows, cols);
  }
}

template <class Scalar, class Backend>
void fill(accrete::ViewOn<Scalar, Backend> view, Scalar value) {
  accrete::Kernels<Backend>::fill(current_device<Backend>(), value, view);
}

template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> constant_matrix(Index rows, Index cols, Scalar value) {
  Matrix<Scalar, Backend> result(rows, cols);
  fill<Scalar, Backend>(accrete::view_of(result), value);
  return result;
}
template <class Scalar, class Backend>
[[nodiscard]] Matrix<Scalar, Backend> zeros(Index rows, Index cols) {
  return constant_matrix<Scalar, Backend>(rows, cols, Scalar(0));
}
template <class Scalar, class Backend>
[[nodiscard]] Vector<Scalar, Backend> constant_vector(Index size, Scalar value) {
  Vector<Scalar, Backend> result(size, 1);
  fill<Scalar, Backend>(accrete::view_of(result), value);
  return result;
}

} // namespace gpt
