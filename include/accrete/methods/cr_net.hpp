// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/function.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct CRNetOptions {
  Index rank = 0;
  double beta = 1;
  double guard = 1e-6;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.real("beta", beta, -1e3, 1e3, "that the share of the layer before starts with");
    visitor.real("guard", guard, 0, 1, "by which |beta| is enlarged, so that it is never zero");
  }
};

/// The outputs of one projection differ little from a layer to the next (Kong et al., CR-Net, ICLR
/// 2026, arXiv 2509.18993). The first layer is dense; each later one adds to a share of the output
/// of the same projection one layer before, with a trained number beta:
///
///     Y_1 = W X_1,   Y_l = b Y_{l-1} + U Vᵀ X_l,   b = sign(beta) (|beta| + guard)
///     dY_{l-1} = b dY_l,   dbeta = <dY_l, Y_{l-1}>,   dU, dV, dX as of U Vᵀ
///
/// U (m x r) and V (n x r) are the paper's B and A, transposed. The guard lets a model divide by b,
/// to compute Y_{l-1} from Y_l again.
///
/// Memory: m n in the first layer, (m + n) r + 1 in others; as many gradients, twice as many
/// scalars of AdamW's state. beta has no weight decay, as is the custom for numbers that scale. The
/// value that it starts with, and the deviation of the factors, are not in the source that was at
/// hand; with 1 a layer changes the output of the one before.
template <class Scalar, class Backend = Cpu>
class CRNetWeight : public TrainedWeight<Scalar, Backend> {
  using Base = TrainedWeight<Scalar, Backend>;
  using View = ViewOn<Scalar, Backend>;

 public:
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Storage;

  CRNetWeight(const WeightPlace& place, const CRNetOptions& options, const AdamWOptions& optimizer)
      : is_first_(place.layer == 0), guard_(options.guard) {
    const Index rank = detail::rank_or_quarter("cr-net", options.rank, place.rows, place.cols);
    if (is_first_) {
      own_ = std::make_unique<DenseWeight<Scalar, Backend>>(
          detail::dense_start<Scalar, Backend>(place), optimizer);
    } else {
      own_ = std::make_unique<FactoredWeight<LowRankMatrix<Scalar, Backend>>>(
          detail::normal_factors<Scalar, Backend>(place, rank), optimizer);
      beta_ = detail::zero_matrix<Scalar, Backend>(1, 1);
      Kernels<Backend>::fill(device(), static_cast<Scalar>(options.beta), view_of(beta_));
      beta_gradient_ = detail::zero_matrix<Scalar, Backend>(1, 1);
      AdamWOptions undecayed = optimizer;
      undecayed.weight_decay = 0;
      beta_optimizer_ = AdamW<Scalar, Backend>(1, 1, undecayed);
    }
  }

  [[nodiscard]] Index rows() const override { return own_->rows(); }
  [[nodiscard]] Index cols() const override { return own_->cols(); }

  void forward(const Storage& x, Storage& y) override { own_->forward(x, y); }
  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    own_->backward(x, dy, dx);
  }

  [[nodiscard]] bool takes_previous_output() const override { return !is_first_; }

  /// Y += b Y_previous, where b stays on the device: a product with a 1 x 1 matrix.
  void add_previous(const Storage& previous, Storage& y) override {
    detail::Frame<Backend> frame(device().workspace());
    noalias(column(y)) += leaf(column(previous)) * leaf(guarded_beta(frame));
  }

  void previous_gradient(const Storage& previous, const Storage& dy, Storage& dprevious) override {
    detail::Frame<Backend> frame(device().workspace());
    noalias(column(dprevious)) = leaf(column(dy)) * leaf(guarded_beta(frame));
    noalias(view_of(beta_gradient_)) += transpose(leaf(column(previous))) * leaf(column(dy));
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    own_->visit_parameters(visitor);
    if (!is_first_) {
      visitor(Parameter{"beta", view_of(beta_), view_of(beta_gradient_)});
    }
  }

  void step(const StepInfo& info) override {
    own_->step(info);
    if (!is_first_) {
      beta_optimizer_.step(beta_, beta_gradient_, info.learning_rate, info.gradient_scale);
    }
  }

  void visit_shape(const NumberVisitor& visitor) override { own_->visit_shape(visitor); }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    own_->visit_state(visitor);
    if (!is_first_) {
      detail::visit_optimizer(beta_optimizer_, "beta.", visitor);
    }
  }

  [[nodiscard]] WeightRank rank() const override { return own_->rank(); }
  /// Y, dY_previous and dbeta besides: two FLOPs each for every output.
  [[nodiscard]] double flops() const override {
    return own_->flops() + (is_first_ ? 0.0 : 6.0 * static_cast<double>(rows()));
  }

 private:
  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static auto leaf(ViewOn<const Scalar, Backend> view) {
    return detail::factor_leaf<Scalar, Backend>(view);
  }
  /// All entries as one column.
  template <class Matrix>
  static auto column(Matrix& matrix) {
    return dense_view<typename Backend::Space>(matrix.data(), matrix.rows() * matrix.cols(), 1);
  }
  template <class Frame>
  [[nodiscard]] View guarded_beta(Frame& frame) const {
    const View b = detail::temporary<Scalar>(frame, 1, 1);
    Kernels<Backend>::map(device(), Function::sign, view_of(beta_), b);
    Kernels<Backend>::combine(device(), Scalar{1}, view_of(beta_), static_cast<Scalar>(guard_), b);
    return b;
  }

  bool is_first_;
  double guard_;
  std::unique_ptr<Base> own_; // W of the first layer, U Vᵀ of the others
  Storage beta_, beta_gradient_;
  AdamW<Scalar, Backend> beta_optimizer_;
};

struct CRNet {
  static constexpr MethodDescription description{
      "cr-net", "CR-Net", "Kong et al., CR-Net, ICLR 2026, arXiv 2509.18993",
      "U Vᵀ beside a share of the same output one layer before"};
  using Options = CRNetOptions;
  template <class Scalar, class Backend>
  using Weight = CRNetWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
