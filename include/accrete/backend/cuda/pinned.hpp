// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/cuda/memory.hpp>

#include <Eigen/Core>

#include <limits>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// Dense column-major matrix in page-locked memory of the host, from which a GPU reads and to which
/// it writes while the host goes on: what from_host_async() and to_host_async() copy. Allocating
/// and freeing it takes long and may wait for all GPUs, so it is made once and filled many times.
///
/// It must live, and the host keep away from what is copied, until the stream has been waited for.
template <class MatrixScalar>
class PinnedMatrix {
 public:
  using Scalar = MatrixScalar;

  /// The 0 x 0 matrix.
  PinnedMatrix() = default;
  /// Uninitialised. @throws ShapeError for negative sizes, CudaOutOfMemory, CudaError.
  PinnedMatrix(Index rows, Index cols) : rows_(rows), cols_(cols) {
    if (rows < 0 || cols < 0) {
      ACCRETE_THROW ShapeError("a pinned matrix of " + detail::shape_text(rows, cols) +
                               ": sizes must not be negative");
    }
    constexpr auto most = (std::numeric_limits<Index>::max)() / static_cast<Index>(sizeof(Scalar));
    if (cols > 0 && rows > most / cols) {
      ACCRETE_THROW std::bad_alloc();
    }
    data_ = static_cast<Scalar*>(
        detail::allocate_pinned(static_cast<std::size_t>(size()) * sizeof(Scalar)));
  }
  PinnedMatrix(const PinnedMatrix&) = delete;
  /// Leaves the 0 x 0 matrix behind.
  PinnedMatrix(PinnedMatrix&& other) noexcept { swap(other); }
  PinnedMatrix& operator=(const PinnedMatrix&) = delete;
  PinnedMatrix& operator=(PinnedMatrix&& other) noexcept {
    PinnedMatrix taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~PinnedMatrix() { detail::free_pinned(data_); }

  [[nodiscard]] Index rows() const noexcept { return rows_; }
  [[nodiscard]] Index cols() const noexcept { return cols_; }
  [[nodiscard]] Index size() const noexcept { return rows_ * cols_; }
  [[nodiscard]] Scalar* data() noexcept { return data_; }
  [[nodiscard]] const Scalar* data() const noexcept { return data_; }

  /// As an Eigen matrix, whose blocks can be copied too.
  [[nodiscard]] auto map() noexcept { return HostStorage::matrix_view<Scalar>(view()); }
  [[nodiscard]] auto map() const noexcept { return HostStorage::matrix_view<const Scalar>(view()); }
  [[nodiscard]] View<Scalar> view() noexcept { return dense_view(data_, rows_, cols_); }
  [[nodiscard]] View<const Scalar> view() const noexcept {
    return dense_view(static_cast<const Scalar*>(data_), rows_, cols_);
  }

  void swap(PinnedMatrix& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
  }

 private:
  using HostStorage = detail::HostStorage;

  Scalar* data_ = nullptr;
  Index rows_ = 0;
  Index cols_ = 0;
};

template <class Scalar>
[[nodiscard]] View<Scalar> view_of(PinnedMatrix<Scalar>& matrix) noexcept {
  return matrix.view();
}
template <class Scalar>
[[nodiscard]] View<const Scalar> view_of(const PinnedMatrix<Scalar>& matrix) noexcept {
  return matrix.view();
}

ACCRETE_END_NAMESPACE
