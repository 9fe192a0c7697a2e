// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/factor_space.hpp>
#include <accrete/matrix/low_rank_matrix.hpp>

#include <algorithm>
#include <concepts>
#include <type_traits>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// a = U diag(singular_values) Vᵀ with orthonormal columns.
template <class Scalar, class Backend = Cpu>
struct SVD {
  Matrix<Scalar, Backend> U;
  SingularValues singular_values;
  Matrix<Scalar, Backend> V;
};

namespace detail {

/// Calls action(u, v) with views of the factors of a low-rank expression.
template <class Backend, class Node, class Action>
auto with_factors(Context<Backend>& context, const Node& node, const Action& action) {
  using Scalar = typename Node::Scalar;
  Frame<Backend> frame(context.device().workspace());
  const Index rank = rank_of(node);
  const auto u = temporary<Scalar>(frame, node.rows(), rank);
  const auto v = temporary<Scalar>(frame, node.cols(), rank);
  write_factors(context, node, u, v);
  return action(u.as_const(), v.as_const());
}

/// Singular values that a kernel has written.
template <class Backend, class Scalar>
SingularValues downloaded_values(Device<Backend>& device, ViewOn<const Scalar, Backend> values) {
  Eigen::Matrix<Scalar, Eigen::Dynamic, 1> host(values.size());
  Kernels<Backend>::download(device, values, host.data());
  return host.template cast<double>();
}

template <class Backend, class Scalar>
SVD<Scalar, Backend> svd_of_factors(Device<Backend>& device, ViewOn<const Scalar, Backend> u,
                                    ViewOn<const Scalar, Backend> v) {
  check_factors(device, "svd", u, v);
  SVD<Scalar, Backend> result;
  const Index count = (std::min)({u.rows, v.rows, u.cols});
  result.U = Matrix<Scalar, Backend>(u.rows, count);
  result.V = Matrix<Scalar, Backend>(v.rows, count);
  result.singular_values.resize(count);
  if (count == 0) {
    return result;
  }
  Frame<Backend> frame(device.workspace());
  const FactorSVD<Scalar, Backend> svd = factor_svd(device, frame, u, v, true);
  expand<Backend, Scalar>(device, svd.left, svd.a, view_of(result.U));
  expand<Backend, Scalar>(device, svd.right, svd.b, view_of(result.V));
  result.singular_values = svd.values;
  return result;
}

template <class Backend, class Scalar>
SVD<Scalar, Backend> svd_of_dense(Device<Backend>& device, ViewOn<const Scalar, Backend> a) {
  SVD<Scalar, Backend> result;
  const Index count = (std::min)(a.rows, a.cols);
  result.U = Matrix<Scalar, Backend>(a.rows, count);
  result.V = Matrix<Scalar, Backend>(a.cols, count);
  result.singular_values.resize(count);
  Frame<Backend> frame(device.workspace());
  const auto values = temporary<Scalar>(frame, count, 1);
  Kernels<Backend>::svd(device, a, view_of(result.U), values, view_of(result.V));
  result.singular_values = downloaded_values(device, values.as_const());
  return result;
}

template <class Backend, class Scalar>
SingularValues singular_values_of_factors(Device<Backend>& device, ViewOn<const Scalar, Backend> u,
                                          ViewOn<const Scalar, Backend> v) {
  check_factors(device, "singular_values", u, v);
  if (u.empty() || v.empty()) {
    return {};
  }
  Frame<Backend> frame(device.workspace());
  return factor_svd(device, frame, u, v, false).values;
}

template <class Backend, class Scalar>
SingularValues singular_values_of_dense(Device<Backend>& device, ViewOn<const Scalar, Backend> a) {
  Frame<Backend> frame(device.workspace());
  const Index count = (std::min)(a.rows, a.cols);
  const auto values = temporary<Scalar>(frame, count, 1);
  Kernels<Backend>::svd(device, a, ViewOn<Scalar, Backend>{}, values, ViewOn<Scalar, Backend>{});
  return downloaded_values(device, values.as_const());
}

/// Calls low_rank(device, u, v) or dense(device, a) with the operand's factors or its value.
template <class Operand, class LowRank, class General>
auto with_operand(const Operand& operand, const LowRank& low_rank, const General& dense) {
  const auto node = lift(operand);
  using Node = std::remove_cvref_t<decltype(node)>;
  using Scalar = typename Node::Scalar;
  using Backend = backend_of<Node>;
  auto& context = Context<Backend>::current();
  using Source = ViewOn<const Scalar, Backend>;
  if constexpr (requires {
                  { node.u().view() } -> std::same_as<Source>;
                  { node.v().view() } -> std::same_as<Source>;
                }) {
    return low_rank(context.device(), node.u().view(), node.v().view());
  } else if constexpr (is_low_rank<Node>) {
    return with_factors(context, node,
                        [&](Source u, Source v) { return low_rank(context.device(), u, v); });
  } else if constexpr (requires {
                         { node.view() } -> std::same_as<Source>;
                       }) {
    return dense(context.device(), node.view());
  } else {
    Frame<Backend> frame(context.device().workspace());
    const auto value = temporary<Scalar>(frame, node.rows(), node.cols());
    evaluate_into(context, node, Scalar{1}, Scalar{0}, value, false);
    return dense(context.device(), Source(value));
  }
}

template <class T>
concept LowRankOperand = Operand<T> && is_low_rank<lifted<const std::remove_cvref_t<T>&>>;

template <class T>
using backend_of_operand = backend_of<lifted<const std::remove_cvref_t<T>&>>;
template <class T>
using scalar_of_operand = scalar_of<const std::remove_cvref_t<T>&>;

/// Calls action(device, u, v) with the factors of a low-rank operand.
template <LowRankOperand Operand, class Action>
auto with_low_rank(const Operand& operand, const Action& action) {
  return with_operand(operand, action, [](auto&, auto) {});
}

} // namespace detail

/// Thin singular value decomposition of a matrix or expression. A low-rank operand U Vᵀ of rank k
/// is decomposed in factor space, O((m + n) k² + k³), into min(m, n, k) values; a dense one into
/// min(m, n). Signs, and bases of equal values, are not determined.
/// @throws NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] auto svd(const Operand& operand) {
  return detail::with_operand(
      operand, [](auto& device, auto u, auto v) { return detail::svd_of_factors(device, u, v); },
      [](auto& device, auto a) { return detail::svd_of_dense(device, a); });
}

/// The singular values alone, descending, as of svd().
/// @throws NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] SingularValues singular_values(const Operand& operand) {
  return detail::with_operand(
      operand,
      [](auto& device, auto u, auto v) { return detail::singular_values_of_factors(device, u, v); },
      [](auto& device, auto a) { return detail::singular_values_of_dense(device, a); });
}

ACCRETE_END_NAMESPACE
