// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grad/gradients.hpp>
#include <accrete/matrix/cumulative_update.hpp>

#include <string>
#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// One of two products with the same value, chosen when it was made: assigns like an expression,
/// but is no operand of one.
template <class Merged, class Apart>
class EitherProduct : public LazyValue<EitherProduct<Merged, Apart>> {
 public:
  using Scalar = typename Apart::Scalar;
  using Backend = typename Apart::Backend;

  EitherProduct(Merged merged, Apart apart, bool is_merged)
      : merged_(std::move(merged)), apart_(std::move(apart)), is_merged_(is_merged) {}
  [[nodiscard]] Index rows() const noexcept { return apart_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return apart_.cols(); }

  template <class Target>
  friend void assign_expression(const EitherProduct& source, Target& target, Scalar alpha,
                                Scalar beta) {
    if (source.is_merged_) {
      assign_expression(source.merged_, target, alpha, beta);
    } else {
      assign_expression(source.apart_, target, alpha, beta);
    }
  }

  /// How it is evaluated.
  [[nodiscard]] friend const Plan& plan(const EitherProduct& source) {
    return source.is_merged_ ? accrete::plan(source.merged_) : accrete::plan(source.apart_);
  }

 private:
  Merged merged_;
  Apart apart_;
  bool is_merged_;
};

template <class Merged, class Apart>
EitherProduct<Merged, Apart> either_product(Merged merged, Apart apart, bool is_merged) {
  return {std::move(merged), std::move(apart), is_merged};
}

} // namespace detail

/// What a layer keeps of its weight, a LowRankMatrix or a CumulativeUpdate, from the forward pass
/// for the backward pass of the same step: Z = Vᵀ X, then D = Uᵀ dY, and W0 + s U Vᵀ where to form
/// that once takes less time than to add U Z to Y and V D to dX.
///
///     ac::WeightPass<float> pass;        // kept with the layer: its memory serves every step
///     Y = pass.forward(W, X);
///     const auto g = pass.backward(W, X, dY);
///     dU += g.U;
///
/// By FLOPs, 2 m n r are spent on the sum to spare 2 (m + n) r p: it pays from p = m n / (m + n)
/// columns on; the cost model decides. Results refer to the pass, the weight, X and dY. Allocates
/// when a shape comes for the first time.
template <class PassScalar, class PassBackend = Cpu>
class WeightPass {
 public:
  using Scalar = PassScalar;
  using Backend = PassBackend;
  using Storage = Matrix<Scalar, Backend>;
  static_assert(!std::is_same_v<Scalar, bfloat16>,
                "accrete: a pass of bfloat16 would round W0 + s U Vᵀ and Vᵀ X to eight bits");

  /// Y = (W0 + s U Vᵀ) X, computed where it is assigned.
  /// @throws ShapeError when the shapes do not fit.
  template <detail::Operand X>
  [[nodiscard]] auto forward(const CumulativeUpdate<Scalar, Backend>& weight, X&& x) {
    const auto input = detail::lift(std::forward<X>(x));
    const auto sum = weight.expression();
    const auto parts = detail::weight_parts(sum);
    evaluate(detail::transposed(parts.v) * input, z_);
    is_merged_ = merging_pays(sum, weight.rank(), input.cols());
    if (is_merged_) {
      evaluate(sum, sum_);
    }
    return detail::either_product(
        merged_leaf(sum) * input,
        parts.base * input + detail::scaled(parts.scale, parts.u * leaf(z_)), is_merged_);
  }
  /// Y = U Vᵀ X.
  template <detail::Operand X>
  [[nodiscard]] auto forward(const LowRankMatrix<Scalar, Backend>& weight, X&& x) {
    const auto factors = weight.expression();
    evaluate(detail::transposed(factors.v()) * detail::lift(std::forward<X>(x)), z_);
    return factors.u() * leaf(z_);
  }

