// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/grad/three_factor_pass.hpp>
#include <accrete/methods/dense_weight.hpp>
#include <accrete/methods/options.hpp>

#include <cstdint>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// U S Vᵀ with a core S that is not diagonal in general, of which the gradient dS = (Uᵀ dY)(Vᵀ X)ᵀ
/// is accumulated. What methods derive from: they step the core, show the parameters, change the
/// bases in after_step() and call fit_core_gradient() when the rank has changed.
template <class WeightScalar, class WeightBackend = Cpu>
class ThreeFactorWeight : public TrainedWeight<WeightScalar, WeightBackend> {
  using Base = TrainedWeight<WeightScalar, WeightBackend>;

 public:
  using typename Base::Backend;
  using typename Base::NumberVisitor;
  using typename Base::Scalar;
  using typename Base::Storage;
  using Factors = ThreeFactorMatrix<Scalar, Backend>;
  using View = ViewOn<Scalar, Backend>;

  [[nodiscard]] Index rows() const override { return matrix_.rows(); }
  [[nodiscard]] Index cols() const override { return matrix_.cols(); }
  [[nodiscard]] const Factors& factors() const noexcept { return matrix_; }

  /// y = U (S (Vᵀ x))
  void forward(const Storage& x, Storage& y) override { noalias(y) = pass_.forward(matrix_, x); }

  /// dS += (Uᵀ dy)(Vᵀ x)ᵀ, dx = V (Sᵀ (Uᵀ dy))
  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    const auto g = pass_.backward(matrix_, x, dy);
    noalias(core_gradient()) += g.S;
    noalias(dx) = g.X;
  }

  void visit_shape(const NumberVisitor& visitor) override {
    std::int64_t columns = matrix_.rank();
    visitor("columns", columns);
    if (columns != matrix_.rank()) {
      if (columns < 0 || columns > (std::min)(rows(), cols())) {
        ACCRETE_THROW RankError("a " + detail::shape_text(rows(), cols()) +
                                " weight cannot have factors of " + std::to_string(columns) +
                                " columns");
      }
      matrix_.reserve(static_cast<Index>(columns));
      matrix_.set_rank(static_cast<Index>(columns));
      reshape();
    }
  }

  [[nodiscard]] WeightRank rank() const override { return {matrix_.rank(), matrix_.rank()}; }
  [[nodiscard]] double flops() const override {
    return static_cast<double>(matrix_.rank() * (4 * (rows() + cols()) + 6 * matrix_.rank()));
  }

 protected:
  explicit ThreeFactorWeight(Factors matrix) : matrix_(std::move(matrix)) { fit_core_gradient(); }

  /// Fits gradients and states to another rank; what they hold is to be loaded.
  virtual void reshape() { fit_core_gradient(); }

  [[nodiscard]] View core_gradient() {
    return view_of(core_gradient_).block(0, 0, matrix_.rank(), matrix_.rank());
  }
  /// As large as the capacity, and zero.
  void fit_core_gradient() {
    if (core_gradient_.rows() != matrix_.capacity()) {
      core_gradient_ = Storage(matrix_.capacity(), matrix_.capacity());
    }
    if (core_gradient_.size() > 0) {
      Kernels<Backend>::fill(Context<Backend>::current().device(), Scalar{0},
                             view_of(core_gradient_));
    }
  }

  Factors matrix_;
  ThreeFactorPass<Scalar, Backend> pass_;

 private:
  Storage core_gradient_;
};

ACCRETE_END_NAMESPACE
