// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/matrix/factors.hpp>

#include <type_traits>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// The scalar <A, B> = sum of A(i, j) B(i, j) of two lazy matrices, computed on conversion.
template <class A, class B>
class InnerProduct {
 public:
  using Scalar = typename A::Scalar;

  InnerProduct(A a, B b) : a_(std::move(a)), b_(std::move(b)) {}

  [[nodiscard]] Scalar value() const {
    using Backend = settled_backend<common_backend<typename A::Backend, typename B::Backend>>;
    auto& context = Context<Backend>::current();
    Frame<Backend> frame(context.device().workspace());
    const auto evaluated = [&](const auto& node) {
      const auto view = frame.template matrix<Scalar>(node.rows(), node.cols());
      evaluate_into(context, node, Scalar{1}, Scalar{0}, view, false);
      return view.as_const();
    };
    const ViewOn<const Scalar, Backend> a = evaluated(a_);
    const ViewOn<const Scalar, Backend> b = evaluated(b_);
    return static_cast<Scalar>(Kernels<Backend>::dot(context.device(), a, b));
  }
  // NOLINTNEXTLINE(google-explicit-constructor): reads as the scalar it is
  operator Scalar() const { return value(); }

 private:
  A a_;
  B b_;
};

/// A weight node taken apart: base (or none), factors and scale.
struct NoBase {};
template <class BaseNode, class U, class V>
struct WeightParts {
  BaseNode base;
  U u;
  V v;
  Coefficient<typename U::Scalar> scale;
};

template <class U, class V>
auto weight_parts(const Outer<U, V>& node) {
  return WeightParts<NoBase, U, V>{{}, node.u(), node.v(), 1};
}
template <class U, class V>
auto weight_parts(const Scaled<Outer<U, V>>& node) {
  return WeightParts<NoBase, U, V>{{}, node.operand().u(), node.operand().v(), node.factor()};
}
template <class Left, class Right>
auto weight_parts(const Sum<Left, Right>& node) {
  static_assert(is_low_rank<Left> != is_low_rank<Right>,
                "accrete: gradients() of a sum takes one dense base and one low-rank update, as "
                "in (W0 + s * outer(U, V)) * X");
  const auto join = [](const auto& base, auto parts) {
    using Parts = decltype(parts);
    using BaseNode = std::remove_cvref_t<decltype(base)>;
    return WeightParts<BaseNode, decltype(Parts::u), decltype(Parts::v)>{base, parts.u, parts.v,
                                                                         parts.scale};
  };
  if constexpr (is_low_rank<Right>) {
    return join(node.left(), weight_parts(node.right()));
  } else {
    return join(node.right(), weight_parts(node.left()));
  }
}

template <class T>
concept FactoredWeight = requires(const T& node) { weight_parts(node); };

template <class Node>
inline constexpr bool holds_factors = FactoredWeight<Node>;
template <class Node>
inline constexpr bool holds_factors<Transposed<Node>> = FactoredWeight<Node>;

/// The left operand of the product is the weight.
template <class Weight, class X>
constexpr void check_sides() {
  static_assert(FactoredWeight<Weight> || !holds_factors<X>,
                "accrete: gradients() of a product whose right operand is the weight; take those "
                "of its transpose: instead of gradients(X.transpose() * W.transpose(), dYt) write "
                "gradients(W * X, dYt.transpose())");
}

} // namespace detail

/// Lazy gradients of Y = (base + s U Vᵀ) X for the upstream gradient dY: expressions that are
/// computed when assigned, and accumulated with `+=`. dW = dY Xᵀ is never formed for U and V.
template <class UGradient, class VGradient, class XGradient, class BaseGradient, class Scale>
struct CumulativeGradients {
  UGradient U;       ///< s dY (Xᵀ V), m x r
  VGradient V;       ///< s X (dYᵀ U), n x r
  XGradient X;       ///< Wᵀ dY, n x p
  BaseGradient base; ///< dY Xᵀ, m x n
  Scale scale;       ///< <Uᵀ dY, Vᵀ X>, converts to the scalar
};

/// The same for Y = s U Vᵀ X.
template <class UGradient, class VGradient, class XGradient, class Scale>
struct LowRankGradients {
  UGradient U;
  VGradient V;
  XGradient X;
  Scale scale;
};

/// The same for Y = W X with a dense W.
template <class XGradient, class BaseGradient>
struct DenseGradients {
  XGradient X;
  BaseGradient base;
};

namespace detail {

template <class Parts>
inline constexpr bool has_base =
    !std::is_same_v<std::remove_cvref_t<decltype(std::declval<Parts>().base)>, NoBase>;

template <class Parts, class X, class Y, class Z, class D, class InputGradient>
auto factored_gradients(const Parts& parts, const X& x, const Y& y, const Z& z, const D& d,
                        InputGradient dx) {
  auto du = scaled(parts.scale, product(y, transposed(z)));
  auto dv = scaled(parts.scale, product(x, transposed(d)));
  auto scale = InnerProduct<D, Z>(d, z);
  if constexpr (!has_base<Parts>) {
    return LowRankGradients<decltype(du), decltype(dv), InputGradient, decltype(scale)>{du, dv, dx,
                                                                                        scale};
  } else {
    auto base = y * transposed(x);
    return CumulativeGradients<decltype(du), decltype(dv), InputGradient, decltype(base),
                               decltype(scale)>{du, dv, dx, base, scale};
  }
}

template <class Upstream, class Left, class Right>
auto lift_upstream(const Product<Left, Right>& forward, Upstream&& upstream) {
  auto y = lift(std::forward<Upstream>(upstream));
  if (y.rows() != forward.rows() || y.cols() != forward.cols()) {
    throw_shape_error("gradients", forward.rows(), forward.cols(), y.rows(), y.cols(),
                      "dY must have the shape of the expression");
  }
  return y;
}

} // namespace detail

/// Gradients of `weight * X` for the upstream gradient dY (m x p), where weight is one of
/// `W0 + s * outer(U, V)`, a CumulativeUpdate, `s * outer(U, V)`, a LowRankMatrix, or
/// `lazy(W)`. All are lazy; see CumulativeGradients. The left operand is the weight, also where
/// both are dense: for samples in rows, Yᵀ = Xᵀ Wᵀ, write gradients(W * X, dY) with transposes.
/// What several of them need, Vᵀ X and Uᵀ dY, each computes for itself; WeightPass does it once.
/// @throws ShapeError when dY has not the shape of the expression.
template <class Weight, class X, detail::Operand Upstream>
[[nodiscard]] auto gradients(const Product<Weight, X>& forward, Upstream&& upstream) {
  detail::check_sides<Weight, X>();
  const auto y = detail::lift_upstream(forward, std::forward<Upstream>(upstream));
  if constexpr (detail::FactoredWeight<Weight>) {
    const auto parts = detail::weight_parts(forward.left());
    return detail::factored_gradients(
        parts, forward.right(), y, detail::transposed(parts.v) * forward.right(),
        detail::transposed(parts.u) * y, detail::transposed(forward.left()) * y);
  } else {
    static_assert(Weight::leaf_count == 1,
                  "accrete: gradients() takes weight * X with a weight of the form W0 + s * "
                  "outer(U, V), s * outer(U, V) or lazy(W); differentiate X * W as its transpose");
    // Of two dense operands the left one is the weight.
    auto dx = detail::transposed(forward.left()) * y;
    auto base = y * detail::transposed(forward.right());
    return DenseGradients<decltype(dx), decltype(base)>{dx, base};
  }
}

ACCRETE_END_NAMESPACE
