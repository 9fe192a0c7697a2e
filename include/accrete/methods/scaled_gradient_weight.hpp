// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/subspace_weight.hpp>

#include <Eigen/Core>

#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// What one scaling factor is found for.
enum class ScalingUnit : unsigned char { column, matrix };

/// Options that Fira and APOLLO share.
struct GradientScalingOptions {
  ScalingUnit unit = ScalingUnit::column;
  double growth_limit = 1.01;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.choice("scaling", unit, {"column", "matrix"},
                   "factors of the gradient: of each column of the longer side, or one for all");
    visitor.real("growth-limit", growth_limit, 0, 1e6,
                 "largest growth of the scaled gradient's norm from step to step; 0: any");
  }
};

/// A dense W that is updated by its gradient outside of a subspace too, column by column as AdamW
/// scales the projection R inside: with the direction ψ that AdamW makes of R,
///
///     φ_j = ‖ψ_j‖ / ‖R_j‖     one factor for each column of the longer side, or one for all
///     S = φ ∘ G               or of another matrix; its norm grows by `growth_limit` at most
///
/// (Chen et al., Fira, arXiv 2410.01623; Zhu et al., APOLLO, MLSys 2025). Factors of a step are
/// computed on the host, l numbers: it waits for a device.
template <class WeightScalar, class WeightBackend = Cpu>
class ScaledGradientWeight : public SubspaceWeight<WeightScalar, WeightBackend> {
  using Base = SubspaceWeight<WeightScalar, WeightBackend>;

 public:
  using typename Base::Backend;
  using typename Base::ConstView;
  using typename Base::Scalar;
  using typename Base::Storage;
  using typename Base::View;

  ScaledGradientWeight(Storage weight, Index rank, const GradientScalingOptions& scaling,
                       const AdamWOptions& optimizer)
      : Base(std::move(weight), rank, optimizer),
        scaling_(scaling),
        column_(this->long_side(), 1),
        host_(this->long_side()),
        factors_(this->long_side()),
        lengths_(this->long_side()) {}

  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    visitor.number("weight.last_norm", last_norm_);
  }

 protected:
  /// The factors φ of the projection and its direction, without the limit. The authors' code adds
  /// 1e-8 to the denominators, so that a column without gradient gets no update.
  void find_factors() {
    constexpr double least = 1e-8;
    lengths_of(ConstView(view_of(this->direction_)).transposed(), factors_);
    lengths_of(ConstView(view_of(this->projection_)).transposed(), lengths_);
    if (scaling_.unit == ScalingUnit::column) {
      factors_ /= lengths_ + least;
    } else {
      const double factor = factors_.matrix().norm() / (lengths_.matrix().norm() + least);
      factors_.setConstant(factor);
    }
  }

  /// Limits the growth of ‖φ ∘ A‖ by smaller factors, where lengths_ are those of A's columns. What
  /// it grows from is the limited norm; after a norm of zero nothing is limited, as at the first
  /// step. Then the factors are brought to the device.
  void limit_growth() {
    const double norm = (factors_ * lengths_).matrix().norm();
    const double most = scaling_.growth_limit * last_norm_;
    const double shrinking = most > 0 && norm > most ? most / norm : 1.0;
    last_norm_ = norm * shrinking;
    host_ = (factors_ * shrinking).template cast<Scalar>();
    Kernels<Backend>::upload(this->device(), host_.data(), view_of(column_));
  }

  /// W -= rate φ ∘ G
  void subtract_scaled_gradient(double rate) {
    const ConstView gradient = this->wide(std::as_const(this->gradient_));
    const View target = this->wide(this->weight_);
    for_each_scratch_piece([&](View piece, Index first, Index count) {
      Kernels<Backend>::scale_columns(this->device(), gradient.columns(first, count),
                                      factor_view().block(first, 0, count, 1), piece);
      Kernels<Backend>::combine(this->device(), static_cast<Scalar>(-rate), piece.as_const(),
                                Scalar{1}, target.columns(first, count));
    });
  }

  /// lengths_ of the columns of G - factor P Rᵀ
  void find_residual_lengths(ConstView basis, double factor) {
    const ConstView gradient = this->wide(std::as_const(this->gradient_));
    for_each_scratch_piece([&](View piece, Index first, Index count) {
      const ConstView projection =
          ConstView(view_of(this->projection_)).block(first, 0, count, basis.cols);
      Kernels<Backend>::combine(this->device(), Scalar{1}, gradient.columns(first, count),
                                Scalar{0}, piece);
      Kernels<Backend>::gemm(this->device(), static_cast<Scalar>(-factor), basis,
                             projection.transposed(), Scalar{1}, piece);
      Kernels<Backend>::column_norms(this->device(), piece.as_const(),
                                     view_of(column_).block(first, 0, count, 1));
    });
    download(lengths_);
  }
  /// lengths_ of the columns of G
  void find_gradient_lengths() { lengths_of(this->wide(std::as_const(this->gradient_)), lengths_); }

  /// φ on the device, l x 1.
  [[nodiscard]] ConstView factor_view() const { return view_of(column_); }

 private:
  void lengths_of(ConstView matrix, Eigen::ArrayXd& lengths) {
    Kernels<Backend>::column_norms(this->device(), matrix, view_of(column_));
    download(lengths);
  }
  void download(Eigen::ArrayXd& numbers) {
    Kernels<Backend>::download(this->device(), factor_view(), host_.data());
    numbers = host_.template cast<double>();
  }

  /// Calls action(piece, first, count) for pieces of s x count scratch memory, which lie as those
  /// of W do.
  template <class Action>
  void for_each_scratch_piece(const Action& action) {
    detail::Frame<Backend> frame(this->device().workspace());
    const Index rows = this->short_side();
    const Index width = detail::piece_columns(rows, this->long_side());
    const View piece = this->is_on_outputs()
                           ? detail::temporary<Scalar>(frame, rows, width)
                           : detail::temporary<Scalar>(frame, width, rows).transposed();
    detail::for_each_piece(rows, this->long_side(), [&](Index first, Index count) {
      action(piece.left_columns(count), first, count);
    });
  }

  GradientScalingOptions scaling_;
  double last_norm_ = 0; // of what was scaled, before the learning rate
  Storage column_;       // the factors, or lengths on their way to the host
  Eigen::Array<Scalar, Eigen::Dynamic, 1> host_;
  Eigen::ArrayXd factors_, lengths_;
};

ACCRETE_END_NAMESPACE
