// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <memory>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class Destroy>
struct HandleOf;
template <class Status, class T>
struct HandleOf<Status (*)(T*)> {
  using type = T;
};

template <auto destroy>
struct CudaDestroy {
  template <class T>
  void operator()(T* handle) const noexcept {
    destroy(handle);
  }
};

/// A handle or descriptor of a library, and the call that gives it back.
template <auto destroy>
using CudaHandle =
    std::unique_ptr<typename HandleOf<decltype(destroy)>::type, CudaDestroy<destroy>>;

} // namespace detail

ACCRETE_END_NAMESPACE
