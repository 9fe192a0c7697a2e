// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/factor_space.hpp>
#include <accrete/plan/assign.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

enum class PolarMethod : unsigned char {
  newton_schulz, ///< iterated to rounding
  muon           ///< five steps of a steeper polynomial: singular values end in about [0.7, 1.2]
};

struct PolarOptions {
  PolarMethod method = PolarMethod::newton_schulz;
};

namespace detail {

/// x <- x / its Frobenius norm, whatever the magnitude. False for zero, which stays.
template <class Backend, class Scalar>
bool normalise(Device<Backend>& device, ViewOn<Scalar, Backend> x) {
  constexpr double least = (std::numeric_limits<double>::min)();
  constexpr double largest_factor = (std::numeric_limits<Scalar>::max)() / 16;
  double squared = Kernels<Backend>::squared_norm(device, x.as_const());
  // Squares of numbers near the ends of the range need a factor ahead, tiny ones two.
  for (int pass = 0; pass < 3; ++pass) {
    const double factor = !is_finite(squared) ? 0x1p-540
                          : squared < least   ? 0x1p+540
                                              : 1 / std::sqrt(squared);
    Kernels<Backend>::combine(device, static_cast<Scalar>((std::min)(factor, largest_factor)),
                              x.as_const(), Scalar{0}, x);
    squared = Kernels<Backend>::squared_norm(device, x.as_const());
  }
  return squared > 0;
}

/// Steps x <- x p(xᵀx), p(t) = p0 + p1 t + p2 t², of an m x n matrix, n <= m. Buffers lie in the
/// caller's frame.
template <class Backend, class Scalar>
class OddPolynomial {
 public:
  template <class Frame>
  OddPolynomial(Device<Backend>& device, Frame& frame, ViewOn<Scalar, Backend> x)
      : device_(device),
        x_(x),
        gram_(temporary<Scalar>(frame, x.cols, x.cols)),
        factor_(temporary<Scalar>(frame, x.cols, x.cols)),
        change_(temporary<Scalar>(frame, x.rows, x.cols)) {}

  /// Frobenius norms of xᵀx - I before the step, and of what the step added to x.
  struct Progress {
    double departure;
    double change;
  };

  Progress step(double p0, double p1, double p2) {
    using K = Kernels<Backend>;
    const ViewOn<const Scalar, Backend> x(x_);
    const ViewOn<const Scalar, Backend> gram(gram_);
    multiply<Backend, Scalar>(device_, x.transposed(), x, gram_);
    K::combine(device_, static_cast<Scalar>(p1), gram, Scalar{0}, factor_);
    K::gemm(device_, static_cast<Scalar>(p2), gram, gram, Scalar{1}, factor_);
    K::add_diagonal(device_, static_cast<Scalar>(p0 - 1), factor_);
    multiply<Backend, Scalar>(device_, x, factor_, change_);
    K::combine(device_, Scalar{1}, change_.as_const(), Scalar{1}, x_);
    K::add_diagonal(device_, Scalar{-1}, gram_);
    return {std::sqrt(K::squared_norm(device_, gram)),
            std::sqrt(K::squared_norm(device_, change_.as_const()))};
  }

 private:
  Device<Backend>& device_;
  ViewOn<Scalar, Backend> x_;
  ViewOn<Scalar, Backend> gram_;
  ViewOn<Scalar, Backend> factor_;
  ViewOn<Scalar, Backend> change_;
};

/// The step that converges cubically, until all singular values are 1, or 0 to rounding and still.
template <class Backend, class Scalar>
void iterate_to_polar_factor(OddPolynomial<Backend, Scalar>& polynomial, Index cols) {
  constexpr double epsilon = std::numeric_limits<Scalar>::epsilon();
  const double still = 16 * epsilon * std::sqrt(static_cast<double>(cols));
  // A small value grows by 15/8 a step, so that 100 steps bring all that is not zero to 1.
  for (int step = 0; step < 100; ++step) {
    const auto progress = polynomial.step(15.0 / 8, -10.0 / 8, 3.0 / 8);
    if (progress.departure <= std::cbrt(epsilon) || progress.change <= still) {
      return;
    }
  }
}

/// x <- its polar factor.
template <class Backend, class Scalar>
void polar_in_place(Device<Backend>& device, ViewOn<Scalar, Backend> x, PolarMethod method) {
  if (x.empty()) {
    return;
  }
  if (!Kernels<Backend>::all_finite(device, x.as_const())) {
    throw_not_finite("polar_factor", x.rows, x.cols);
  }
  if (x.rows < x.cols) {
    x = x.transposed();
  }
  if (!normalise<Backend>(device, x)) {
    return;
  }
  Frame<Backend> frame(device.workspace());
  OddPolynomial<Backend, Scalar> polynomial(device, frame, x);
  if (method == PolarMethod::newton_schulz) {
    iterate_to_polar_factor(polynomial, x.cols);
  } else {
    for (int step = 0; step < 5; ++step) {
      polynomial.step(3.4445, -4.7750, 2.0315);
    }
  }
}

} // namespace detail

/// The orthogonal polar factor U Vᵀ of an m x n matrix or expression A = U S Vᵀ: the matrix with
/// orthonormal columns (rows where m < n) that is nearest to A. By Newton-Schulz iterations
/// (Higham, Functions of Matrices, chapter 8), products alone: O(m n min(m, n)) a step. About
/// 3 + log2(‖A‖_F / σ_min) steps reach rounding. Directions whose singular value is zero within
/// rounding are not determined; exact zeros stay, so that a zero matrix gives zero.
///
/// PolarMethod::muon is the approximation of the optimizer Muon (Jordan et al., 2024): five steps
/// of 3.4445 x - 4.7750 x³ + 2.0315 x⁵, which do not converge.
/// @throws NumericError for NaN or infinity.
template <detail::Operand Operand>
[[nodiscard]] auto polar_factor(const Operand& operand, const PolarOptions& options = {}) {
  const auto node = detail::lift(operand);
  using Node = std::remove_cvref_t<decltype(node)>;
  using Scalar = typename Node::Scalar;
  using Backend = detail::backend_of<Node>;
  auto& context = Context<Backend>::current();
  auto& device = context.device();
  Matrix<Scalar, Backend> result(node.rows(), node.cols());
  const ViewOn<Scalar, Backend> x = view_of(result);
  if (x.empty()) {
    return result;
  }
  detail::evaluate_into(context, node, Scalar{1}, Scalar{0}, x, false);
  detail::polar_in_place<Backend>(device, x, options.method);
  return result;
}

ACCRETE_END_NAMESPACE
