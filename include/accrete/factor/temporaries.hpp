// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/workspace.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

// Temporaries of the factorisations, and the products that fill them.
namespace detail {

template <class Scalar, class Frame>
View<Scalar, typename Frame::Space> temporary(Frame& frame, Index rows, Index cols) {
  return frame.template matrix<Scalar>(rows, cols);
}

/// c = a b; zero where the inner dimension is.
template <class Backend, class Scalar>
void multiply(Device<Backend>& device, ViewOn<const Scalar, Backend> a,
              ViewOn<const Scalar, Backend> b, ViewOn<Scalar, Backend> c) {
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
void copy_into(Device<Backend>& device, ViewOn<const Scalar, Backend> a,
               ViewOn<Scalar, Backend> c) {
  if (!c.empty()) {
    Kernels<Backend>::combine(device, Scalar{1}, a, Scalar{0}, c);
  }
}

/// c(:, j) = factors[j] a(:, j); c may be a.
template <class Backend, class Scalar>
void scale_columns(Device<Backend>& device, ViewOn<const Scalar, Backend> a,
                   const std::vector<double>& factors, ViewOn<Scalar, Backend> c) {
  if (c.empty()) {
    return;
  }
  Workspace::Frame host(host_workspace());
  Scalar* const rounded = host.allocate<Scalar>(c.cols);
  for (Index j = 0; j < c.cols; ++j) {
    rounded[j] = static_cast<Scalar>(factors[static_cast<std::size_t>(j)]);
  }
  Frame<Backend> frame(device.workspace());
  const auto scales = temporary<Scalar>(frame, c.cols, 1);
  Kernels<Backend>::upload(device, rounded, scales);
  Kernels<Backend>::scale_columns(device, a, scales.as_const(), c);
}

/// Calls action(first, count) for pieces of some columns of a rows x cols matrix that stay in the
/// cache. None has more than piece_columns() columns.
[[nodiscard]] inline Index piece_columns(Index rows, Index cols) {
  constexpr Index piece_entries = Index{1} << 17;
  const Index width = (std::max<Index>)(piece_entries / (std::max<Index>)(rows, 1), 16);
  return (std::min)(width, cols);
}
template <class Action>
void for_each_piece(Index rows, Index cols, const Action& action) {
  const Index width = piece_columns(rows, cols);
  for (Index first = 0; first < cols; first += width) {
    action(first, (std::min)(width, cols - first));
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
