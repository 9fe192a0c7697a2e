// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/factor_space.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// c = a b; zero where the inner dimension is.
template <class Backend, class Scalar>
void product_into(Device<Backend>& device, View<const Scalar> a, View<const Scalar> b,
                  View<Scalar> c) {
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

/// Orthonormal columns that grow in both directions. When only rows come in, all earlier rows are
/// multiplied by one small matrix; for most of them that product is put off and accumulated, so
/// that n rows are not rewritten at every step. Nothing is inverted.
template <class Scalar, class Backend>
class LazyBasis {
 public:
  using Storage = Matrix<Scalar, Backend>;

  explicit LazyBasis(Index rows = 0) : storage_(rows, 0), rows_(rows) {}

  [[nodiscard]] Index rows() const noexcept { return rows_; }
  [[nodiscard]] Index cols() const noexcept { return cols_; }

  /// Room for rows x cols entries; at least doubles what has to grow.
  void reserve(Device<Backend>& device, Index rows, Index cols) {
    if (rows <= storage_.rows() && cols <= storage_.cols()) {
      return;
    }
    const auto grown = [](Index needed, Index held) {
      return needed <= held ? held : std::max(needed, 2 * held);
    };
    Storage larger(grown(rows, storage_.rows()), grown(cols, storage_.cols()));
    const Index width = std::max(cols_, pending_ > 0 ? rotation_.rows() : Index{0});
    copy_into<Backend, Scalar>(device, view_of(storage_).block(0, 0, rows_, width),
                               view_of(larger).block(0, 0, rows_, width));
    storage_ = std::move(larger);
  }

  /// The basis, rows x cols, with nothing put off.
  View<Scalar> settled(Device<Backend>& device) {
    if (pending_ > 0) {
      Frame<Backend> frame(device.workspace());
      const auto rotated = temporary<Scalar>(frame, pending_, cols_);
      product_into<Backend, Scalar>(device,
                                    view_of(storage_).block(0, 0, pending_, rotation_.rows()),
                                    view_of(rotation_), rotated);
      copy_into<Backend, Scalar>(device, rotated, view_of(storage_).block(0, 0, pending_, cols_));
      pending_ = 0;
    }
    return view_of(storage_).block(0, 0, rows_, cols_);
  }

  /// basis <- [basis, directions] * rotation, with p directions and a (cols + p) x k rotation.
  /// Needs settled() and reserve() before.
  void turn(Device<Backend>& device, View<const Scalar> directions, View<const Scalar> rotation) {
    Frame<Backend> frame(device.workspace());
    const auto turned = temporary<Scalar>(frame, rows_, rotation.cols);
    product_into<Backend, Scalar>(device, view_of(storage_).block(0, 0, rows_, cols_),
                                  rotation.block(0, 0, cols_, rotation.cols), turned);
    if (directions.cols > 0 && !turned.empty()) {
      Kernels<Backend>::gemm(device, Scalar{1}, directions,
                             rotation.block(cols_, 0, directions.cols, rotation.cols), Scalar{1},
                             turned);
    }
    cols_ = rotation.cols;
    copy_into<Backend, Scalar>(device, turned, view_of(storage_).block(0, 0, rows_, cols_));
  }

  /// basis <- [basis * rotation.top; rotation.bottom], a (cols + b) x k rotation for b new rows.
  /// Needs reserve() before.
  void append_rows(Device<Backend>& device, View<const Scalar> rotation) {
    const Index added = rotation.rows - cols_;
    const auto top = rotation.block(0, 0, cols_, rotation.cols);
    Frame<Backend> frame(device.workspace());
    if (pending_ == 0) {
      pending_ = rows_;
      rotation_.resize(cols_, rotation.cols);
      copy_into<Backend, Scalar>(device, top, view_of(rotation_));
    } else {
      const auto total = temporary<Scalar>(frame, rotation_.rows(), rotation.cols);
      product_into<Backend, Scalar>(device, view_of(rotation_), top, total);
      rotation_.resize(total.rows, total.cols);
      copy_into<Backend, Scalar>(device, total, view_of(rotation_));
      const Index recent = rows_ - pending_;
      const auto rotated = temporary<Scalar>(frame, recent, rotation.cols);
      product_into<Backend, Scalar>(device, view_of(storage_).block(pending_, 0, recent, cols_),
                                    top, rotated);
      copy_into<Backend, Scalar>(device, rotated,
                                 view_of(storage_).block(pending_, 0, recent, rotation.cols));
    }
    copy_into<Backend, Scalar>(device, rotation.block(cols_, 0, added, rotation.cols),
                               view_of(storage_).block(rows_, 0, added, rotation.cols));
    rows_ += added;
    cols_ = rotation.cols;
    if (rows_ - pending_ > 4 * std::max<Index>(cols_, 16)) {
      settled(device);
    }
  }

  /// Becomes `value`.
  void assign(Device<Backend>& device, View<const Scalar> value) {
    pending_ = 0;
    rows_ = 0;
    cols_ = 0;
    reserve(device, value.rows, value.cols);
    rows_ = value.rows;
    cols_ = value.cols;
    copy_into<Backend, Scalar>(device, value, view_of(storage_).block(0, 0, rows_, cols_));
  }

 private:
  Storage storage_;
  Storage rotation_; // of the first pending_ rows
  Index rows_ = 0;
  Index cols_ = 0;
  Index pending_ = 0;
};

/// block = basis * coefficients + directions * rest, up to `dropped` in the Frobenius norm;
/// directions are orthonormal and orthogonal to the basis. All in the caller's frame.
template <class Scalar>
struct Split {
  View<Scalar> coefficients;
  View<Scalar> directions;
  View<Scalar> rest;
  double norm = 0;
  double dropped = 0;
};

/// sqrt of a sum of squares that neither overflows nor underflows on the way.
template <class Scalar>
double safe_norm(const Scalar* values, Index count) {
  return Eigen::Map<const Eigen::Matrix<Scalar, Eigen::Dynamic, 1>>(values, count)
      .template cast<double>()
      .stableNorm();
}

/// Splits a block, block.cols <= block.rows, in two Gram-Schmidt passes. Between them an SVD of
/// the triangle drops the directions that are rounding noise, and the second pass acts on
/// normalised directions, so that small residuals come out orthogonal as well.
template <class Backend, class Scalar, class Frame>
Split<Scalar> split(Device<Backend>& device, Frame& frame, View<const Scalar> basis,
                    View<const Scalar> block) {
  using K = Kernels<Backend>;
  const Index rank = basis.cols;
  const Index count = block.cols;
  const auto subtract = [&](View<const Scalar> coefficients, View<Scalar> target) {
    if (rank > 0 && !target.empty()) {
      K::gemm(device, Scalar{-1}, basis, coefficients, Scalar{1}, target);
    }
  };
  Split<Scalar> result;
  result.coefficients = temporary<Scalar>(frame, rank, count);
  const auto residual = temporary<Scalar>(frame, block.rows, count);
  const auto triangle = temporary<Scalar>(frame, count, count);
  copy_into<Backend, Scalar>(device, block, residual);
  product_into<Backend, Scalar>(device, basis.transposed(), block, result.coefficients);
  subtract(result.coefficients, residual);
  K::thin_qr(device, residual, triangle);

  const auto left = temporary<Scalar>(frame, count, count);
  const auto right = temporary<Scalar>(frame, count, count);
  const auto values = temporary<Scalar>(frame, count, 1);
  K::svd(device, View<const Scalar>(triangle), left, values, right);
  Scalar* host = frame.template allocate<Scalar>(std::max(rank, Index{1}) * count + count);
  K::download(device, View<const Scalar>(values), host);
  K::download(device, View<const Scalar>(result.coefficients), host + count);
  result.norm = std::hypot(safe_norm(host, count), safe_norm(host + count, rank * count));
  const double noise = 8 * std::sqrt(static_cast<double>(count + rank)) *
                       static_cast<double>(std::numeric_limits<Scalar>::epsilon()) * result.norm;
  Index kept = std::min(count, block.rows - rank);
  while (kept > 0 && !(static_cast<double>(host[kept - 1]) > noise)) {
    --kept;
  }
  result.dropped = safe_norm(host + kept, count - kept);

  result.directions = temporary<Scalar>(frame, block.rows, kept);
  result.rest = temporary<Scalar>(frame, kept, count);
  if (kept == 0) {
    return result;
  }
  product_into<Backend, Scalar>(device, residual, left.left_columns(kept), result.directions);
  const auto scaled = temporary<Scalar>(frame, kept, count); // diag(values) rightᵀ
  product_into<Backend, Scalar>(device, left.left_columns(kept).transposed(), triangle, scaled);
  const auto inside = temporary<Scalar>(frame, rank, kept);
  const auto outside = temporary<Scalar>(frame, kept, kept);
  product_into<Backend, Scalar>(device, basis.transposed(), result.directions, inside);
  subtract(inside, result.directions);
  K::thin_qr(device, result.directions, outside);
  product_into<Backend, Scalar>(device, outside, scaled, result.rest);
  if (rank > 0) {
    K::gemm(device, Scalar{1}, View<const Scalar>(inside), View<const Scalar>(scaled), Scalar{1},
            result.coefficients);
  }
  return result;
}

} // namespace detail

ACCRETE_END_NAMESPACE
