// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/matrix/host_copy.hpp>

#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

template <class View>
struct HostEntry;
template <class Entry>
struct HostEntry<View<Entry>> {
  using type = Entry;
};

/// The entries of what lies in host memory: an Eigen object, a View, a PinnedMatrix.
template <class Host>
using host_entry = typename HostEntry<decltype(view_of(std::declval<Host&>()))>::type;

template <class Host, class Backend>
using host_target = ViewOn<std::remove_const_t<host_entry<Host>>, Backend>;
template <class Host, class Backend>
using host_source = ViewOn<const std::remove_const_t<host_entry<Host>>, Backend>;

} // namespace detail

/// target <- a matrix in page-locked memory of the host (PinnedMatrix), in any order and with any
/// outer stride, without waiting: the copy comes after what the context has been given. Until the
/// context has been waited for (`check()`, or an event) the host must neither change nor free it.
/// @throws ShapeError where the shapes differ, ArgumentError for pageable memory.
template <class Backend, class Host>
  requires(!is_host_backend<Backend>)
void from_host_async(Context<Backend>& context, const Host& host,
                     std::type_identity_t<detail::host_target<const Host, Backend>> target) {
  const auto source = view_of(host);
  if (source.rows != target.rows || source.cols != target.cols) {
    detail::throw_shape_error("from_host_async", target.rows, target.cols, source.rows, source.cols,
                              "both matrices must have the same shape");
  }
  Kernels<Backend>::upload_async(context.device(), source, target);
}
/// The same into new storage of the context.
template <class Backend, class Host>
  requires(!is_host_backend<Backend>)
[[nodiscard]] Matrix<std::remove_const_t<detail::host_entry<const Host>>, Backend>
from_host_async(Context<Backend>& context, const Host& host) {
  const auto source = view_of(host);
  Matrix<std::remove_const_t<detail::host_entry<const Host>>, Backend> result(context, source.rows,
                                                                              source.cols);
  from_host_async(context, host, view_of(result));
  return result;
}

/// A matrix in page-locked memory of the host (PinnedMatrix), in any order and with any outer
/// stride, <- storage or a view of a device, without waiting: the copy comes after what the context
/// has been given. Until the context has been waited for (`check()`, or an event) the host must
/// neither read, change nor free `host`.
/// @throws ShapeError where the shapes differ, ArgumentError for pageable memory.
template <class Backend, class Host>
  requires(!is_host_backend<Backend>)
void to_host_async(Context<Backend>& context,
                   std::type_identity_t<detail::host_source<Host, Backend>> operand, Host&& host) {
  static_assert(!std::is_const_v<detail::host_entry<Host>>,
                "accrete: to_host_async() writes to a matrix of the host that is const; pass one "
                "that is not, or a block of such a one");
  const auto target = view_of(host);
  if (operand.rows != target.rows || operand.cols != target.cols) {
    detail::throw_shape_error("to_host_async", target.rows, target.cols, operand.rows, operand.cols,
                              "both matrices must have the same shape");
  }
  Kernels<Backend>::download_async(context.device(), operand, target);
}

ACCRETE_END_NAMESPACE
