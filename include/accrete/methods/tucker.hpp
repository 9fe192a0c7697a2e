// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/qr.hpp>
#include <accrete/factor/truncation.hpp>
#include <accrete/methods/start.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// A tensor W = C ×₁ U₁ ×₂ U₂ … ×_d U_d with orthonormal factors U_i, n_i x r_i, and a core C,
/// r₁ x … x r_d, that follows the gradient flow on tensors of these ranks (Zangrando et al.,
/// Geometry-aware training of factorized layers in tensor Tucker format, NeurIPS 2024, arXiv
/// 2305.19059): DLRT for kernels of convolutions. For d = 2 it is DLRT's augmented step.
///
/// Tensors are given and returned as their first unfoldings, n₁ x (n₂ … n_d), the second index
/// running fastest in a row: the memory of a tensor in column-major order. A step takes two
/// gradients ∇W at the same W:
///
///     W.augment(g);               // W is as before, in bases twice as wide
///     W.step_core(g2, rate);      // C -= η ∇W ×_i U_iᵀ
///     W.truncate({.tolerance = 0.05});
///
/// Memory: Σ 2 n_i r_i + 2^d Π r_i; a step takes the products of ∇W with the factors.
template <class TuckerScalar, class TuckerBackend = Cpu>
class TuckerTensor {
 public:
  using Scalar = TuckerScalar;
  using Backend = TuckerBackend;
  using Storage = Matrix<Scalar, Backend>;

  /// `core` is r₁ x (r₂ … r_d), factor i is n_i x r_i with orthonormal columns.
  /// @throws ShapeError when they do not fit.
  TuckerTensor(Storage core, std::vector<Storage> factors) : factors_(std::move(factors)) {
    core_.values = std::move(core);
    Index others = 1;
    for (const Storage& factor : factors_) {
      core_.sizes.push_back(factor.cols());
      others *= factor.cols();
    }
    if (factors_.empty() || core_.values.rows() != core_.sizes[0] ||
        core_.values.size() != others) {
      ACCRETE_THROW ShapeError("TuckerTensor: a core of " +
                               detail::shape_text(core_.values.rows(), core_.values.cols()) +
                               " has not the ranks of " + std::to_string(factors_.size()) +
                               " factors; it is r1 x (r2 ... rd)");
    }
  }

  [[nodiscard]] std::size_t order() const noexcept { return factors_.size(); }
  [[nodiscard]] Index size(std::size_t mode) const { return factors_[mode].rows(); }
  [[nodiscard]] Index rank(std::size_t mode) const { return factors_[mode].cols(); }
  [[nodiscard]] const Storage& factor(std::size_t mode) const { return factors_[mode]; }
  [[nodiscard]] const Storage& core() const noexcept { return core_.values; }

  /// W itself.
  [[nodiscard]] Storage value() const {
    Tensor result = core_;
    for (std::size_t mode = 0; mode < order(); ++mode) {
      result = product(result, mode, view_of(factors_[mode]));
    }
    return std::move(result.values);
  }

  /// Doubles the bases by where the gradient leads out of them. Mode by mode, all from the same W,
  ///
  ///     Mat_i(C)ᵀ = Q_i S_iᵀ,   K' = Mat_i(∇W ×_{j≠i} U_jᵀ) Q_i,   U_i <- orth[U_i K']
  ///
  /// and the core gets zeros. (The published orth[K_i⁺ U_i], K_i⁺ = U_i S_i - η K', spans the
  /// same.)
  /// @throws ShapeError for a gradient of another shape, RankError where twice the rank exceeds the
  /// size of a mode.
  void augment(const Storage& gradient) {
    const Tensor whole = tensor_of(gradient);
    std::vector<Storage> wider;
    for (std::size_t mode = 0; mode < order(); ++mode) {
      if (2 * rank(mode) > size(mode)) {
        ACCRETE_THROW RankError("TuckerTensor: twice the rank " + std::to_string(rank(mode)) +
                                " exceeds the " + std::to_string(size(mode)) + " of mode " +
                                std::to_string(mode) + "; truncate to half of it first");
      }
      Tensor reduced = whole;
      for (std::size_t other = 0; other < order(); ++other) {
        if (other != mode) {
          reduced = product(reduced, other, view_of(factors_[other]).transposed());
        }
      }
      const Storage others = transposed_unfolding(core_, mode); // Mat_i(C)ᵀ
      // Where it has fewer rows than columns it spans as much without being orthonormal.
      const Storage q = others.rows() >= others.cols() ? thin_qr(others).Q : Storage(others);
      Storage direction(size(mode), rank(mode));
      multiply(view_of(transposed_unfolding(reduced, mode)).transposed(), view_of(q),
               view_of(direction));
      wider.push_back(orthonormal(factors_[mode], direction));
    }
    Tensor core = core_;
    for (std::size_t mode = 0; mode < order(); ++mode) {
      core = padded(core, mode, 2 * rank(mode));
    }
    core_ = std::move(core);
    factors_ = std::move(wider);
  }

  /// C <- C - rate ∇W ×_i U_iᵀ. @throws ShapeError for a gradient of another shape.
  void step_core(const Storage& gradient, double rate) {
    Tensor reduced = tensor_of(gradient);
    for (std::size_t mode = 0; mode < order(); ++mode) {
      reduced = product(reduced, mode, view_of(factors_[mode]).transposed());
    }
    Kernels<Backend>::combine(device(), static_cast<Scalar>(-rate),
                              view_of(reduced.values).as_const(), Scalar{1}, view_of(core_.values));
  }

