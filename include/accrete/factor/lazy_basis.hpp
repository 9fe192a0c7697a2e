// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/temporaries.hpp>

#include <algorithm>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// A basis as stored * rotation; the rotation is null where it is the identity.
template <class Scalar>
struct BasisView {
  View<const Scalar> stored;
  View<const Scalar> rotation;

  [[nodiscard]] Index rows() const noexcept { return stored.rows; }
  [[nodiscard]] Index cols() const noexcept {
    return rotation.data != nullptr ? rotation.cols : stored.cols;
  }
};

/// Orthonormal columns that grow in both directions.
///
/// An update multiplies all of them by a small matrix. Where it adds few directions, or rows only,
/// that product is put off and accumulated: for most rows the basis is stored * rotation, the rows
/// that came later are explicit. So m rows are not rewritten at every step, and nothing is
/// inverted.
template <class Scalar, class Backend>
class LazyBasis {
 public:
  using Storage = Matrix<Scalar, Backend>;

  LazyBasis() = default;
  explicit LazyBasis(Index rows) : storage_(rows, 0), rows_(rows) {}
  LazyBasis(const LazyBasis&) = default;
  /// Leaves a 0 x 0 basis behind.
  LazyBasis(LazyBasis&& other) noexcept { swap(other); }
  LazyBasis& operator=(LazyBasis other) noexcept {
    swap(other);
    return *this;
  }
  ~LazyBasis() = default;

  [[nodiscard]] Index rows() const noexcept { return rows_; }
  [[nodiscard]] Index cols() const noexcept { return cols_; }

  /// Room for rows x cols entries, beside directions that are put off; at least doubles what grows.
  void reserve(Device<Backend>& device, Index rows, Index cols) {
    cols += most_pending(cols);
    if (rows <= storage_.rows() && cols <= storage_.cols()) {
      return;
    }
    const auto grown = [](Index needed, Index held) {
      return needed <= held ? held : (std::max)(needed, 2 * held);
    };
    Storage larger(grown(rows, storage_.rows()), grown(cols, storage_.cols()));
    const Index width = (std::max)(cols_, stored_width());
    copy_into<Backend, Scalar>(device, all().block(0, 0, rows_, width),
                               view_of(larger).block(0, 0, rows_, width));
    storage_ = std::move(larger);
    spare_ = Storage();
  }

  /// The basis, rows x cols, with nothing put off.
  View<Scalar> settled(Device<Backend>& device) {
    if (pending_ > 0) {
      const auto target = spare();
      multiply<Backend, Scalar>(device, all().block(0, 0, pending_, width_), rotation(),
                                target.block(0, 0, pending_, cols_));
      copy_into<Backend, Scalar>(device, all().block(pending_, 0, rows_ - pending_, cols_),
                                 target.block(pending_, 0, rows_ - pending_, cols_));
      std::swap(storage_, spare_);
      pending_ = 0;
    }
    return all().block(0, 0, rows_, cols_);
  }

  /// The basis without the work of settled() where only directions were put off.
  BasisView<Scalar> current(Device<Backend>& device) {
    if (pending_ > 0 && pending_ == rows_) {
      return {all().block(0, 0, rows_, width_), rotation()};
    }
    return {settled(device), {}};
  }

  /// basis <- [basis, directions] * rotation, with p directions and a (cols + p) x k rotation.
  /// Needs current() and reserve() before.
  void turn(Device<Backend>& device, View<const Scalar> directions, View<const Scalar> rotation) {
    const Index added = directions.cols;
    if (stored_width() + added - rotation.cols <= most_pending(rotation.cols)) {
      copy_into<Backend, Scalar>(device, directions, all().block(0, stored_width(), rows_, added));
      accumulate(device, rotation.block(0, 0, cols_, rotation.cols),
                 rotation.block(cols_, 0, added, rotation.cols));
      return;
    }
    const auto basis = settled(device);
    const auto turned = spare().block(0, 0, rows_, rotation.cols);
    multiply<Backend, Scalar>(device, basis, rotation.block(0, 0, cols_, rotation.cols), turned);
    if (added > 0 && !turned.empty()) {
      Kernels<Backend>::gemm(device, Scalar{1}, directions,
                             rotation.block(cols_, 0, added, rotation.cols), Scalar{1}, turned);
    }
    cols_ = rotation.cols;
    std::swap(storage_, spare_);
  }

