// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/device_matrix.hpp>
#include <accrete/expr/expression.hpp>

#include <cstdio>
#include <memory>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

[[noreturn]] inline void throw_resized(Index old_rows, Index old_cols, Index rows, Index cols) {
  char text[256];
  std::snprintf(text, sizeof text,
                "an operand was %td x %td when the expression was built and is %td x %td "
                "now; build the expression anew, or assign expression.eval() when the operand is "
                "the destination too",
                old_rows, old_cols, rows, cols);
  ACCRETE_THROW ShapeError(text);
}

/// How a matrix is read.
template <class Object>
using const_view = decltype(view_of(std::declval<const Object&>()));

/// A named matrix: read again at evaluation, so a resize in between is noticed.
template <class Object>
class ReferencedObject {
 public:
  using Scalar = typename Object::Scalar;
  static constexpr int rows_at_compile_time = Object::RowsAtCompileTime;
  static constexpr int cols_at_compile_time = Object::ColsAtCompileTime;

  explicit ReferencedObject(const Object& object)
      : object_(&object), rows_(object.rows()), cols_(object.cols()) {}
  [[nodiscard]] Index rows() const noexcept { return rows_; }
  [[nodiscard]] Index cols() const noexcept { return cols_; }
  [[nodiscard]] const_view<Object> view() const {
    if (object_->rows() != rows_ || object_->cols() != cols_) {
      throw_resized(rows_, cols_, object_->rows(), object_->cols());
    }
    return view_of(*object_);
  }

 private:
  const Object* object_;
  Index rows_;
  Index cols_;
};

/// A temporary that was moved in; copies of the node share it.
template <class Object>
class OwnedObject {
 public:
  using Scalar = typename Object::Scalar;
  static constexpr int rows_at_compile_time = Object::RowsAtCompileTime;
  static constexpr int cols_at_compile_time = Object::ColsAtCompileTime;

  explicit OwnedObject(Object&& object)
      : object_(std::make_shared<const Object>(std::move(object))) {}
  [[nodiscard]] Index rows() const noexcept { return object_->rows(); }
  [[nodiscard]] Index cols() const noexcept { return object_->cols(); }
  [[nodiscard]] const_view<Object> view() const noexcept { return view_of(*object_); }

 private:
  std::shared_ptr<const Object> object_;
};

/// Memory described by a view: block, Map, Ref.
template <class ViewScalar, class Space, int Rows, int Cols>
class ViewedMemory {
 public:
  using Scalar = ViewScalar;
  static constexpr int rows_at_compile_time = Rows;
  static constexpr int cols_at_compile_time = Cols;

  explicit ViewedMemory(View<const Scalar, Space> view) : view_(view) {}
  [[nodiscard]] Index rows() const noexcept { return view_.rows; }
  [[nodiscard]] Index cols() const noexcept { return view_.cols; }
  [[nodiscard]] View<const Scalar, Space> view() const noexcept { return view_; }

 private:
  View<const Scalar, Space> view_;
};

/// Storage of a named matrix, or its first columns, of which the matrix keeps the number: read
/// again at evaluation, so a growth in between is noticed. Or memory that is no such storage.
template <class Storage>
class ReferencedColumns {
 public:
  using Scalar = typename Storage::Scalar;
  static constexpr int rows_at_compile_time = Eigen::Dynamic;
  static constexpr int cols_at_compile_time = Eigen::Dynamic;

  explicit ReferencedColumns(const Storage& storage)
      : storage_(&storage), view_(view_of(storage)) {}
  /// The first `count` columns; their number is read where it lies.
  ReferencedColumns(const Storage& storage, const Index& count)
      : storage_(&storage), count_(&count), view_(view_of(storage).left_columns(count)) {}
  explicit ReferencedColumns(const_view<Storage> view) : view_(view) {}
  [[nodiscard]] Index rows() const noexcept { return view_.rows; }
  [[nodiscard]] Index cols() const noexcept { return view_.cols; }
  [[nodiscard]] const_view<Storage> view() const {
    if (storage_ == nullptr) {
      return view_;
    }
    const Index count = count_ == nullptr ? storage_->cols() : *count_;
    if (storage_->rows() != view_.rows || count != view_.cols) {
      throw_resized(view_.rows, view_.cols, storage_->rows(), count);
    }
    return view_of(*storage_).left_columns(count);
  }

 private:
  const Storage* storage_ = nullptr;
  const Index* count_ = nullptr;
  const_view<Storage> view_; ///< as it was when the expression was built
};

/// The first columns of a storage that a moved-in matrix owned; copies of the node share it.
template <class Storage>
class OwnedColumns {
 public:
  using Scalar = typename Storage::Scalar;
  static constexpr int rows_at_compile_time = Eigen::Dynamic;
  static constexpr int cols_at_compile_time = Eigen::Dynamic;

  OwnedColumns(Storage&& storage, Index cols)
      : storage_(std::make_shared<const Storage>(std::move(storage))), cols_(cols) {}
  [[nodiscard]] Index rows() const noexcept { return storage_->rows(); }
  [[nodiscard]] Index cols() const noexcept { return cols_; }
  [[nodiscard]] const_view<Storage> view() const noexcept {
    return view_of(*storage_).left_columns(cols_);
  }

 private:
  std::shared_ptr<const Storage> storage_;
  Index cols_;
};

} // namespace detail

/// Leaf: a dense matrix, viewed or owned.
template <class Holder, class LeafBackend = detail::AnyHost>
class Dense : public Expression<Dense<Holder, LeafBackend>> {
 public:
  using Stored = typename Holder::Scalar;     ///< scalar of the operands
  using Scalar = detail::accumulator<Stored>; ///< scalar of the value
  using Backend = LeafBackend;
  static constexpr int leaf_count = 1;
  static constexpr int coefficient_count = 0;

