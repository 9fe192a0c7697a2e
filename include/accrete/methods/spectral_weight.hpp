// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>
#include <accrete/methods/dense_weight.hpp>
#include <accrete/methods/options.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

/// U diag(σ) Vᵀ with c directions, whose columns of U and V have length 1: they are brought back to
/// it after each step. All of σ is trained, of U and V the leading `active` columns; the others
/// have neither gradient nor optimizer state. With Z = Vᵀ X and D = Uᵀ dY:
///
///     Y = U (σ ∘ Z)      dσ = rows' sums of D ∘ Z      dX = V (σ ∘ D)
///     dU = dY (σ ∘ Z)ᵀ   dV = X (σ ∘ D)ᵀ
///
/// Weight decay acts on σ, which is that of W. What methods derive from: they change the directions
/// in after_step().
template <class WeightScalar, class WeightBackend = Cpu>
class SpectralWeight : public TrainedWeight<WeightScalar, WeightBackend> {
  using Base = TrainedWeight<WeightScalar, WeightBackend>;

 public:
  using typename Base::Backend;
  using typename Base::NumberVisitor;
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Scalar;
  using typename Base::Storage;
  using View = ViewOn<Scalar, Backend>;
  using ConstView = ViewOn<const Scalar, Backend>;

  [[nodiscard]] Index rows() const override { return u_.rows(); }
  [[nodiscard]] Index cols() const override { return v_.rows(); }
  /// c, and the columns of U and V that are trained.
  [[nodiscard]] Index directions() const { return sigma_.rows(); }
  [[nodiscard]] Index active() const { return u_gradient_.cols(); }

  void forward(const Storage& x, Storage& y) override {
    noalias(z_) = transpose(v_) * x;
    scale_rows(z_, scaled_z_);
    noalias(y) = lazy(u_) * scaled_z_;
  }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    noalias(d_) = transpose(u_) * dy;
    scale_rows(d_, scaled_d_);
    const auto leading = [&](const Storage& plain, const Storage& scaled) {
      return view_of(is_enhanced_ ? plain : scaled).block(0, 0, active(), x.cols());
    };
    noalias(u_gradient_) += lazy(dy) * transpose(leading(z_, scaled_z_));
    noalias(v_gradient_) += lazy(x) * transpose(leading(d_, scaled_d_));
    noalias(dx) = lazy(v_) * scaled_d_;