  /// The gradients of W X, lazy but for D; see CumulativeGradients. `weight` and `x` are those of
  /// the forward pass. @throws ShapeError when their shapes, or that of dY, are others.
  template <detail::Operand X, detail::Operand Upstream>
  [[nodiscard]] auto backward(const CumulativeUpdate<Scalar, Backend>& weight, X&& x,
                              Upstream&& dy) {
    const auto sum = weight.expression();
    const auto forward = sum * std::forward<X>(x);
    const auto y = detail::lift_upstream(forward, std::forward<Upstream>(dy));
    const auto parts = detail::weight_parts(sum);
    keep_output_side(weight.rank(), forward.right().cols(), parts.u, y);
    return detail::factored_gradients(
        parts, forward.right(), y, leaf(z_), leaf(d_),
        detail::either_product(detail::transposed(merged_leaf(sum)) * y,
                               detail::transposed(parts.base) * y +
                                   detail::scaled(parts.scale, parts.v * leaf(d_)),
                               is_merged_));
  }
  /// The same of U Vᵀ X; see LowRankGradients.
  template <detail::Operand X, detail::Operand Upstream>
  [[nodiscard]] auto backward(const LowRankMatrix<Scalar, Backend>& weight, X&& x, Upstream&& dy) {
    const auto forward = weight.expression() * std::forward<X>(x);
    const auto y = detail::lift_upstream(forward, std::forward<Upstream>(dy));
    const auto parts = detail::weight_parts(forward.left());
    keep_output_side(weight.rank(), forward.right().cols(), parts.u, y);
    return detail::factored_gradients(parts, forward.right(), y, leaf(z_), leaf(d_),
                                      parts.v * leaf(d_));
  }

  /// The last forward pass has formed W0 + s U Vᵀ.
  [[nodiscard]] bool is_merged() const noexcept { return is_merged_; }

 private:
  using Leaf = detail::FactorLeaf<Scalar, Backend>;

  [[nodiscard]] static Leaf leaf(const Storage& storage) {
    return Leaf(detail::ReferencedColumns<Storage>(storage));
  }
  /// The sum that was formed, or a matrix of its shape that is never read.
  template <class Sum>
  [[nodiscard]] Leaf merged_leaf(const Sum& sum) const {
    return is_merged_ ? leaf(sum_)
                      : Leaf(detail::ReferencedColumns<Storage>(ViewOn<const Scalar, Backend>{
                            nullptr, sum.rows(), sum.cols(), sum.rows()}));
  }
  template <class Node>
  static void evaluate(const Node& node, Storage& value) {
    if (value.rows() != node.rows() || value.cols() != node.cols()) {
      value = Storage(node.rows(), node.cols());
    }
    detail::evaluate_into(Context<Backend>::current(), node, Scalar{1}, Scalar{0}, view_of(value),
                          false);
  }
  /// D = Uᵀ dY.
  template <class U, class Y>
  void keep_output_side(Index rank, Index columns, const U& u, const Y& y) {
    if (z_.rows() != rank || z_.cols() != columns) {
      detail::throw_shape_error("WeightPass backward", z_.rows(), z_.cols(), rank, columns,
                                "the forward pass was of the first rank and number of columns; "
                                "call forward() with this weight and X first");
    }
    evaluate(detail::transposed(u) * y, d_);
  }

  template <class Sum>
  [[nodiscard]] static bool merging_pays(const Sum& sum, Index rank, Index columns) {
    auto& context = Context<Backend>::current();
    const Index m = sum.rows();
    const Index n = sum.cols();
    const Index entries = m * n + (m + n) * (rank + columns) + rank * columns;
    const auto adding_seconds = [&](Index rows) {
      KernelCall call{Kernel::gemm, rows, columns, rank, true, scalar_type<Scalar>};
      call.working_set = entries * static_cast<Index>(sizeof(Scalar));
      return context.cost_model().seconds(call);
    };
    return rank > 0 &&
           plan(context, sum).predicted_seconds() < adding_seconds(m) + adding_seconds(n);
  }

  Storage z_;   // Vᵀ X, r x p
  Storage d_;   // Uᵀ dY, r x p
  Storage sum_; // W0 + s U Vᵀ where it was formed
  bool is_merged_ = false;
};

ACCRETE_END_NAMESPACE

namespace Eigen::internal {
template <class Merged, class Apart>
struct traits<accrete::detail::EitherProduct<Merged, Apart>> : traits<Apart> {};
} // namespace Eigen::internal
