// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/factor_space.hpp>
#include <accrete/factor/norms.hpp>
#include <accrete/finite.hpp>
#include <accrete/matrix/low_rank_matrix.hpp>
#include <accrete/number_text.hpp>

#include <cmath>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Weight decay of a factored matrix U Vᵀ: which penalty pulls its factors, and how hard.
struct FactorDecay {
  enum class Penalty : unsigned char {
    /// strength / 2 ‖U Vᵀ‖_F²: decays the matrix as weight decay does a dense one. Gradients
    /// strength U (Vᵀ V) and strength V (Uᵀ U), from r x r Gram matrices (Khodak et al.,
    /// Initialization and Regularization of Factorized Neural Layers, ICLR 2021).
    frobenius,
    /// strength / 2 (‖U‖_F² + ‖V‖_F²), what the weight decay of an optimizer does to factors. Its
    /// least value over all factors of a matrix is strength times the nuclear norm: it lowers the
    /// rank.
    factors
  };

  double strength = 0;
  Penalty penalty = Penalty::frobenius;

  /// Throws ArgumentError when a field is outside its domain.
  void validate() const {
    if (!detail::is_finite(strength) || strength < 0) {
      ACCRETE_THROW ArgumentError("FactorDecay: strength = " + detail::number_text(strength) +
                                  " is outside [0, infinity)");
    }
  }
};

namespace detail {

/// target += alpha * gradient of the penalty of strength 1 with respect to `factor`;
/// `other` is the other factor. `target` may not overlap either.
template <class Backend, class Scalar>
void add_penalty_gradient(Device<Backend>& device, FactorDecay::Penalty penalty, double alpha,
                          ViewOn<const Scalar, Backend> factor, ViewOn<const Scalar, Backend> other,
                          ViewOn<Scalar, Backend> target) {
  if (target.empty()) {
    return;
  }
  if (penalty == FactorDecay::Penalty::factors) {
    Kernels<Backend>::combine(device, static_cast<Scalar>(alpha), factor, Scalar{1}, target);
    return;
  }
  Frame<Backend> frame(device.workspace());
  const auto gram = temporary<Scalar>(frame, other.cols, other.cols);
  multiply<Backend, Scalar>(device, other.transposed(), other, gram);
  Kernels<Backend>::gemm(device, static_cast<Scalar>(alpha), factor, gram.as_const(), Scalar{1},
                         target);
}

} // namespace detail

/// The value of the penalty, O((m + n) r²), without an m x n matrix.
/// @throws ArgumentError for a strength outside its domain, NumericError for NaN or infinity.
template <class Scalar, class Backend>
[[nodiscard]] double decay_penalty(const FactorDecay& decay,
                                   const LowRankMatrix<Scalar, Backend>& matrix) {
  decay.validate();
  if (decay.penalty == FactorDecay::Penalty::frobenius) {
    const double norm = frobenius_norm(matrix);
    return decay.strength / 2 * norm * norm;
  }
  auto& device = Context<Backend>::current().device();
  return decay.strength / 2 *
         (Kernels<Backend>::squared_norm(device, matrix.u_view()) +
          Kernels<Backend>::squared_norm(device, matrix.v_view()));
}

/// Coupled decay: adds the penalty's gradients to `du` (m x r) and `dv` (n x r), as part of the
/// loss. O((m + n) r²) for the Frobenius penalty, whose authors use it so.
///
/// Trap: give the optimizer's own weight_decay 0 for these factors, or they decay twice. Under
/// AdamW the added gradient is divided by its own size and hardly depends on the strength:
/// apply_decay() does.
/// @throws ShapeError, ArgumentError for a strength outside its domain.
template <class Scalar, class Backend>
void add_decay_gradient(const FactorDecay& decay, const LowRankMatrix<Scalar, Backend>& matrix,
                        ViewOn<Scalar, Backend> du, ViewOn<Scalar, Backend> dv) {
  decay.validate();
  const auto check = [](const char* name, const auto& gradient, const auto& factor) {
    if (gradient.rows != factor.rows || gradient.cols != factor.cols) {
      ACCRETE_THROW ShapeError(std::string("add_decay_gradient: ") + name + " is " +
                               detail::shape_text(gradient.rows, gradient.cols) +
                               " but the factor " + detail::shape_text(factor.rows, factor.cols));
    }
  };
  check("dU", du, matrix.u_view());
  check("dV", dv, matrix.v_view());
  auto& device = Context<Backend>::current().device();
  detail::add_penalty_gradient<Backend, Scalar>(device, decay.penalty, decay.strength,
                                                matrix.u_view(), matrix.v_view(), du);
  detail::add_penalty_gradient<Backend, Scalar>(device, decay.penalty, decay.strength,
                                                matrix.v_view(), matrix.u_view(), dv);
}

/// Decoupled decay: one step of length `learning_rate` down the penalty's gradient, both factors at
/// once, before the optimizer's step: U <- U - learning_rate strength U (VᵀV), and V likewise. For
/// optimizers that rescale gradients. O((m + n) r²).
///
/// Trap: the rate at which a direction decays grows with the square of its singular value. Keep
/// learning_rate * strength * max(‖U‖_2², ‖V‖_2²) well below 1, or the step overshoots.
/// @throws ArgumentError for a strength or a rate outside its domain.
template <class Scalar, class Backend>
void apply_decay(const FactorDecay& decay, LowRankMatrix<Scalar, Backend>& matrix,
                 double learning_rate) {
  decay.validate();
  if (!detail::is_finite(learning_rate)) {
    ACCRETE_THROW ArgumentError(
        "apply_decay: learning_rate = " + detail::number_text(learning_rate) + " must be finite");
  }
  auto& device = Context<Backend>::current().device();
  const double alpha = -learning_rate * decay.strength;
  const ViewOn<Scalar, Backend> u = matrix.u_view();
  const ViewOn<Scalar, Backend> v = matrix.v_view();
  detail::Frame<Backend> frame(device.workspace());
  const auto old_u = detail::temporary<Scalar>(frame, u.rows, u.cols);
  const auto old_v = detail::temporary<Scalar>(frame, v.rows, v.cols);
  Kernels<Backend>::combine(device, Scalar{1}, u.as_const(), Scalar{0}, old_u);
  Kernels<Backend>::combine(device, Scalar{1}, v.as_const(), Scalar{0}, old_v);
  detail::add_penalty_gradient<Backend, Scalar>(device, decay.penalty, alpha, old_u, old_v, u);
  detail::add_penalty_gradient<Backend, Scalar>(device, decay.penalty, alpha, old_v, old_u, v);
}

ACCRETE_END_NAMESPACE