  /// Higher-order SVD of the core: Mat_i(C) = P_i Σ_i Q_iᵀ, U_i <- U_i P_i, C <- C ×_i P_iᵀ, each
  /// mode cut as the options say. The error is below that of sqrt(d) times the tolerance.
  /// @throws ArgumentError, NumericError for NaN or infinity.
  void truncate(const TruncationOptions& options) {
    options.validate();
    std::vector<Storage> rotations;
    for (std::size_t mode = 0; mode < order(); ++mode) {
      const auto parts = svd(transposed_unfolding(core_, mode)); // V is P_i
      const auto choice = detail::choose_rank(parts.singular_values, options,
                                              detail::rank_rounding<Scalar>(rank(mode)));
      rotations.push_back(
          detail::copy_of<Scalar, Backend>(view_of(parts.V).left_columns(choice.rank)));
    }
    for (std::size_t mode = 0; mode < order(); ++mode) {
      core_ = product(core_, mode, view_of(rotations[mode]).transposed());
      Storage factor(size(mode), rotations[mode].cols());
      multiply(view_of(factors_[mode]), view_of(rotations[mode]), view_of(factor));
      factors_[mode] = std::move(factor);
    }
  }

 private:
  using View = ViewOn<Scalar, Backend>;
  using ConstView = ViewOn<const Scalar, Backend>;

  struct Tensor {
    Storage values; // the first unfolding
    std::vector<Index> sizes;

    [[nodiscard]] Index before(std::size_t mode) const {
      Index count = 1;
      for (std::size_t j = 0; j < mode; ++j) {
        count *= sizes[j];
      }
      return count;
    }
    [[nodiscard]] Index after(std::size_t mode) const {
      return values.size() / (before(mode) * sizes[mode]);
    }
  };

  /// The entries of one combination of the indices after `mode`, a matrix whose columns belong to
  /// the index of the mode.
  template <class T>
  static ViewOn<T, Backend> slab(ViewOn<T, Backend> values, Index before, Index count, Index i) {
    return {values.data + i * before * count, before, count, before};
  }
  static Tensor zeros(std::vector<Index> sizes) {
    Index others = 1;
    for (std::size_t j = 1; j < sizes.size(); ++j) {
      others *= sizes[j];
    }
    return {detail::zero_matrix<Scalar, Backend>(sizes[0], others), std::move(sizes)};
  }
  /// Calls visit(slab of a, slab of b) for two tensors that differ in the size of one mode.
  template <class Visit>
  static void for_each_slab(const Tensor& a, Tensor& b, std::size_t mode, const Visit& visit) {
    const Index before = a.before(mode);
    for (Index i = 0; i < a.after(mode); ++i) {
      visit(slab(view_of(a.values), before, a.sizes[mode], i),
            slab(view_of(b.values), before, b.sizes[mode], i));
    }
  }

  /// tensor ×_mode matrix
  static Tensor product(const Tensor& tensor, std::size_t mode, ConstView matrix) {
    std::vector<Index> sizes = tensor.sizes;
    sizes[mode] = matrix.rows;
    Tensor result = zeros(std::move(sizes));
    if (mode == 0) {
      multiply(matrix, view_of(tensor.values), view_of(result.values));
    } else {
      for_each_slab(tensor, result, mode,
                    [&](ConstView from, View to) { multiply(from, matrix.transposed(), to); });
    }
    return result;
  }
  /// The mode gets `size` entries, of which the last are zero.
  static Tensor padded(const Tensor& tensor, std::size_t mode, Index size) {
    std::vector<Index> sizes = tensor.sizes;
    sizes[mode] = size;
    Tensor result = zeros(std::move(sizes));
    for_each_slab(tensor, result, mode,
                  [](ConstView from, View to) { copy(from, to.left_columns(from.cols)); });
    return result;
  }
  /// Mat_mode(tensor)ᵀ
  static Storage transposed_unfolding(const Tensor& tensor, std::size_t mode) {
    const Index before = tensor.before(mode);
    Storage result(before * tensor.after(mode), tensor.sizes[mode]);
    for (Index i = 0; i < tensor.after(mode); ++i) {
      copy(slab(view_of(tensor.values), before, tensor.sizes[mode], i),
           view_of(result).block(i * before, 0, before, tensor.sizes[mode]));
    }
    return result;
  }
  /// [basis, Q] with orthonormal columns, which span [basis, direction].
  static Storage orthonormal(const Storage& basis, const Storage& direction) {
    const Index rank = basis.cols();
    Storage both(basis.rows(), 2 * rank);
    copy(view_of(basis), view_of(both).left_columns(rank));
    copy(view_of(direction), view_of(both).columns(rank, rank));
    const auto parts = thin_qr(both);
    copy(view_of(parts.Q).columns(rank, rank), view_of(both).columns(rank, rank));
    return both;
  }

  [[nodiscard]] Tensor tensor_of(const Storage& unfolding) const {
    std::vector<Index> sizes;
    Index others = 1;
    for (const Storage& factor : factors_) {
      sizes.push_back(factor.rows());
      others *= sizes.size() > 1 ? factor.rows() : 1;
    }
    if (unfolding.rows() != sizes[0] || unfolding.cols() != others) {
      detail::throw_shape_error("TuckerTensor gradient", unfolding.rows(), unfolding.cols(),
                                sizes[0], others, "it is the first unfolding, n1 x (n2 ... nd)");
    }
    return {unfolding, std::move(sizes)};
  }

  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static void copy(ConstView from, View to) {
    detail::copy_into<Backend, Scalar>(device(), from, to);
  }
  static void multiply(ConstView a, ConstView b, View c) {
    detail::multiply<Backend, Scalar>(device(), a, b, c);
  }

  Tensor core_;
  std::vector<Storage> factors_;
};

ACCRETE_END_NAMESPACE
