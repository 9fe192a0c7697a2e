// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/randomized_svd.hpp>
#include <accrete/factor/truncation.hpp>
#include <accrete/grow/initializers.hpp>
#include <accrete/matrix/cumulative_update.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace init {

namespace detail {

/// U_r diag(roots) and V_r diag(roots) of the leading `rank` vectors.
template <class Scalar, class Backend>
LowRankMatrix<Scalar, Backend> balanced_factors(const SVD<Scalar, Backend>& svd,
                                                const std::vector<double>& roots) {
  auto& device = Context<Backend>::current().device();
  const auto rank = static_cast<Index>(roots.size());
  LowRankMatrix<Scalar, Backend> result(svd.U.rows(), svd.V.rows(), rank);
  result.set_rank(rank);
  const ViewOn<const Scalar, Backend> u = view_of(svd.U);
  const ViewOn<const Scalar, Backend> v = view_of(svd.V);
  accrete::detail::scale_columns<Backend, Scalar>(device, u.left_columns(rank), roots,
                                                  result.u_view());
  accrete::detail::scale_columns<Backend, Scalar>(device, v.left_columns(rank), roots,
                                                  result.v_view());
  return result;
}

/// @throws RankError unless 0 <= rank <= the number of values, NumericError for NaN or infinity.
template <class Scalar, class Backend>
void check_leading(const char* name, const SVD<Scalar, Backend>& svd, Index rank) {
  if (rank < 0 || rank > svd.singular_values.size()) {
    ACCRETE_THROW RankError(std::string("init::") + name + ": rank " + std::to_string(rank) +
                            " of " + std::to_string(svd.singular_values.size()) +
                            " singular values");
  }
  if (!accrete::detail::all_finite(svd.singular_values.data(), svd.singular_values.size())) {
    ACCRETE_THROW NumericError(std::string("init::") + name +
                               ": a singular value is NaN or infinite");
  }
}

/// The roots of the leading values over `scale`. A value that is zero within rounding would give a
/// column that is zero in both factors. @throws RankError for such a value.
template <class Scalar, class Backend>
std::vector<double> roots_of_values(const char* name, const SVD<Scalar, Backend>& svd, Index rank,
                                    double scale) {
  check_leading(name, svd, rank);
  std::vector<double> roots;
  for (Index j = 0; j < rank; ++j) {
    const double rounding =
        accrete::detail::rank_rounding<Scalar>(svd.singular_values.size()) * svd.singular_values[0];
    if (svd.singular_values[j] <= rounding) {
      ACCRETE_THROW RankError(
          std::string("init::") + name + ": rank " + std::to_string(rank) + ", but only " +
          std::to_string(j) +
          " singular values are not zero within rounding; the other columns could "
          "never move");
    }
    roots.push_back(std::sqrt(svd.singular_values[j] / scale));
  }
  return roots;
}

/// target = the leading left singular vectors of (I - q qᵀ) gradient, by block power iteration as
/// in randomized_svd(). `q` has orthonormal columns. @throws NumericError
template <class Backend, class Node, class Scalar>
void leading_vectors_outside(Context<Backend>& context, const Node& gradient,
                             ViewOn<const Scalar, Backend> q, std::uint64_t seed,
                             ViewOn<Scalar, Backend> target) {
  const char* const name = "init::gradient_subspace";
  auto& device = context.device();
  const Index most = (std::min)(target.rows - q.cols, gradient.cols());
  const Index width = std::min<Index>(target.cols + 10, most);
  accrete::detail::Frame<Backend> frame(device.workspace());
  const auto left = accrete::detail::temporary<Scalar>(frame, target.rows, width);
  const auto right = accrete::detail::temporary<Scalar>(frame, gradient.cols(), width);
  const auto triangle = accrete::detail::temporary<Scalar>(frame, width, width);
  const auto overlap = accrete::detail::temporary<Scalar>(frame, q.cols, width);
  const auto projected = accrete::detail::temporary<Scalar>(frame, target.rows, width);
  const auto project = [&](ViewOn<Scalar, Backend> block) { // block -= q (qᵀ block)
    if (q.cols > 0) {
      accrete::detail::multiply<Backend, Scalar>(device, q.transposed(), block, overlap);
      Kernels<Backend>::gemm(device, Scalar{-1}, q, overlap.as_const(), Scalar{1}, block);
    }
  };
  Kernels<Backend>::fill_normal(device, seed, 1.0, right);
  for (int i = 0; i < 3; ++i) {
    const auto block = accrete::detail::factor_leaf<Scalar, Backend>(right.as_const());
    accrete::detail::evaluate_into(context, accrete::detail::product(gradient, block), Scalar{1},
                                   Scalar{0}, left, false);
    if (!Kernels<Backend>::all_finite(device, left.as_const())) {
      accrete::detail::throw_not_finite(name, gradient.rows(), gradient.cols());
    }
    project(left);
    Kernels<Backend>::thin_qr(device, left, triangle);
    // Columns beyond the rank of the product are arbitrary, and may lie in the span of q.
    Kernels<Backend>::combine(device, Scalar{1}, left.as_const(), Scalar{0}, projected);
    project(projected);
    accrete::detail::multiply_and_orthonormalise<Backend>(context, name,
                                                          accrete::detail::transposed(gradient),
                                                          projected.as_const(), right, triangle);
  }
  const auto core = accrete::detail::leading_svd<Scalar, Backend>(device, frame,
                                                                  triangle.as_const(), target.cols);
  accrete::detail::multiply<Backend, Scalar>(device, left, core.right, target);
}

} // namespace detail

