// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/matrix/cumulative_update.hpp>
#include <accrete/plan/working_set.hpp>

#include <string>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

/// W0 + s U Vᵀ (m x n) formed once for the forward and the backward pass of a training step, where
/// that is predicted to be faster than to apply base and update apart:
///
///     ac::MergedWeight<float> merged; // kept with the layer: its memory serves every step
///     merged.update(W, X.cols());     // after each change of W
///     Z = W.project(X);
///     Y = W.apply(X, Z, merged);
///     D = W.project_back(dY);
///     const auto g = ac::gradients(W * X, dY, Z, D, merged);
///
/// By FLOPs, 2 m n r are spent to spare 2 (m + n) r p: it pays from p = m n / (m + n) columns on.
/// It does not know when W changes: what was not updated is the product with the former W.
template <class MatrixScalar, class MatrixBackend = Cpu>
class MergedWeight {
 public:
  using Scalar = MatrixScalar;
  using Backend = MatrixBackend;
  using Storage = Matrix<Scalar, Backend>;
  static_assert(!std::is_same_v<Scalar, bfloat16>,
                "accrete: a merged weight of bfloat16 would round W0 + s U Vᵀ to eight bits");

  /// Takes up `weight` as it is now for products with X of `columns` columns. Allocates when the
  /// sum is formed in a shape for the first time.
  void update(const CumulativeUpdate<Scalar, Backend>& weight, Index columns) {
    auto& context = Context<Backend>::current();
    is_formed_ = false;
    rows_ = weight.rows();
    cols_ = weight.cols();
    const auto sum = weight.expression();
    if (!forming_pays(context, sum, weight.rank(), columns)) {
      return;
    }
    if (sum_.rows() != rows_ || sum_.cols() != cols_) {
      sum_ = Storage(rows_, cols_);
    }
    detail::evaluate_into(context, sum, Scalar{1}, Scalar{0}, view_of(sum_), false);
    is_formed_ = true;
  }

  [[nodiscard]] bool is_formed() const noexcept { return is_formed_; }
  [[nodiscard]] KeptChoice choice() const noexcept {
    return is_formed_ ? KeptChoice::whole : KeptChoice::with_kept;
  }
  /// The sum as a leaf; not to be read unless it is formed. It refers to this object.
  [[nodiscard]] auto expression() const& {
    return detail::FactorLeaf<Scalar, Backend>(
        detail::ReferencedColumns<Storage>(sum_, rows_, detail::first_column, cols_));
  }
  auto expression() && = delete;
  /// @throws ShapeError, which names `operation`, unless the weight last taken up is rows x cols.
  void check_shape(const char* operation, Index rows, Index cols) const {
    if (rows_ != rows || cols_ != cols) {
      detail::throw_shape_error(operation, rows_, cols_, rows, cols,
                                "the merged weight has the first of these shapes and the weight "
                                "the second; call update() with this weight first");
    }
  }

 private:
  /// Whether forming the sum takes less time than adding U Z to Y and V D to dX.
  template <class Sum>
  [[nodiscard]] static bool forming_pays(Context<Backend>& context, const Sum& sum, Index rank,
                                         Index columns) {
    const Index m = sum.rows();
    const Index n = sum.cols();
    const Index entries = m * n + (m + n) * (rank + columns) + rank * columns;
    const detail::ModelWithWorkingSet model(context.cost_model(),
                                            entries * static_cast<Index>(sizeof(Scalar)));
    const auto seconds = [&](Index rows) {
      return model.seconds(
          {Kernel::gemm, rows, columns, rank, true, static_cast<int>(sizeof(Scalar))});
    };
    return plan(context, sum).predicted_seconds() < seconds(m) + seconds(n);
  }

  Storage sum_;
  Index rows_ = 0;
  Index cols_ = 0;
  bool is_formed_ = false;
};

ACCRETE_END_NAMESPACE
