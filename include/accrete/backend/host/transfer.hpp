// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Copies between a dense column-major host array and the backend's memory, here host memory too.
struct HostTransfer {
  template <class Device, class Scalar>
  static void upload(Device&, const Scalar* host, View<Scalar> c) {
    for (Index j = 0; j < c.cols; ++j) {
      for (Index i = 0; i < c.rows; ++i) {
        c(i, j) = host[i + j * c.rows];
      }
    }
  }

  template <class Device, class Scalar>
  static void download(Device&, View<const Scalar> a, Scalar* host) {
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        host[i + j * a.rows] = a(i, j);
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