/// Spectral initialisation of a factored layer: the best approximation of rank `rank` of a dense
/// matrix that was initialised as a dense layer is, split evenly, U_r sqrt(S_r) and V_r sqrt(S_r)
/// (Khodak et al., Initialization and Regularization of Factorized Neural Layers, ICLR 2021). With
/// the decomposition of a trained matrix it is the start of a factored fine-tuning.
///
///     LowRankMatrix<float> L = init::spectral(svd(W), 32);
///     LowRankMatrix<float> M = init::spectral(randomized_svd(W, {.rank = 32}), 32);
///
/// Its authors decay the factors by the Frobenius penalty (optim/decay.hpp).
/// @throws RankError for a rank above the number of values that are not zero within rounding,
/// NumericError.
template <class Scalar, class Backend>
[[nodiscard]] LowRankMatrix<Scalar, Backend> spectral(const SVD<Scalar, Backend>& svd, Index rank) {
  return detail::balanced_factors(svd, detail::roots_of_values("spectral", svd, rank, 1.0));
}

/// The same with the leading singular values set to 1, so that U and V are orthonormal ("spectral
/// ones" in Kamalakara et al., Exploring Low Rank Training of Deep Neural Networks, arXiv
/// 2209.13569). The directions of a dense initialisation, but not its size: ‖U Vᵀ‖_F is sqrt(rank).
/// @throws RankError for a rank outside the number of values, NumericError.
template <class Scalar, class Backend>
[[nodiscard]] LowRankMatrix<Scalar, Backend> spectral_ones(const SVD<Scalar, Backend>& svd,
                                                           Index rank) {
  detail::check_leading("spectral_ones", svd, rank);
  return detail::balanced_factors(svd, std::vector<double>(static_cast<std::size_t>(rank), 1.0));
}

/// Moves the leading part of W0 into the update: s U Vᵀ becomes the best approximation of rank
/// `rank` of W0, split evenly, and W0 loses it, so that the matrix is unchanged to rounding (PiSSA:
/// Meng, Wang and Zhang, NeurIPS 2024). `principal` is the SVD of W0:
///
///     init::pissa(W, randomized_svd(W.base(), {.rank = 16, .power_iterations = 4}), 16);
///
/// An inexact SVD changes what is trained and not what the matrix is. 2 m n r FLOPs.
/// @throws RankError when the update is not empty (merge() first) and as spectral(), ShapeError,
/// ArgumentError when the scale is zero, NumericError. Nothing changes then.
template <class Scalar, class Backend>
void pissa(CumulativeUpdate<Scalar, Backend>& matrix, const SVD<Scalar, Backend>& principal,
           Index rank) {
  if (matrix.rank() != 0) {
    ACCRETE_THROW RankError("init::pissa: the update has rank " + std::to_string(matrix.rank()) +
                            "; merge() or reset() it first");
  }
  if (principal.U.rows() != matrix.rows() || principal.V.rows() != matrix.cols()) {
    accrete::detail::throw_shape_error("init::pissa", matrix.rows(), matrix.cols(),
                                       principal.U.rows(), principal.V.rows(),
                                       "the decomposition must be that of W0");
  }
  const auto scale = static_cast<double>(matrix.scale());
  if (scale == 0 || !accrete::detail::is_finite(scale)) {
    ACCRETE_THROW ArgumentError("init::pissa: the scale " + accrete::detail::number_text(scale) +
                                " must be finite and not zero");
  }
  auto factors = detail::balanced_factors(
      principal, detail::roots_of_values("pissa", principal, rank, std::abs(scale)));
  auto& context = Context<Backend>::current();
  if (scale < 0) {
    Kernels<Backend>::combine(context.device(), Scalar{-1}, factors.u_view().as_const(), Scalar{0},
                              factors.u_view());
  }
  accrete::detail::evaluate_into(context, factors.expression(), -matrix.scale(), Scalar{1},
                                 matrix.base_view(), false);
  matrix.reserve(rank);
  matrix.low_rank() = std::move(factors);
}

