// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>
#include <accrete/factor/truncation.hpp>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// A ∘ A of rank r (r + 1) / 2: the pairs (i, j) and (j, i) give the same column, taken twice.
template <class Scalar, class Backend>
LowRankMatrix<Scalar, Backend> hadamard_square(const LowRankMatrix<Scalar, Backend>& a) {
  auto& device = Context<Backend>::current().device();
  std::vector<Index> larger;
  std::vector<Index> smaller;
  std::vector<double> weights;
  for (Index i = 0; i < a.rank(); ++i) {
    for (Index j = 0; j <= i; ++j) {
      larger.push_back(i);
      smaller.push_back(j);
      weights.push_back(i == j ? 1 : 2);
    }
  }
  const auto rank = static_cast<Index>(weights.size());
  LowRankMatrix<Scalar, Backend> result(a.rows(), a.cols(), rank);
  result.set_rank(rank);
  const auto multiply_pairs = [&](ViewOn<const Scalar, Backend> factor,
                                  ViewOn<Scalar, Backend> target) {
    Frame<Backend> frame(device.workspace());
    const auto others = temporary<Scalar>(frame, target.rows, target.cols);
    Kernels<Backend>::gather_columns(device, factor, larger, target);
    Kernels<Backend>::gather_columns(device, factor, smaller, others);
    Kernels<Backend>::hadamard(device, Scalar{1}, target.as_const(), others.as_const(), Scalar{0},
                               target);
  };
  multiply_pairs(a.u_view(), result.u_view());
  multiply_pairs(a.v_view(), result.v_view());
  scale_columns<Backend, Scalar>(device, result.u_view(), weights, result.u_view());
  return result;
}

} // namespace detail

/// The entrywise product A ∘ B of two low-rank matrices or expressions. Ranks multiply: the factors
/// are the row-wise Khatri-Rao products of Ua, Ub and of Va, Vb. O((m + n) ra rb) time and memory;
/// truncate() recompresses. @throws ShapeError
template <detail::LowRankOperand Left, detail::LowRankOperand Right>
[[nodiscard]] auto hadamard(const Left& left, const Right& right) {
  using Backend = detail::backend_of_operand<Left>;
  using Scalar = detail::scalar_of_operand<Left>;
  static_assert(std::is_same_v<Backend, detail::backend_of_operand<Right>>,
                "accrete: the operands of hadamard live on different backends; copy one of them "
                "to the other's backend first");
  detail::check_scalars<detail::lifted<const Left&>, detail::lifted<const Right&>>();
  return detail::with_low_rank(left, [&](auto& device, auto ua, auto va) {
    return detail::with_low_rank(right, [&](auto&, auto ub, auto vb) {
      if (ua.rows != ub.rows || va.rows != vb.rows) {
        detail::throw_shape_error("hadamard", ua.rows, va.rows, ub.rows, vb.rows,
                                  "both operands must have the same shape");
      }
      const Index rank = ua.cols * ub.cols;
      LowRankMatrix<Scalar, Backend> result(ua.rows, va.rows, rank);
      result.set_rank(rank);
      Kernels<Backend>::khatri_rao(device, ua, ub, result.u_view());
      Kernels<Backend>::khatri_rao(device, va, vb, result.v_view());
      return result;
    });
  });
}

/// A with every entry to the power `exponent` >= 0, by repeated squaring; each product is truncated
/// under `options`, whose tolerances therefore hold for each of the 2 log2(exponent) or fewer
/// products by itself. At rank r a product costs O((m + n) r⁴): max_rank bounds it.
/// @throws ArgumentError, NumericError for NaN or infinity.
template <detail::LowRankOperand Operand>
[[nodiscard]] auto hadamard_power(const Operand& operand, Index exponent,
                                  const TruncationOptions& options) {
  if (exponent < 0) {
    ACCRETE_THROW ArgumentError(
        "hadamard_power: exponent = " + std::to_string(exponent) +
        "; a low-rank matrix has no entrywise inverse of low rank, give 0 or more");
  }
  auto square = truncate(operand, options);
  using Result = decltype(square);
  using Scalar = typename Result::Scalar;
  using Backend = typename Result::Backend;
  if (exponent == 0) {
    Result ones(square.rows(), square.cols(), 1);
    ones.set_rank(1);
    auto& device = Context<Backend>::current().device();
    Kernels<Backend>::fill(device, Scalar{1}, ones.u_view());
    Kernels<Backend>::fill(device, Scalar{1}, ones.v_view());
    return ones;
  }
  for (; exponent % 2 == 0; exponent /= 2) {
    square = truncate(detail::hadamard_square(square), options);
  }
  Result power = square;
  while ((exponent /= 2) > 0) {
    square = truncate(detail::hadamard_square(square), options);
    if (exponent % 2 == 1) {
      power = truncate(hadamard(power, square), options);
    }
  }
  return power;
}

ACCRETE_END_NAMESPACE
