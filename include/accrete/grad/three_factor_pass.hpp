// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/three_factor_matrix.hpp>
#include <accrete/grad/gradients.hpp>

#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// Lazy gradients of Y = U S Vᵀ X for the upstream gradient dY, with Z = Vᵀ X and D = Uᵀ dY, which
/// are all that X and dY are needed for beside the thin products.
template <class UGradient, class CoreGradient, class VGradient, class XGradient, class Product,
          class TransposedProduct>
struct ThreeFactorGradients {
  UGradient U;         ///< dY (S Z)ᵀ, m x r
  CoreGradient S;      ///< D Zᵀ, r x r
  VGradient V;         ///< X (Sᵀ D)ᵀ, n x r
  XGradient X;         ///< V Sᵀ D, n x p
  Product K;           ///< dY Zᵀ = dW V, m x r: the gradient of K = U S
  TransposedProduct L; ///< X Dᵀ = dWᵀ U, n x r: the gradient of L = V Sᵀ
};

/// What a layer keeps of U S Vᵀ from the forward pass for the backward pass of the same step: Z, D
/// and their products with the core.
///
///     Y = pass.forward(W, X);
///     const auto g = pass.backward(W, X, dY);
///     dS += g.S;
///
/// Results refer to the pass, the weight, X and dY. Allocates when more room is needed than before.
/// FLOPs for p columns: 2 p r (m + n + r) forward and for dX, 2 p r² for dS, 2 p r m and 2 p r n
/// for dU and dV.
template <class PassScalar, class PassBackend = Cpu>
class ThreeFactorPass {
 public:
  using Scalar = PassScalar;
  using Backend = PassBackend;
  using Storage = Matrix<Scalar, Backend>;
  using Weight = ThreeFactorMatrix<Scalar, Backend>;

  /// Y = U S Vᵀ X, computed where it is assigned. @throws ShapeError when the shapes do not fit.
  template <detail::Operand X>
  [[nodiscard]] auto forward(const Weight& weight, X&& x) {
    const auto input = detail::lift(std::forward<X>(x));
    const auto z = detail::transposed(leaf(weight.v_view())) * input; // checks the shapes
    rank_ = weight.rank();
    columns_ = input.cols();
    evaluate(z, z_);
    evaluate(leaf(weight.core_view()) * leaf(z_), core_z_);
    return leaf(weight.u_view()) * leaf(core_z_);
  }

  /// `weight` and `x` are those of the forward pass. @throws ShapeError when their shapes, or that
  /// of dY, are others.
  template <detail::Operand X, detail::Operand Upstream>
  [[nodiscard]] auto backward(const Weight& weight, X&& x, Upstream&& dy) {
    const auto input = detail::lift(std::forward<X>(x));
    const auto y = detail::lift(std::forward<Upstream>(dy));
    if (rank_ != weight.rank() || columns_ != input.cols()) {
      detail::throw_shape_error("ThreeFactorPass backward", rank_, columns_, weight.rank(),
                                input.cols(),
                                "the forward pass was of the first rank and number of columns; "
                                "call forward() with this weight and X first");
    }
    if (y.rows() != weight.rows() || y.cols() != input.cols() || input.rows() != weight.cols()) {
      detail::throw_shape_error("ThreeFactorPass backward", y.rows(), y.cols(), input.rows(),
                                input.cols(), "dY and X must be those of the forward pass");
    }
    evaluate(detail::transposed(leaf(weight.u_view())) * y, d_);
    evaluate(detail::transposed(leaf(weight.core_view())) * leaf(d_), core_d_);
    return collected(y * detail::transposed(leaf(core_z_)), leaf(d_) * detail::transposed(leaf(z_)),
                     input * detail::transposed(leaf(core_d_)),
                     leaf(weight.v_view()) * leaf(core_d_), y * detail::transposed(leaf(z_)),
                     input * detail::transposed(leaf(d_)));
  }

 private:
  using Leaf = detail::FactorLeaf<Scalar, Backend>;

  template <class U, class S, class V, class X, class K, class L>
  static ThreeFactorGradients<U, S, V, X, K, L> collected(U u, S s, V v, X x, K k, L l) {
    return {std::move(u), std::move(s), std::move(v), std::move(x), std::move(k), std::move(l)};
  }
  static Leaf leaf(ViewOn<const Scalar, Backend> view) {
    return detail::factor_leaf<Scalar, Backend>(view);
  }
  [[nodiscard]] Leaf leaf(const Storage& storage) const {
    return leaf(ViewOn<const Scalar, Backend>{view_of(storage).data, rank_, columns_, rank_});
  }
  /// Storage that once sufficed serves smaller ranks too, which come and go with truncations.
  template <class Node>
  void evaluate(const Node& node, Storage& value) {
    if (value.size() < rank_ * columns_) {
      value = Storage(rank_, columns_);
    }
    const ViewOn<Scalar, Backend> target{view_of(value).data, rank_, columns_, rank_};
    detail::evaluate_into(Context<Backend>::current(), node, Scalar{1}, Scalar{0}, target, false);
  }

  Index rank_ = 0, columns_ = 0; // of the last forward pass
  Storage z_, core_z_;           // Vᵀ X and S Vᵀ X, r x p
  Storage d_, core_d_;           // Uᵀ dY and Sᵀ Uᵀ dY, r x p
};

ACCRETE_END_NAMESPACE