template <class Node>
class GradientSubspace {
 public:
  GradientSubspace(Node gradient, double scale, std::uint64_t seed)
      : gradient_(std::move(gradient)), scale_(scale), seed_(seed) {
    detail::require_usable("gradient_subspace", scale);
  }

  /// @throws ShapeError when the gradient has another shape than U Vᵀ, NumericError when it or U
  /// is not finite.
  template <class Backend, class Scalar>
  void operator()(Device<Backend>& device, ViewOn<Scalar, Backend> u, ViewOn<Scalar, Backend> v,
                  Index first) const {
    if (gradient_.rows() != u.rows || gradient_.cols() != v.rows) {
      accrete::detail::throw_shape_error("init::gradient_subspace", u.rows, v.rows,
                                         gradient_.rows(), gradient_.cols(),
                                         "the gradient must have the shape of the matrix");
    }
    const Index count = u.cols - first;
    if (count == 0) {
      return;
    }
    accrete::detail::Frame<Backend> frame(device.workspace());
    const auto basis = accrete::detail::temporary<Scalar>(frame, u.rows, u.cols);
    const auto triangle = accrete::detail::temporary<Scalar>(frame, u.cols, u.cols);
    const ViewOn<Scalar, Backend> old = basis.left_columns(first);
    const auto copy_old = [&] {
      Kernels<Backend>::combine(device, Scalar{1}, u.left_columns(first).as_const(), Scalar{0},
                                old);
    };
    if (first > 0) {
      copy_old();
      Kernels<Backend>::thin_qr(device, old, triangle.block(0, 0, first, first));
    }
    detail::leading_vectors_outside<Backend, Node, Scalar>(Context<Backend>::current(), gradient_,
                                                           old, detail::seed_at(seed_, first),
                                                           basis.columns(first, count));
    // Where the rest of the gradient has a lower rank than asked for, its vectors are arbitrary
    // and need not be orthogonal to the old columns: the QR makes them so.
    copy_old();
    Kernels<Backend>::thin_qr(device, basis, triangle);
    Kernels<Backend>::combine(device, static_cast<Scalar>(scale_),
                              basis.columns(first, count).as_const(), Scalar{0},
                              detail::new_columns(u, first));
    Kernels<Backend>::fill(device, Scalar{0}, detail::new_columns(v, first));
  }

 private:
  Node gradient_;
  double scale_;
  std::uint64_t seed_;
};

/// New columns of U: the leading left singular vectors of the part of the gradient dW that is
/// orthogonal to the old columns, of length `scale`; those of V zero. Among orthonormal columns
/// these give the new columns of V the largest gradient (GradMax: Evci et al., ICLR 2022, whose
/// criterion it is; the basis of GaLore: Zhao et al., ICML 2024, and the start of LoRA-GA).
///
///     grow(L, 8, init::gradient_subspace(lazy(dY) * lazy(X).transpose()));   // dW = dY Xᵀ
///     grow(L, 8, init::gradient_subspace(dY, X));                            // the same
///
/// The gradient is multiplied by thin blocks and never formed. Its operands must outlive the
/// initializer, except for temporaries, which it owns. Directions beyond the gradient's rank are
/// arbitrary. Trap: one batch's gradient is noise beyond its leading directions; take a large one.
/// Cost: that of randomized_svd() of rank k, and O(m r²). @throws ArgumentError for a zero or
/// non-finite scale.
template <accrete::detail::Operand Gradient>
[[nodiscard]] auto gradient_subspace(Gradient&& gradient, double scale = 1.0,
                                     std::uint64_t seed = 0) {
  auto node = accrete::detail::lift(std::forward<Gradient>(gradient));
  return GradientSubspace<decltype(node)>(std::move(node), scale, seed);
}
template <accrete::detail::Operand Upstream, accrete::detail::Operand Input>
[[nodiscard]] auto gradient_subspace(Upstream&& upstream, Input&& input, double scale = 1.0,
                                     std::uint64_t seed = 0) {
  return gradient_subspace(accrete::detail::lift(std::forward<Upstream>(upstream)) *
                               accrete::detail::lift(std::forward<Input>(input)).transpose(),
                           scale, seed);
}

} // namespace init

ACCRETE_END_NAMESPACE
