// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

enum class Order : unsigned char { column_major, row_major };

/// Memory that the host reads and writes. The memory of a device is a space of its own, named by
/// the backend's tag.
struct HostSpace {};

/// Non-owning rows x cols matrix in a backend's memory; all that a kernel knows of an operand.
/// Entries can be read one by one in host memory alone.
///
/// `stride` is the leading dimension: the distance between columns (column_major) or rows
/// (row_major). A transposed view is the same memory in the other order, so no kernel needs a
/// transposition flag.
template <class Scalar, class Space = HostSpace>
struct View {
  Scalar* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;
  Order order = Order::column_major;

  [[nodiscard]] constexpr Index size() const noexcept { return rows * cols; }
  [[nodiscard]] constexpr bool empty() const noexcept { return rows == 0 || cols == 0; }
  [[nodiscard]] constexpr bool is_column_major() const noexcept {
    return order == Order::column_major;
  }
  /// All entries lie in one run of memory.
  [[nodiscard]] constexpr bool is_contiguous() const noexcept {
    return empty() ||
           (is_column_major() ? stride == rows || cols == 1 : stride == cols || rows == 1);
  }
  [[nodiscard]] constexpr Index row_step() const noexcept { return is_column_major() ? 1 : stride; }
  [[nodiscard]] constexpr Index col_step() const noexcept { return is_column_major() ? stride : 1; }
  [[nodiscard]] constexpr Scalar& operator()(Index i, Index j) const noexcept {
    static_assert(std::is_same_v<Space, HostSpace>,
                  "accrete: the host cannot read an entry of a device's memory; copy the matrix "
                  "with to_host() and read it there");
    return data[i * row_step() + j * col_step()];
  }

  /// The same entries, read only.
  [[nodiscard]] constexpr View<const Scalar, Space> as_const() const noexcept {
    return {data, rows, cols, stride, order};
  }
  [[nodiscard]] constexpr View transposed() const noexcept {
    return {data, cols, rows, stride, is_column_major() ? Order::row_major : Order::column_major};
  }
  [[nodiscard]] constexpr View block(Index i, Index j, Index block_rows,
                                     Index block_cols) const noexcept {
    return {data + i * row_step() + j * col_step(), block_rows, block_cols, stride, order};
  }
  [[nodiscard]] constexpr View columns(Index first, Index count) const noexcept {
    return block(0, first, rows, count);
  }
  [[nodiscard]] constexpr View left_columns(Index count) const noexcept {
    return columns(0, count);
  }

  /// One past the last entry's address, for overlap checks.
  [[nodiscard]] constexpr Scalar* end() const noexcept {
    return empty() ? data : data + (rows - 1) * row_step() + (cols - 1) * col_step() + 1;
  }

  /// `view = expression` and `+=`, `-=` write these entries, as for an Eigen::Map. A view that is
  /// assigned to a view takes its place.
  template <class Node>
    requires(!std::is_const_v<Scalar>) && requires { typename Node::IsLazyValue; }
  const View& operator=(const Node& node) const {
    return assign(node, 1, 0);
  }
  template <class Node>
    requires(!std::is_const_v<Scalar>) && requires { typename Node::IsLazyValue; }
  const View& operator+=(const Node& node) const {
    return assign(node, 1, 1);
  }
  template <class Node>
    requires(!std::is_const_v<Scalar>) && requires { typename Node::IsLazyValue; }
  const View& operator-=(const Node& node) const {
    return assign(node, -1, 1);
  }

  // NOLINTNEXTLINE(google-explicit-constructor): a view of non-const is a view of const
  constexpr operator View<const Scalar, Space>() const noexcept
    requires(!std::is_const_v<Scalar>)
  {
    return as_const();
  }

 private:
  template <class Node>
  const View& assign(const Node& node, int alpha, int beta) const {
    using Value = typename Node::Scalar;
    assign_expression(node, *this, static_cast<Value>(alpha), static_cast<Value>(beta));
    return *this;
  }
};

/// A dense column-major view of `rows * cols` scalars at `data`; `dense_view<Cuda>(…)` in the
/// memory of that device.
template <class Space = HostSpace, class Scalar>
[[nodiscard]] constexpr View<Scalar, Space> dense_view(Scalar* data, Index rows,
                                                       Index cols) noexcept {
  return {data, rows, cols, rows, Order::column_major};
}

/// The two views share at least one byte of their extents (conservative for interleaved blocks).
template <class A, class B, class Space>
[[nodiscard]] bool overlaps(const View<A, Space>& a, const View<B, Space>& b) noexcept {
  if (a.empty() || b.empty()) {
    return false;
  }
  const auto first = [](const auto& v) { return reinterpret_cast<std::uintptr_t>(v.data); };
  const auto last = [](const auto& v) { return reinterpret_cast<std::uintptr_t>(v.end()); };
  return first(a) < last(b) && first(b) < last(a);
}

namespace detail {

/// A span of `size` values. Its constructor has constraints that take long to check: behind this
/// template they are checked where a span is made, not in every file that includes its maker.
template <class T>
std::span<T> span_of(T* data, Index size) noexcept {
  return {data, static_cast<std::size_t>(size)};
}

/// The object lies in memory and a View can describe it: unit inner stride, or a vector.
template <class Derived>
inline constexpr bool is_viewable =
    (static_cast<int>(Derived::Flags) & Eigen::DirectAccessBit) != 0 &&
    (static_cast<int>(Derived::InnerStrideAtCompileTime) == 1 ||
     static_cast<int>(Derived::IsVectorAtCompileTime) != 0);

template <class Derived>
auto view_of_direct(Derived& m) noexcept {
  using Object = std::remove_const_t<Derived>;
  static_assert(is_viewable<Object>,
                "accrete: a view needs memory with unit inner stride; evaluate the expression or "
                "use a column block");
  if constexpr (is_viewable<Object>) {
    using Result = View<std::remove_pointer_t<decltype(m.data())>>;
    if constexpr (Object::RowsAtCompileTime == 1) {
      return Result{m.data(), 1, m.cols(), m.innerStride(), Order::column_major};
    } else if constexpr (Object::ColsAtCompileTime == 1) {
      const bool dense = m.innerStride() == 1;
      return Result{m.data(), m.rows(), 1, dense ? m.rows() : m.innerStride(),
                    dense ? Order::column_major : Order::row_major};
    } else {
      return Result{m.data(), m.rows(), m.cols(), m.outerStride(),
                    Object::IsRowMajor ? Order::row_major : Order::column_major};
    }
  }
}

} // namespace detail

/// View of an Eigen object that lies in memory: matrix, vector, block of columns or rows, Map, Ref,
/// transpose of one. The entries are writable where the object's are.
template <class Derived>
[[nodiscard]] auto view_of(const Eigen::DenseBase<Derived>& m) noexcept {
  return detail::view_of_direct(m.derived());
}
template <class Derived>
[[nodiscard]] auto view_of(Eigen::DenseBase<Derived>& m) noexcept {
  return detail::view_of_direct(m.derived());
}
template <class Derived>
[[nodiscard]] auto view_of(Eigen::DenseBase<Derived>&& m) noexcept {
  return detail::view_of_direct(m.derived());
}
template <class Scalar, class Space>
[[nodiscard]] View<Scalar, Space> view_of(View<Scalar, Space> view) noexcept {
  return view;
}

ACCRETE_END_NAMESPACE
