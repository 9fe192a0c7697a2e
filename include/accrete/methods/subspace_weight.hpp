// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/randomized_svd.hpp>
#include <accrete/factor/svd.hpp>
#include <accrete/methods/dense_weight.hpp>
#include <accrete/methods/projected_weight.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// A dense W that keeps its whole gradient G = dY Xᵀ, and whose AdamW works on the projection of G
/// on r directions: for methods whose update has a part outside of the subspace. Where that is not
/// needed, ProjectedWeight does without G.
///
/// The shorter side is projected. In what follows W and G stand for their transposes where they
/// have more rows than columns (or as many): they are s x l, s <= l, the basis P is s x r and the
/// projection R = (Pᵀ G)ᵀ is l x r.
template <class WeightScalar, class WeightBackend = Cpu>
class SubspaceWeight : public TrainedWeight<WeightScalar, WeightBackend> {
  using Base = TrainedWeight<WeightScalar, WeightBackend>;

 public:
  using typename Base::Backend;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Scalar;
  using typename Base::Storage;
  using View = ViewOn<Scalar, Backend>;
  using ConstView = ViewOn<const Scalar, Backend>;

  SubspaceWeight(Storage weight, Index rank, const AdamWOptions& optimizer)
      : weight_(std::move(weight)),
        gradient_(detail::zero_matrix<Scalar, Backend>(weight_.rows(), weight_.cols())),
        weight_decay_(optimizer.weight_decay),
        projection_((std::max)(weight_.rows(), weight_.cols()), rank),
        direction_(projection_.rows(), rank),
        optimizer_(projection_.rows(), rank, detail::without_decay(optimizer)) {}

  [[nodiscard]] Index rows() const override { return weight_.rows(); }
  [[nodiscard]] Index cols() const override { return weight_.cols(); }
  /// The outputs are the shorter side, so that nothing stands for its transpose.
  [[nodiscard]] bool is_on_outputs() const noexcept { return weight_.rows() < weight_.cols(); }

  void forward(const Storage& x, Storage& y) override { noalias(y) = lazy(weight_) * x; }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    const auto g = gradients(lazy(weight_) * x, dy);
    noalias(gradient_) += g.base;
    noalias(dx) = g.X;
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    visitor(Parameter{"weight", view_of(weight_), view_of(gradient_)});
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    detail::visit_optimizer(optimizer_, "weight.", visitor);
  }

  [[nodiscard]] WeightRank rank() const override {
    return {projection_.cols(), projection_.cols()};
  }
  /// The optimizer's work on G is none of a column of x.
  [[nodiscard]] double flops() const override { return 6.0 * static_cast<double>(rows() * cols()); }

 protected:
  static Device<Backend>& device() { return Context<Backend>::current().device(); }

  /// A matrix of W's shape as the s x l one.
  [[nodiscard]] View wide(Storage& matrix) const {
    return is_on_outputs() ? view_of(matrix) : view_of(matrix).transposed();
  }
  [[nodiscard]] ConstView wide(const Storage& matrix) const {
    return is_on_outputs() ? view_of(matrix) : view_of(matrix).transposed();
  }
  [[nodiscard]] Index short_side() const { return (std::min)(rows(), cols()); }
  [[nodiscard]] Index long_side() const { return (std::max)(rows(), cols()); }

  /// The leading left singular vectors of an s x l matrix.
  [[nodiscard]] Storage leading_vectors(ConstView matrix, BasisSearch search,
                                        std::uint64_t seed) const {
    return detail::leading_vectors<Scalar, Backend>(detail::factor_leaf<Scalar, Backend>(matrix),
                                                    true, projection_.cols(), search, seed);
  }

  /// R = (Pᵀ matrix)ᵀ
  void project(ConstView matrix, ConstView basis, Storage& projection) const {
    Kernels<Backend>::gemm(device(), Scalar{1}, matrix.transposed(), basis, Scalar{0},
                           view_of(projection));
  }
  /// target += factor P directionᵀ
  void add_expanded(double factor, ConstView basis, const Storage& direction, View target) const {
    Kernels<Backend>::gemm(device(), static_cast<Scalar>(factor), basis,
                           ConstView(view_of(direction)).transposed(), Scalar{1}, target);
  }

  void decay(double learning_rate) {
    detail::decay_weight<Scalar, Backend>(weight_, learning_rate, weight_decay_);
  }

  Storage weight_, gradient_;
  double weight_decay_;
  Storage projection_, direction_; // R and what AdamW makes of it
  AdamW<Scalar, Backend> optimizer_;
};

ACCRETE_END_NAMESPACE
