// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/workspace.hpp>

#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

// Temporaries of the factorisations, and the products that fill them.
namespace detail {

template <class Backend>
using Frame =
    typename std::remove_cvref_t<decltype(std::declval<Device<Backend>&>().workspace())>::Frame;

template <class Scalar, class Frame>
View<Scalar> temporary(Frame& frame, Index rows, Index cols) {
  return dense_view(frame.template allocate<Scalar>(rows * cols), rows, cols);
}

/// c = a b; zero where the inner dimension is.
template <class Backend, class Scalar>
void multiply(Device<Backend>& device, View<const Scalar> a, View<const Scalar> b, View<Scalar> c) {
  if (c.empty()) {
    return;
  }
  if (a.cols == 0) {
    Kernels<Backend>::fill(device, Scalar{0}, c);
  } else {
    Kernels<Backend>::gemm(device, Scalar{1}, a, b, Scalar{0}, c);
  }
}

template <class Backend, class Scalar>
void copy_into(Device<Backend>& device, View<const Scalar> a, View<Scalar> c) {
  if (!c.empty()) {
    Kernels<Backend>::combine(device, Scalar{1}, a, Scalar{0}, c);
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
