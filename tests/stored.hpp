// SPDX-License-Identifier: MIT
#pragma once

#include "numerics.hpp"
#include "test_backend.hpp"

/// Stored matrices of the tests and parts of them, as operands and destinations that host backends
/// get as Eigen objects and devices as views.
inline constexpr bool on_host = accrete::is_host_backend<TestBackend>;

/// The entries of random_matrix() in the memory of the backend.
template <class Scalar>
Stored<Scalar> random_stored(Eigen::Index rows, Eigen::Index cols, unsigned seed) {
  return on_backend(random_matrix<Scalar>(rows, cols, seed));
}

template <class Matrix>
auto block_of(Matrix&& matrix, Eigen::Index row, Eigen::Index col, Eigen::Index rows,
              Eigen::Index cols) {
  if constexpr (on_host) {
    return matrix.block(row, col, rows, cols);
  } else {
    return accrete::view_of(matrix).block(row, col, rows, cols);
  }
}
template <class Matrix>
auto columns_of(Matrix&& matrix, Eigen::Index first, Eigen::Index count) {
  if constexpr (on_host) {
    return matrix.middleCols(first, count);
  } else {
    return accrete::view_of(matrix).columns(first, count);
  }
}
/// The same memory in the other order.
template <class Matrix>
auto transpose_of(Matrix&& matrix) {
  if constexpr (on_host) {
    return matrix.transpose();
  } else {
    return accrete::view_of(matrix).transposed();
  }
}

/// Where the first entry lies.
template <class Matrix>
auto address_of(Matrix&& matrix) {
  return accrete::view_of(matrix).data;
}

/// Gives a matrix, or a part of one, the entries of a host matrix of its shape.
template <class Target, class Derived>
void set_entries(Target&& target, const Eigen::DenseBase<Derived>& values) {
  const Dense<typename Derived::Scalar> entries = values;
  if constexpr (on_host) {
    target = entries;
  } else {
    const auto view = accrete::view_of(target);
    REQUIRE(view.rows == entries.rows());
    REQUIRE(view.cols == entries.cols());
    write(view, entries);
  }
}
template <class Target, class Scalar>
void set_entry(Target&& target, Eigen::Index row, Eigen::Index col, Scalar value) {
  set_entries(block_of(target, row, col, 1, 1), Dense<Scalar>::Constant(1, 1, value));
}

/// All entries are equal, and the shapes.
template <class Left, class Right>
bool equal_entries(const Left& left, const Right& right) {
  const auto a = accrete::to_host(left);
  const auto b = accrete::to_host(right);
  return a.rows() == b.rows() && a.cols() == b.cols() && a == b;
}
