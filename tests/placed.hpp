// SPDX-License-Identifier: MIT
#pragma once

#include "numerics.hpp"
#include "test_backend.hpp"

/// How the entries of a matrix lie in memory: by columns, by rows, or as a block of a larger
/// matrix.
enum class Layout : unsigned char { columns, rows, block };
inline constexpr Layout layouts[] = {Layout::columns, Layout::rows, Layout::block};

/// A matrix in the memory of the backend.
template <class Scalar>
class Placed {
 public:
  Placed(const Dense<Scalar>& value, Layout layout)
      : rows_(value.rows()),
        cols_(value.cols()),
        layout_(layout),
        memory_(on_backend(around(value))) {}

  [[nodiscard]] StoredView<Scalar> view() { return of(accrete::view_of(memory_)); }
  [[nodiscard]] StoredView<const Scalar> view() const { return of(accrete::view_of(memory_)); }
  [[nodiscard]] Dense<Scalar> value() const { return accrete::to_host(view()); }

  /// The entries are `expected`, and what lies around them is as it was.
  [[nodiscard]] bool is(const Dense<Scalar>& expected) const {
    return accrete::to_host(memory_) == around(expected);
  }

 private:
  [[nodiscard]] Dense<Scalar> around(const Dense<Scalar>& value) const {
    if (layout_ == Layout::rows) {
      return value.transpose();
    }
    if (layout_ == Layout::columns) {
      return value;
    }
    Dense<Scalar> larger = Dense<Scalar>::Constant(rows_ + 4, cols_ + 3, Scalar{7});
    larger.block(1, 2, rows_, cols_) = value;
    return larger;
  }
  template <class S, class Space>
  [[nodiscard]] accrete::View<S, Space> of(const accrete::View<S, Space>& memory) const {
    if (layout_ == Layout::rows) {
      return memory.transposed();
    }
    return layout_ == Layout::columns ? memory : memory.block(1, 2, rows_, cols_);
  }

  Eigen::Index rows_;
  Eigen::Index cols_;
  Layout layout_;
  Stored<Scalar> memory_;
};
