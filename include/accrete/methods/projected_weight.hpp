// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/randomized_svd.hpp>
#include <accrete/factor/svd.hpp>
#include <accrete/methods/dense_weight.hpp>
#include <accrete/methods/options.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// How the basis of a gradient's leading singular vectors is found.
enum class BasisSearch : unsigned char {
  /// From products of dY and X with thin blocks; G is not formed.
  randomized,
  /// The SVD of G.
  exact
};

namespace detail {

/// The `rank` leading left singular vectors of an expression, or the right ones.
template <class Scalar, class Backend, class Gradient>
[[nodiscard]] Matrix<Scalar, Backend> leading_vectors(const Gradient& gradient, bool left,
                                                      Index rank, BasisSearch search,
                                                      std::uint64_t seed) {
  if (search == BasisSearch::exact) {
    const auto parts = svd(gradient);
    return copy_of<Scalar, Backend>(view_of(left ? parts.U : parts.V).left_columns(rank));
  }
  auto parts = randomized_svd(gradient, {.rank = rank, .seed = seed});
  return std::move(left ? parts.U : parts.V);
}

} // namespace detail

/// A dense W of whose gradient G = dY Xᵀ only the projection on r directions is kept. On the side
/// of the outputs, for m < n, P is m x r and the projection (Pᵀ G)ᵀ = X (dYᵀ P) is n x r; on the
/// side of the inputs Q is n x r and G Q = dY (Xᵀ Q) is m x r. G is never formed: 2 p r (m + n)
/// FLOPs for p samples instead of 2 p m n.
///
/// What methods derive from: they set `basis_is_due_` where the next gradient is to give a new
/// basis, and choose it in find_basis().
template <class WeightScalar, class WeightBackend = Cpu>
class ProjectedWeight : public TrainedWeight<WeightScalar, WeightBackend> {
  using Base = TrainedWeight<WeightScalar, WeightBackend>;

 public:
  using typename Base::Backend;
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Scalar;
  using typename Base::Storage;
  using ConstView = ViewOn<const Scalar, Backend>;

  ProjectedWeight(Storage weight, Index rank, const AdamWOptions& optimizer)
      : weight_(std::move(weight)),
        on_outputs_(weight_.rows() < weight_.cols()),
        weight_decay_(optimizer.weight_decay),
        adamw_(detail::without_decay(optimizer)) {
    set_columns(rank);
    optimizer_ = AdamW<Scalar, Backend>(gradient_.rows(), rank, adamw_);
  }

  [[nodiscard]] Index rows() const override { return weight_.rows(); }
  [[nodiscard]] Index cols() const override { return weight_.cols(); }
  /// P or Q, and on which side of W it stands.
  [[nodiscard]] const Storage& basis() const noexcept { return basis_; }
  [[nodiscard]] bool is_on_outputs() const noexcept { return on_outputs_; }

  void forward(const Storage& x, Storage& y) override { noalias(y) = lazy(weight_) * x; }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    if (basis_is_due_) {
      find_basis(x, dy);
      basis_is_due_ = false;
    }
    if (on_outputs_) {
      noalias(gradient_) += lazy(x) * (transpose(dy) * basis_);
    } else {
      noalias(gradient_) += lazy(dy) * (transpose(x) * basis_);
    }
    noalias(dx) = transpose(weight_) * dy;
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    visitor(Parameter{"weight", view_of(weight_), view_of(gradient_), GradientKind::projected});
  }

  void visit_shape(const NumberVisitor& visitor) override {
    std::int64_t columns = basis_.cols();
    visitor("columns", columns);
    if (columns != basis_.cols()) {
      if (columns < 1 || columns > (std::min)(rows(), cols())) {
        ACCRETE_THROW RankError("a gradient of " + detail::shape_text(rows(), cols()) +
                                " cannot be projected on " + std::to_string(columns) +
                                " directions");
      }
      set_columns(static_cast<Index>(columns));
      optimizer_ = AdamW<Scalar, Backend>(gradient_.rows(), basis_.cols(), adamw_);
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    std::int64_t due = basis_is_due_ ? 1 : 0;
    visitor.count("weight.basis_is_due", due);
    basis_is_due_ = due != 0;
    visitor.tensor("weight.basis", view_of(basis_));
    detail::visit_optimizer(optimizer_, "weight.", visitor);
  }

  [[nodiscard]] WeightRank rank() const override { return {basis_.cols(), basis_.cols()}; }
  [[nodiscard]] double flops() const override {
    return 4.0 * static_cast<double>(rows() * cols()) +
           4.0 * static_cast<double>((rows() + cols()) * basis_.cols());
  }

 protected:
  /// Chooses the basis from the gradient dY Xᵀ.
  virtual void find_basis(const Storage& x, const Storage& dy) = 0;

  /// Another number of columns; basis and gradient become zero.
  void set_columns(Index columns) {
    const Index basis_rows = on_outputs_ ? rows() : cols();
    basis_ = detail::zero_matrix<Scalar, Backend>(basis_rows, columns);
    gradient_ = detail::zero_matrix<Scalar, Backend>(rows() + cols() - basis_rows, columns);
  }

  /// The leading singular vectors of G on the side of the basis.
  [[nodiscard]] Storage leading_vectors(const Storage& x, const Storage& dy, Index rank,
                                        BasisSearch search, std::uint64_t seed) const {
    return detail::leading_vectors<Scalar, Backend>(lazy(dy) * transpose(x), on_outputs_, rank,
                                                    search, seed);
  }

  /// W <- (1 - η λ) W - η scale P Dᵀ, or D Qᵀ: D is what AdamW makes of the first `columns` columns
  /// of the projected gradient.
  void step_in_subspace(const StepInfo& info, double scale, Index columns) {
    Device<Backend>& device = Context<Backend>::current().device();
    detail::Frame<Backend> frame(device.workspace());
    const auto direction = detail::temporary<Scalar>(frame, gradient_.rows(), columns);
    optimizer_.direction(view_of(gradient_).left_columns(columns), direction, info.gradient_scale);
    detail::decay_weight<Scalar, Backend>(weight_, info.learning_rate, weight_decay_);
    const ConstView basis = view_of(basis_).left_columns(columns);
    const ConstView step = direction;
    Kernels<Backend>::gemm(device, static_cast<Scalar>(-info.learning_rate * scale),
                           on_outputs_ ? basis : step, (on_outputs_ ? step : basis).transposed(),
                           Scalar{1}, view_of(weight_));
  }

  Storage weight_;
  bool on_outputs_;
  bool basis_is_due_ = true;
  double weight_decay_;
  AdamWOptions adamw_;
  Storage basis_, gradient_;
  AdamW<Scalar, Backend> optimizer_; // of the projection
};

ACCRETE_END_NAMESPACE
