// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/bias.hpp>
#include <accrete/plan/context.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <string>

ACCRETE_BEGIN_NAMESPACE

/// Where a weight stands in a network, and how it starts.
struct WeightPlace {
  Index rows = 0, cols = 0;
  /// Standard deviation of the entries of the dense matrix that the weight starts as, or stands
  /// for.
  double deviation = 0.02;
  /// Of this weight alone: the same place gives the same start.
  std::uint64_t seed = 0;
  /// The layer that it belongs to, of `layers`; counted from 0.
  Index layer = 0, layers = 1;
};

/// What a weight is told of a training step.
struct StepInfo {
  std::int64_t step = 0;        ///< updates before this one
  std::int64_t total_steps = 0; ///< of the whole training; 0 where nobody knows
  double learning_rate = 0;
  double gradient_scale = 1; ///< what gradients are multiplied by as they are read, to clip them
};

/// Ranks of a weight: of a dense one all are 0.
struct WeightRank {
  Index rank = 0;    ///< that counts; a growing weight trains more columns than that
  Index columns = 0; ///< of each factor, or of the basis of a projection
};

/// What TrainedWeight::after_step did.
struct WeightChange {
  /// The optimizer forgot what it knew, and the learning rate is to be warmed up again.
  bool restarted = false;
};

/// What the gradient of a parameter is.
enum class GradientKind : unsigned char {
  /// The derivative of the loss.
  exact,
  /// A projection of it, of another shape.
  projected,
  /// What the method uses in its place.
  modified
};

/// One tensor of a trained weight.
template <class Scalar, class Backend = Cpu>
struct WeightParameter {
  const char* name; ///< "weight", "weight_u", ...
  ViewOn<Scalar, Backend> value;
  ViewOn<Scalar, Backend> gradient; ///< without data where the tensor is frozen
  GradientKind kind = GradientKind::exact;

  [[nodiscard]] bool is_trained() const noexcept { return gradient.data != nullptr; }
};

/// What a checkpoint stores of a weight beside its parameters. What the visitor writes into a
/// buffer or a number becomes the state.
template <class Scalar, class Backend = Cpu>
class StateVisitor {
 public:
  StateVisitor() = default;
  StateVisitor(const StateVisitor&) = delete;
  StateVisitor& operator=(const StateVisitor&) = delete;
  virtual ~StateVisitor() = default;

  virtual void tensor(const std::string& name, ViewOn<Scalar, Backend> values) = 0;
  virtual void counts(const std::string& name, std::span<std::int64_t> values) = 0;
  virtual void number(const std::string& name, double& value) = 0;

  void count(const std::string& name, std::int64_t& value) { counts(name, {&value, 1}); }
};

/// The linear map of a layer under a training method: its parameters, their gradients and
/// optimizers, and what happens to them between steps. X holds one sample a column.
///
///     weight.forward(x, y);            // y = W x
///     weight.backward(x, dy, dx);      // gradients += ..., dx = Wᵀ dy
///     weight.step(info);
///     weight.after_step(info);         // grows, merges, restarts: shapes may change here alone
///
/// A method is a class derived from this one, mostly from DenseWeight, FactoredWeight or
/// ProjectedWeight, and an entry in methods/registry.hpp.
template <class WeightScalar, class WeightBackend = Cpu>
class TrainedWeight {
 public:
  using Scalar = WeightScalar;
  using Backend = WeightBackend;
  using Storage = Matrix<Scalar, Backend>;
  using Parameter = WeightParameter<Scalar, Backend>;
  using ParameterVisitor = std::function<void(const Parameter&)>;
  using NumberVisitor = std::function<void(const char*, std::int64_t&)>;

  TrainedWeight() = default;
  TrainedWeight(const TrainedWeight&) = delete;
  TrainedWeight& operator=(const TrainedWeight&) = delete;
  virtual ~TrainedWeight() = default;

  [[nodiscard]] virtual Index rows() const = 0;
  [[nodiscard]] virtual Index cols() const = 0;

  /// y = W x. Keeps what backward() needs of it.
  virtual void forward(const Storage& x, Storage& y) = 0;
  /// Adds to the gradients; overwrites dx = Wᵀ dy. `x` is that of the last forward().
  virtual void backward(const Storage& x, const Storage& dy, Storage& dx) = 0;

  /// forward(), and adds bias, rows() x 1, to every column of y.
  virtual void forward_with_bias(const Storage& x, ViewOn<const Scalar, Backend> bias, Storage& y) {
    forward(x, y);
    add_to_columns<Backend, Scalar>(Context<Backend>::current().device(), bias, view_of(y));
  }
  /// backward(), and adds the sums of dy's rows to bias_gradient, rows() x 1.
  virtual void backward_with_bias(const Storage& x, const Storage& dy, Storage& dx,
                                  ViewOn<Scalar, Backend> bias_gradient) {
    detail::check_bias("backward_with_bias", bias_gradient, view_of(dy));
    Kernels<Backend>::template add_row_sums<Scalar>(Context<Backend>::current().device(),
                                                    view_of(dy), bias_gradient);
    backward(x, dy, dx);
  }

  /// Calls visit(parameter) for each tensor, frozen ones too.
  virtual void visit_parameters(const ParameterVisitor& visitor) = 0;

  /// One update by the gradients, which stay as they are.
  virtual void step(const StepInfo& info) = 0;
  /// What the method does between two steps; called after every step(), with the same info.
  virtual WeightChange after_step(const StepInfo& /*info*/) { return {}; }

  /// Calls visit(name, number) for what the shapes of the parameters follow from. Another number
  /// that the visitor writes reshapes them; what they then hold is to be loaded.
  /// @throws RankError, ArgumentError for a number that cannot be.
  virtual void visit_shape(const NumberVisitor& /*visitor*/) {}
  /// Everything else that the next steps depend on. Shapes and parameters are to be restored first.
  virtual void visit_state(StateVisitor<Scalar, Backend>& visitor) = 0;

  [[nodiscard]] virtual WeightRank rank() const { return {}; }
  /// FLOPs of forward and backward for one column of x.
  [[nodiscard]] virtual double flops() const = 0;

  /// The layer's nonlinearity stands between the factors: the activation that would follow is left
  /// out (CoLA).
  [[nodiscard]] virtual bool replaces_activation() const { return false; }
  /// The output of the same weight one layer before is part of this one's (CR-Net).
  [[nodiscard]] virtual bool takes_previous_output() const { return false; }
  /// Adds the part that comes from `previous` to y, after forward().
  virtual void add_previous(const Storage& /*previous*/, Storage& /*y*/) {}
  /// Overwrites dprevious with the gradient by `previous`, and adds to the parameters' gradients.
  virtual void previous_gradient(const Storage& /*previous*/, const Storage& /*dy*/,
                                 Storage& /*dprevious*/) {}
};

/// Sets all gradients to zero.
template <class Scalar, class Backend>
void zero_gradients(TrainedWeight<Scalar, Backend>& weight) {
  weight.visit_parameters([](const WeightParameter<Scalar, Backend>& parameter) {
    if (parameter.is_trained()) {
      Kernels<Backend>::fill(Context<Backend>::current().device(), Scalar{0}, parameter.gradient);
    }
  });
}

ACCRETE_END_NAMESPACE