  explicit Dense(Holder holder) : holder_(std::move(holder)) {}
  [[nodiscard]] Index rows() const noexcept { return holder_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return holder_.cols(); }
  [[nodiscard]] ViewOn<const Stored, Backend> view() const { return holder_.view(); }

 private:
  Holder holder_;
};

namespace detail {

template <class T>
concept EigenDense =
    std::is_base_of_v<Eigen::DenseBase<std::remove_cvref_t<T>>, std::remove_cvref_t<T>>;

/// LowRankMatrix, CumulativeUpdate: not nodes, but expandable into some.
template <class T>
concept Expandable = requires(T&& object) {
  { std::forward<T>(object).expression() } -> ExpressionNode;
};

template <class T>
inline constexpr bool is_view = false;
template <class Scalar, class Space>
inline constexpr bool is_view<View<Scalar, Space>> = true;

/// Storage of a device.
template <class T>
inline constexpr bool is_device_matrix = false;
template <class Scalar, class Backend>
inline constexpr bool is_device_matrix<DeviceMatrix<Scalar, Backend>> = true;

/// The backend of what lies in a memory space, where `Backend` was asked for.
template <class Space, class Backend>
struct BackendIn {
  static_assert(std::is_same_v<Backend, AnyHost> || std::is_same_v<Backend, Space>,
                "accrete: the operand lies in the memory of another device than the backend's; "
                "copy it first");
  using type = Space;
};
template <class Backend>
struct BackendIn<HostSpace, Backend> {
  static_assert(is_host_backend<Backend>,
                "accrete: the operand lies in host memory, which this backend does not read; copy "
                "it with from_host<Backend>() first");
  using type = Backend;
};

template <class T>
concept LazyOperand = ExpressionNode<T> || is_view<std::remove_cvref_t<T>> ||
                      is_device_matrix<std::remove_cvref_t<T>> || Expandable<T>;

template <class T>
concept Operand = LazyOperand<T> || EigenDense<T>;

/// A product of two Eigen matrices that is not evaluated yet.
template <class T>
inline constexpr bool is_eigen_product = false;
template <class Left, class Right>
inline constexpr bool is_eigen_product<Eigen::Product<Left, Right, Eigen::DefaultProduct>> =
    EigenDense<Left> && EigenDense<Right>;

template <class Backend, class Scalar, class Space>
auto lift_view(const View<Scalar, Space>& view) {
  using Memory = ViewedMemory<std::remove_const_t<Scalar>, Space, Eigen::Dynamic, Eigen::Dynamic>;
  return Dense<Memory, typename BackendIn<Space, Backend>::type>(Memory(view));
}

/// Named operands become views, temporaries are moved in, unevaluated Eigen expressions are
/// evaluated here and once.
template <class Backend = AnyHost, Operand T>
auto lift(T&& operand) {
  using Object = std::remove_cvref_t<T>;
  if constexpr (ExpressionNode<T>) {
    return Object(std::forward<T>(operand));
  } else if constexpr (is_view<Object>) {
    return lift_view<Backend>(operand);
  } else if constexpr (is_device_matrix<Object>) {
    using Device = typename BackendIn<typename Object::Space, Backend>::type;
    if constexpr (std::is_lvalue_reference_v<T>) {
      return Dense<ReferencedColumns<Object>, Device>(ReferencedColumns<Object>(operand));
    } else {
      const Index cols = operand.cols();
      return Dense<OwnedColumns<Object>, Device>(
          OwnedColumns<Object>(Object(std::forward<T>(operand)), cols));
    }
  } else if constexpr (Expandable<T>) {
    return std::forward<T>(operand).expression();
  } else {
    using Plain = typename Object::PlainObject;
    static_assert(is_host_backend<Backend>,
                  "accrete: an Eigen object lies in host memory, which this backend does not read; "
                  "copy it with from_host<Backend>() first");
    static_assert(std::is_floating_point_v<accumulator<typename Object::Scalar>>,
                  "accrete: the scalar of an operand must be float, double or bfloat16; convert it "
                  "with .cast<float>() or .cast<double>()");
    if constexpr (std::is_same_v<Object, Plain>) {
      if constexpr (std::is_lvalue_reference_v<T>) {
        return Dense<ReferencedObject<Object>, Backend>(ReferencedObject<Object>(operand));
      } else {
        return Dense<OwnedObject<Object>, Backend>(
            OwnedObject<Object>(Object(std::forward<T>(operand))));
      }
    } else if constexpr (is_viewable<Object>) {
      using Memory = ViewedMemory<typename Object::Scalar, HostSpace, Object::RowsAtCompileTime,
                                  Object::ColsAtCompileTime>;
      return Dense<Memory, Backend>(Memory(view_of(std::as_const(operand))));
    } else if constexpr (is_eigen_product<Object>) {
      // By the backend's kernels: faster, and Eigen's need not be compiled.
      return Dense<OwnedObject<Plain>, Backend>(
          OwnedObject<Plain>(Plain(lift<Backend>(operand.lhs()) * lift<Backend>(operand.rhs()))));
    } else {
      return Dense<OwnedObject<Plain>, Backend>(OwnedObject<Plain>(Plain(operand)));
    }
  }
}

template <class T, class Backend = AnyHost>
using lifted = decltype(lift<Backend>(std::declval<T>()));

} // namespace detail

ACCRETE_END_NAMESPACE

namespace Eigen::internal {
template <class Holder, class Backend>
struct traits<accrete::Dense<Holder, Backend>>
    : accrete::detail::NodeTraits<accrete::detail::accumulator<typename Holder::Scalar>,
                                  Holder::rows_at_compile_time, Holder::cols_at_compile_time> {};
} // namespace Eigen::internal
