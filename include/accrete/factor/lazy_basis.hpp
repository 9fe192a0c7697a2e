// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/temporaries.hpp>

#include <algorithm>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// A value and room beside it where the next one is made, so that nothing is copied back.
template <class Scalar, class Backend>
class DoubleBuffer {
 public:
  using Storage = Matrix<Scalar, Backend>;

  DoubleBuffer() = default;
  DoubleBuffer(const DoubleBuffer& other) : front_(other.front_) {}
  DoubleBuffer& operator=(const DoubleBuffer&) = delete;
  ~DoubleBuffer() = default;

  [[nodiscard]] ViewOn<Scalar, Backend> front() { return view_of(front_); }

  /// Room for rows x cols entries with any; what grows at least doubles.
  ViewOn<Scalar, Backend> back(Index rows, Index cols) {
    if (rows > back_.rows() || cols > back_.cols()) {
      const auto grown = [](Index needed, Index held) {
        return needed <= held ? held : (std::max)(needed, 2 * held);
      };
      back_ = Storage(grown(rows, (std::max)(front_.rows(), back_.rows())),
                      grown(cols, (std::max)(front_.cols(), back_.cols())));
    }
    return view_of(back_);
  }
  void flip() noexcept { front_.swap(back_); }

  /// The front gets room for rows x cols entries; its first `used` columns stay.
  void reserve(Device<Backend>& device, Index rows, Index used, Index cols) {
    if (cols > front_.cols()) {
      const ViewOn<Scalar, Backend> larger = back(rows, cols);
      copy_into<Backend, Scalar>(device, front().block(0, 0, rows, used),
                                 larger.block(0, 0, rows, used));
      flip();
    }
  }

  void swap(DoubleBuffer& other) noexcept {
    front_.swap(other.front_);
    back_.swap(other.back_);
  }

 private:
  Storage front_;
  Storage back_;
};

/// Orthonormal columns that grow in both directions.
///
/// An update multiplies all of them by a small matrix. Where it adds few directions, or rows only,
/// that product is deferred and accumulated: most rows of the basis are stored * rotation, the rows
/// that came later are explicit. So m rows are not rewritten at every step, and nothing is
/// inverted.
///
/// prepare_...() compute what the basis becomes, and commit() makes it so: where the computation
/// throws, the basis is what it was.
template <class Scalar, class Backend>
class LazyBasis {
 public:
  LazyBasis() = default;
  explicit LazyBasis(Index rows) : now_(explicit_shape(rows, 0)) {}
  LazyBasis(const LazyBasis&) = default;
  /// Leaves a 0 x 0 basis behind.
  LazyBasis(LazyBasis&& other) noexcept { swap(other); }
  LazyBasis& operator=(LazyBasis other) noexcept {
    swap(other);
    return *this;
  }
  ~LazyBasis() = default;

  [[nodiscard]] Index rows() const noexcept { return now_.stored_rows + now_.recent_rows; }
  [[nodiscard]] Index cols() const noexcept { return now_.cols; }

  /// The basis, rows x cols, with nothing deferred.
  ViewOn<Scalar, Backend> materialize(Device<Backend>& device) {
    if (now_.is_rotated || now_.recent_rows > 0) {
      const ViewOn<Scalar, Backend> target = stored_back(rows(), cols());
      const ViewOn<Scalar, Backend> top = target.block(0, 0, now_.stored_rows, cols());
      if (now_.is_rotated) {
        multiply<Backend, Scalar>(device, stored(), rotation(), top);
      } else {
        copy_into<Backend, Scalar>(device, stored(), top);
      }
      copy_into<Backend, Scalar>(device, recent(),
                                 target.block(now_.stored_rows, 0, now_.recent_rows, cols()));
      stored_.flip();
      now_ = explicit_shape(rows(), cols());
    }
    return stored();
  }

  /// coefficients = basisᵀ target; target -= basis coefficients.
  void project(Device<Backend>& device, ViewOn<Scalar, Backend> target,
               ViewOn<Scalar, Backend> coefficients) {
    if (cols() == 0) {
      return;
    }
    if (now_.recent_rows > 0) {
      materialize(device);
    }
    Frame<Backend> frame(device.workspace());
    ViewOn<Scalar, Backend> in_stored = coefficients;
    if (now_.is_rotated) {
      in_stored = temporary<Scalar>(frame, now_.stored_cols, target.cols);
    }
    multiply<Backend, Scalar>(device, stored().transposed(), target, in_stored);
    if (now_.is_rotated) {
      multiply<Backend, Scalar>(device, rotation().transposed(), in_stored, coefficients);
      multiply<Backend, Scalar>(device, rotation(), coefficients, in_stored);
    }
    Kernels<Backend>::gemm(device, Scalar{-1}, stored().as_const(), in_stored.as_const(), Scalar{1},
                           target);
  }

