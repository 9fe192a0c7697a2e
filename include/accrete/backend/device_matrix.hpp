// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/memory.hpp>
#include <accrete/error.hpp>

#include <limits>
#include <new>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

template <class Backend>
class Context;

/// Dense column-major storage in the memory of a device: what Matrix<Scalar, Backend> is where
/// Eigen's own matrix cannot be. An operand and a destination of expressions; its entries are read
/// through to_host(). It remembers the memory that it came from and gives it back there, whatever
/// context is current by then.
template <class MatrixScalar, class MatrixBackend>
class DeviceMatrix {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using Space = typename Backend::Space;

  /// The 0 x 0 matrix.
  DeviceMatrix() = default;

  /// Uninitialised, in the memory of the given or the current context. @throws ShapeError for
  /// negative sizes, std::bad_alloc.
  DeviceMatrix(Context<Backend>& context, Index rows, Index cols)
      : memory_(context.device().memory()), rows_(rows), cols_(cols) {
    allocate();
  }
  DeviceMatrix(Index rows, Index cols) : DeviceMatrix(Context<Backend>::current(), rows, cols) {}

  /// In the memory of the current context, by whose device the entries are copied.
  DeviceMatrix(const DeviceMatrix& other) : DeviceMatrix(other.view()) {}
  /// Leaves the 0 x 0 matrix behind.
  DeviceMatrix(DeviceMatrix&& other) noexcept { swap(other); }
  DeviceMatrix& operator=(const DeviceMatrix& other) {
    if (this != &other) {
      DeviceMatrix copy(other);
      swap(copy);
    }
    return *this;
  }
  DeviceMatrix& operator=(DeviceMatrix&& other) noexcept {
    DeviceMatrix taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~DeviceMatrix() { memory_.deallocate(data_, bytes()); }

  /// A copy of what a view describes.
  explicit DeviceMatrix(View<const Scalar, Space> other) : DeviceMatrix(other.rows, other.cols) {
    copy_entries(other);
  }

  /// The value of an expression. Keeps the memory where the shape fits.
  template <class Node>
    requires requires { typename Node::IsLazyValue; }
  DeviceMatrix(const Node& node) // NOLINT(google-explicit-constructor): as Eigen's matrices
      : DeviceMatrix(node.rows(), node.cols()) {
    view() = node;
  }
  template <class Node>
    requires requires { typename Node::IsLazyValue; }
  DeviceMatrix& operator=(const Node& node) {
    if (node.rows() == rows_ && node.cols() == cols_) {
      view() = node;
      return *this;
    }
    DeviceMatrix value(node); // this one may be an operand
    swap(value);
    return *this;
  }
  /// @throws ShapeError where the shapes differ.
  template <class Node>
    requires requires { typename Node::IsLazyValue; }
  DeviceMatrix& operator+=(const Node& node) {
    view() += node;
    return *this;
  }
  template <class Node>
    requires requires { typename Node::IsLazyValue; }
  DeviceMatrix& operator-=(const Node& node) {
    view() -= node;
    return *this;
  }

  [[nodiscard]] Index rows() const noexcept { return rows_; }
  [[nodiscard]] Index cols() const noexcept { return cols_; }
  [[nodiscard]] Index size() const noexcept { return rows_ * cols_; }
  /// An address of the device.
  [[nodiscard]] Scalar* data() noexcept { return data_; }
  [[nodiscard]] const Scalar* data() const noexcept { return data_; }

  [[nodiscard]] View<Scalar, Space> view() noexcept {
    return dense_view<Space>(data_, rows_, cols_);
  }
  [[nodiscard]] View<const Scalar, Space> view() const noexcept {
    return dense_view<Space>(static_cast<const Scalar*>(data_), rows_, cols_);
  }
  // NOLINTNEXTLINE(google-explicit-constructor): as an Eigen matrix becomes a Ref
  operator View<Scalar, Space>() noexcept { return view(); }
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator View<const Scalar, Space>() const noexcept { return view(); }

  void swap(DeviceMatrix& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
  }

 private:
  [[nodiscard]] std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(size()) * sizeof(Scalar);
  }
  void allocate() {
    if (rows_ < 0 || cols_ < 0) {
      ACCRETE_THROW ShapeError(std::string("a ") + Backend::name + " matrix of " +
                               detail::shape_text(rows_, cols_) + ": sizes must not be negative");
    }
    constexpr auto most = (std::numeric_limits<Index>::max)() / static_cast<Index>(sizeof(Scalar));
    if (cols_ > 0 && rows_ > most / cols_) {
      ACCRETE_THROW std::bad_alloc();
    }
    data_ = static_cast<Scalar*>(memory_.allocate(bytes()));
  }
  void copy_entries(View<const Scalar, Space> from) {
    if (!from.empty()) {
      auto& device = Context<Backend>::current().device();
      detail::check_reachable(device, from);
      Kernels<Backend>::combine(device, Scalar{1}, from, Scalar{0}, view());
    }
  }

  Memory<Space> memory_;
  Scalar* data_ = nullptr;
  Index rows_ = 0;
  Index cols_ = 0;
};

template <class Scalar, class Backend>
[[nodiscard]] View<Scalar, typename Backend::Space>
view_of(DeviceMatrix<Scalar, Backend>& matrix) noexcept {
  return matrix.view();
}
template <class Scalar, class Backend>
[[nodiscard]] View<const Scalar, typename Backend::Space>
view_of(const DeviceMatrix<Scalar, Backend>& matrix) noexcept {
  return matrix.view();
}

namespace detail {

/// Storage of a backend that works in the memory of a device.
template <class Device>
struct DeviceStorage {
  using Space = Device;
  template <class Scalar>
  using Matrix = DeviceMatrix<Scalar, Device>;
  template <class Scalar>
  using MatrixView = View<Scalar, Space>;
  template <class Scalar>
  using ConstMatrixRef = View<const Scalar, Space>;

  template <class Scalar>
  static View<Scalar, Space> matrix_view(View<Scalar, Space> view) noexcept {
    return view;
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