  /// basis <- [basis * rotation.top; rotation.bottom], a (cols + b) x k rotation for b new rows.
  /// Needs reserve() before.
  void append_rows(Device<Backend>& device, View<const Scalar> rotation) {
    const Index added = rotation.rows - cols_;
    const Index recent = pending_ > 0 ? rows_ - pending_ : 0;
    const auto top = rotation.block(0, 0, cols_, rotation.cols);
    Frame<Backend> frame(device.workspace());
    const auto rotated = temporary<Scalar>(frame, recent, rotation.cols);
    multiply<Backend, Scalar>(device, all().block(pending_, 0, recent, cols_), top, rotated);
    copy_into<Backend, Scalar>(device, rotated, all().block(pending_, 0, recent, rotation.cols));
    accumulate(device, top, top.block(0, 0, 0, top.cols));
    copy_into<Backend, Scalar>(device, rotation.block(top.rows, 0, added, rotation.cols),
                               all().block(rows_, 0, added, rotation.cols));
    rows_ += added;
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
    copy_into<Backend, Scalar>(device, value, all().block(0, 0, rows_, cols_));
  }

 private:
  /// Directions that may wait: each makes projections dearer, each wait saves a product.
  static constexpr Index most_pending(Index cols) noexcept { return std::min<Index>(cols / 4, 32); }

  void swap(LazyBasis& other) noexcept {
    storage_.swap(other.storage_);
    spare_.swap(other.spare_);
    rotation_.swap(other.rotation_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
    std::swap(pending_, other.pending_);
    std::swap(width_, other.width_);
  }
  [[nodiscard]] View<Scalar> all() { return view_of(storage_); }
  [[nodiscard]] Index stored_width() const noexcept { return pending_ > 0 ? width_ : cols_; }
  View<Scalar> spare() {
    if (spare_.rows() != storage_.rows() || spare_.cols() != storage_.cols()) {
      spare_ = Storage(storage_.rows(), storage_.cols());
    }
    return view_of(spare_);
  }

  [[nodiscard]] View<Scalar> rotation() { return view_of(rotation_).block(0, 0, width_, cols_); }

  /// rotation() <- [rotation() * top; bottom], where top has cols_ rows; the bottom rows are for
  /// directions that were stored beside the basis. All rows become pending where none was.
  void accumulate(Device<Backend>& device, View<const Scalar> top, View<const Scalar> bottom) {
    const Index width = stored_width();
    Frame<Backend> frame(device.workspace());
    const auto total = temporary<Scalar>(frame, width, top.cols);
    if (pending_ > 0) {
      multiply<Backend, Scalar>(device, rotation(), top, total);
    } else {
      copy_into<Backend, Scalar>(device, top, total);
      pending_ = rows_;
    }
    width_ = width + bottom.rows;
    cols_ = top.cols;
    if (rotation_.rows() < width_ || rotation_.cols() < cols_) {
      const Index side = (std::max)(width_, cols_) + most_pending(cols_);
      rotation_ = Storage(side, side);
    }
    copy_into<Backend, Scalar>(device, total, rotation().block(0, 0, width, cols_));
    copy_into<Backend, Scalar>(device, bottom, rotation().block(width, 0, bottom.rows, cols_));
  }

  Storage storage_;
  Storage spare_; // the next storage, so that nothing is copied back
  Storage rotation_;
  Index rows_ = 0;
  Index cols_ = 0;
  Index pending_ = 0; // rows, from the first on, that are stored * rotation
  Index width_ = 0;   // columns that are stored for them
};

} // namespace detail

ACCRETE_END_NAMESPACE