  /// basis <- [basis, directions] * rotation, with p directions and a (cols + p) x k rotation.
  void prepare_update(Device<Backend>& device, ViewOn<const Scalar, Backend> directions,
                      ViewOn<const Scalar, Backend> rotation) {
    const Index added = directions.cols;
    const auto top = rotation.block(0, 0, cols(), rotation.cols);
    const auto bottom = rotation.block(cols(), 0, added, rotation.cols);
    if (now_.recent_rows > 0) {
      materialize(device);
    }
    const Index width = now_.stored_cols + added;
    if (width - rotation.cols <= most_deferred(rotation.cols)) {
      stored_.reserve(device, rows(), now_.stored_cols, width);
      copy_into<Backend, Scalar>(device, directions,
                                 stored_.front().block(0, now_.stored_cols, rows(), added));
      prepare_rotation(device, top, bottom);
      next_ = {{rotation.cols, rows(), width, 0, true}, false, true, false};
      return;
    }
    const ViewOn<Scalar, Backend> basis = materialize(device);
    const ViewOn<Scalar, Backend> target = stored_back(rows(), rotation.cols);
    multiply<Backend, Scalar>(device, basis, top, target);
    if (added > 0 && !target.empty()) {
      Kernels<Backend>::gemm(device, Scalar{1}, directions, bottom, Scalar{1}, target);
    }
    next_ = {explicit_shape(rows(), rotation.cols), true, false, false};
  }

  /// basis <- [basis * rotation.top; rotation.bottom], a (cols + b) x k rotation for b new rows.
  void prepare_rows(Device<Backend>& device, ViewOn<const Scalar, Backend> rotation) {
    if (now_.recent_rows > 4 * std::max<Index>(cols(), 16)) {
      materialize(device);
    }
    const Index k = rotation.cols;
    const Index added = rotation.rows - cols();
    const Index before = now_.recent_rows;
    const auto top = rotation.block(0, 0, cols(), k);
    const ViewOn<Scalar, Backend> target = recent_.back(before + added, k);
    multiply<Backend, Scalar>(device, recent(), top, target.block(0, 0, before, k));
    copy_into<Backend, Scalar>(device, rotation.block(cols(), 0, added, k),
                               target.block(before, 0, added, k));
    prepare_rotation(device, top, top.block(0, 0, 0, k));
    next_ = {{k, now_.stored_rows, now_.stored_cols, before + added, true}, false, true, true};
  }

  void prepare_value(Device<Backend>& device, ViewOn<const Scalar, Backend> value) {
    copy_into<Backend, Scalar>(device, value, stored_back(value.rows, value.cols));
    next_ = {explicit_shape(value.rows, value.cols), true, false, false};
  }

  /// What was prepared last.
  void commit() noexcept {
    if (next_.flips_stored) {
      stored_.flip();
    }
    if (next_.flips_rotation) {
      rotation_.flip();
    }
    if (next_.flips_recent) {
      recent_.flip();
    }
    now_ = next_.shape;
  }

 private:
  struct Shape {
    Index cols = 0;
    Index stored_rows = 0; // the first rows: stored, or stored * rotation
    Index stored_cols = 0; // more than cols where directions are deferred
    Index recent_rows = 0; // the rows after them
    bool is_rotated = false;
  };
  struct Change {
    Shape shape;
    bool flips_stored = false;
    bool flips_rotation = false;
    bool flips_recent = false;
  };

  static Shape explicit_shape(Index rows, Index cols) noexcept {
    return {cols, rows, cols, 0, false};
  }
  /// Directions that may wait: each makes projections dearer, each wait saves a product.
  static constexpr Index most_deferred(Index cols) noexcept {
    return std::min<Index>(cols / 4, 32);
  }

  void swap(LazyBasis& other) noexcept {
    stored_.swap(other.stored_);
    rotation_.swap(other.rotation_);
    recent_.swap(other.recent_);
    std::swap(now_, other.now_);
    std::swap(next_, other.next_);
  }
  [[nodiscard]] ViewOn<Scalar, Backend> stored() {
    return stored_.front().block(0, 0, now_.stored_rows, now_.stored_cols);
  }
  [[nodiscard]] ViewOn<Scalar, Backend> rotation() {
    return rotation_.front().block(0, 0, now_.stored_cols, now_.cols);
  }
  [[nodiscard]] ViewOn<Scalar, Backend> recent() {
    return recent_.front().block(0, 0, now_.recent_rows, now_.cols);
  }
  /// With room for directions that will be deferred.
  ViewOn<Scalar, Backend> stored_back(Index rows, Index cols) {
    return stored_.back(rows, cols + most_deferred(cols)).block(0, 0, rows, cols);
  }

  /// The next rotation is [rotation * top; bottom], where top has cols() rows; the bottom rows are
  /// for directions that were stored beside the basis.
  void prepare_rotation(Device<Backend>& device, ViewOn<const Scalar, Backend> top,
                        ViewOn<const Scalar, Backend> bottom) {
    const Index width = now_.stored_cols;
    const ViewOn<Scalar, Backend> target = rotation_.back(width + bottom.rows, top.cols);
    const ViewOn<Scalar, Backend> upper = target.block(0, 0, width, top.cols);
    if (now_.is_rotated) {
      multiply<Backend, Scalar>(device, rotation(), top, upper);
    } else {
      copy_into<Backend, Scalar>(device, top, upper);
    }
    copy_into<Backend, Scalar>(device, bottom, target.block(width, 0, bottom.rows, top.cols));
  }

  DoubleBuffer<Scalar, Backend> stored_;
  DoubleBuffer<Scalar, Backend> rotation_;
  DoubleBuffer<Scalar, Backend> recent_;
  Shape now_;
  Change next_;
};

} // namespace detail

ACCRETE_END_NAMESPACE
