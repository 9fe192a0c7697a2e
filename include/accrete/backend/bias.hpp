// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>

#include <string>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// @throws ShapeError unless `bias` has an entry for each row of c, one beside the other.
template <class A, class B, class Space>
void check_bias(const char* operation, const View<A, Space>& bias, const View<B, Space>& c) {
  if (bias.rows != c.rows || bias.cols != 1 || !bias.is_contiguous()) {
    ACCRETE_THROW ShapeError(std::string(operation) + ": a bias of " +
                             shape_text(bias.rows, bias.cols) + " with a matrix of " +
                             shape_text(c.rows, c.cols) + "; it is " + shape_text(c.rows, 1) +
                             ", its entries one beside the other");
  }
}

/// A bias as each of `cols` columns: the same memory, columns no entries apart.
template <class Scalar, class Space>
[[nodiscard]] View<const Scalar, Space> in_columns(const View<const Scalar, Space>& bias,
                                                   Index cols) noexcept {
  return {bias.data, bias.rows, cols, 0, Order::column_major};
}

} // namespace detail

/// c(:, j) += bias for each column j, bias m x 1 with its entries one beside the other. One pass
/// over c. @throws ShapeError
template <class Backend, class Scalar>
void add_to_columns(Device<Backend>& device, const ViewOn<const Scalar, Backend>& bias,
                    const ViewOn<Scalar, Backend>& c) {
  detail::check_bias("add_to_columns", bias, c);
  detail::check_reachable(device, bias, c);
  Kernels<Backend>::template combine<Scalar>(device, Scalar{1}, detail::in_columns(bias, c.cols),
                                             Scalar{1}, c);
}

ACCRETE_END_NAMESPACE