    if (ones_.rows() != x.cols()) {
      ones_ = Storage(x.cols(), 1);
      Kernels<Backend>::fill(device(), Scalar{1}, view_of(ones_));
    }
    const View product = view_of(scaled_d_); // has served
    Kernels<Backend>::hadamard(device(), Scalar{1}, view_of(std::as_const(d_)),
                               view_of(std::as_const(z_)), Scalar{0}, product);
    if (slope_.size() > 0) {
      Kernels<Backend>::scale_columns(device(), product.as_const().transposed(),
                                      view_of(std::as_const(slope_)), product.transposed());
    }
    noalias(sigma_gradient_) += lazy(scaled_d_) * ones_;
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    visitor(Parameter{"weight_u", view_of(u_), view_of(u_gradient_)});
    visitor(Parameter{"weight_sigma", view_of(sigma_), view_of(sigma_gradient_)});
    visitor(Parameter{"weight_v", view_of(v_), view_of(v_gradient_)});
  }

  void step(const StepInfo& info) override {
    step_factors(info.learning_rate, info.gradient_scale);
    step_row(sigma_, info.learning_rate, info.gradient_scale);
  }

  void visit_shape(const NumberVisitor& visitor) override {
    std::int64_t columns = directions();
    visitor("directions", columns);
    if (columns != directions()) {
      if (columns < 1 || columns > (std::min)(rows(), cols())) {
        ACCRETE_THROW RankError("a " + detail::shape_text(rows(), cols()) + " weight cannot have " +
                                std::to_string(columns) + " singular directions");
      }
      const Index all_active = active() == directions() ? columns : active();
      reshape(rows(), cols(), columns, all_active);
    }
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    detail::visit_optimizer(u_optimizer_, "weight_u.", visitor);
    detail::visit_optimizer(sigma_optimizer_, "weight_sigma.", visitor);
    detail::visit_optimizer(v_optimizer_, "weight_v.", visitor);
  }

  [[nodiscard]] WeightRank rank() const override { return {directions(), directions()}; }
  [[nodiscard]] double flops() const override {
    return static_cast<double>((rows() + cols()) * (4 * directions() + 2 * active()) +
                               6 * directions());
  }

 protected:
  using Optimizer = AdamW<Scalar, Backend>;

  /// The leading `directions` of a decomposition. `is_enhanced`: dU = dY Zᵀ and dV = X Dᵀ, without
  /// σ, by which small directions learn as fast as large ones.
  SpectralWeight(const SVD<Scalar, Backend>& parts, Index directions, Index active,
                 bool is_enhanced, const AdamWOptions& optimizer)
      : is_enhanced_(is_enhanced), adamw_(optimizer) {
    reshape(parts.U.rows(), parts.V.rows(), directions, active);
    assign(parts);
  }

  /// U, σ and V become the leading parts of a decomposition of at least as many.
  void assign(const SVD<Scalar, Backend>& parts) {
    copy(view_of(parts.U).left_columns(directions()), view_of(u_));
    copy(view_of(parts.V).left_columns(directions()), view_of(v_));
    upload(parts.singular_values, sigma_);
  }
  /// The first of the values, as many as the target has.
  template <class Values>
  static void upload(const Values& values, Storage& target) {
    const typename BasisChange<Scalar>::HostMatrix host =
        values.head(target.rows()).template cast<Scalar>();
    Kernels<Backend>::upload(device(), host.data(), view_of(target));
  }
  [[nodiscard]] Eigen::VectorXd host_sigma() const {
    return to_host(view_of(sigma_)).template cast<double>();
  }

  void step_factors(double rate, double scale) {
    const View u = view_of(u_).left_columns(active());
    const View v = view_of(v_).left_columns(active());
    u_optimizer_.step(u, u_gradient_, rate, scale);
    v_optimizer_.step(v, v_gradient_, rate, scale);
    normalise(u);
    normalise(v);
  }
  /// Of σ, or what is trained in its place.
  void step_row(Storage& sigma, double rate, double scale) {
    sigma_optimizer_.step(view_of(sigma).transposed(), view_of(sigma_gradient_).transposed(), rate,
                          scale);
  }

  /// Direction j becomes what direction indices[j] was. The states of U and V are the caller's.
  void gather(const std::vector<Index>& indices) {
    gather_columns(u_, indices);
    gather_columns(v_, indices);
    gather_entries(sigma_, indices);
    sigma_optimizer_.keep_columns(indices);
  }
  /// Of a factor, or of a column of c entries; zero where the index is -1.
  static void gather_columns(Storage& factor, const std::vector<Index>& indices) {
    Storage result(factor.rows(), static_cast<Index>(indices.size()));
    Kernels<Backend>::gather_columns(device(), view_of(std::as_const(factor)), indices,
                                     view_of(result));
    factor = std::move(result);
  }
  static void gather_entries(Storage& entries, const std::vector<Index>& indices) {
    Storage result(static_cast<Index>(indices.size()), 1);
    Kernels<Backend>::gather_columns(device(), view_of(std::as_const(entries)).transposed(),
                                     indices, view_of(result).transposed());
    entries = std::move(result);
  }
  /// Drops all directions but these; all are active.
  void keep(const std::vector<Index>& indices) {
    gather(indices);
    u_optimizer_.keep_columns(indices);
    v_optimizer_.keep_columns(indices);
    fit_gradients(static_cast<Index>(indices.size()));
  }

  /// Columns of length 1; one of length 0 stays as it is.
  void normalise(View columns) {
    norms_.resize(static_cast<std::size_t>(columns.cols));
    inverse_.resize(norms_.size());
    detail::Frame<Backend> frame(device().workspace());
    const auto norms = frame.template matrix<Scalar>(columns.cols, 1);
    Kernels<Backend>::column_norms(device(), columns.as_const(), norms);
    Kernels<Backend>::download(device(), norms.as_const(), norms_.data());
    std::transform(norms_.begin(), norms_.end(), inverse_.begin(),
                   [](Scalar norm) { return norm > 0 ? 1 / static_cast<double>(norm) : 1.0; });
    detail::scale_columns<Backend, Scalar>(device(), columns, inverse_, columns);
  }

  /// All parts and states for these sizes; what they hold is to be written.
  void reshape(Index rows, Index cols, Index directions, Index active) {
    const AdamWOptions undecayed = detail::without_decay(adamw_);
    u_ = detail::zero_matrix<Scalar, Backend>(rows, directions);
    v_ = detail::zero_matrix<Scalar, Backend>(cols, directions);
    sigma_ = detail::zero_matrix<Scalar, Backend>(directions, 1);
    u_optimizer_ = Optimizer(rows, active, undecayed);
    v_optimizer_ = Optimizer(cols, active, undecayed);
    sigma_optimizer_ = Optimizer(1, directions, adamw_);
    fit_gradients(active);
  }
  void fit_gradients(Index active) {
    u_gradient_ = detail::zero_matrix<Scalar, Backend>(rows(), active);
    v_gradient_ = detail::zero_matrix<Scalar, Backend>(cols(), active);
    sigma_gradient_ = detail::zero_matrix<Scalar, Backend>(directions(), 1);
  }

  static Device<Backend>& device() { return Context<Backend>::current().device(); }
  static void copy(ConstView from, View to) {
    detail::copy_into<Backend, Scalar>(device(), from, to);
  }

  Storage u_, v_, sigma_; // m x c, n x c, c x 1
  Storage u_gradient_, v_gradient_, sigma_gradient_;
  Optimizer u_optimizer_, v_optimizer_, sigma_optimizer_; // σ is a row to its own
  Storage slope_; // dσ/dθ, c x 1, where θ is trained in the place of σ

 private:
  /// Row i of the result is σ_i times row i.
  void scale_rows(const Storage& from, Storage& to) {
    detail::fit_storage(to, from.rows(), from.cols());
    Kernels<Backend>::scale_columns(device(), view_of(from).transposed(),
                                    view_of(std::as_const(sigma_)), view_of(to).transposed());
  }

  bool is_enhanced_;
  AdamWOptions adamw_;
  Storage z_, d_, scaled_z_, scaled_d_, ones_;
  std::vector<Scalar> norms_;
  std::vector<double> inverse_;
};

ACCRETE_END_NAMESPACE
