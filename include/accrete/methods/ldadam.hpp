// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/qr.hpp>
#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/subspace_weight.hpp>

#include <cmath>
#include <cstdint>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

struct LDAdamOptions {
  Index rank = 0;
  double rho = 0.908;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the projection; 0: a quarter of the smaller side");
    visitor.real("rho", rho, 0, 1, "share of the momentum in what the basis follows");
  }
};

/// AdamW in a subspace that follows the gradient at every step, without loss of what lies outside
/// (Robert et al., LDAdam, ICLR 2025, arXiv 2410.16103):
///
///     A = G + E
///     P⁺ = qr(B Bᵀ P),   B = ρ P M̂ᵀ + (1 - ρ) A         one warm block power step
///     C = P⁺ᵀ P:  M <- M Cᵀ,  V <- the variances rotated    the moments follow the basis
///     E = A - P⁺ P⁺ᵀ A + β1 / (1 - β1) (P M_oldᵀ - P⁺ M_newᵀ)   the error, fed back
///     R = (P⁺ᵀ A)ᵀ,   W -= η P⁺ AdamW(R)ᵀ
///
/// P, s x r on the shorter side of W, is the leading singular vectors of G at the first step. The
/// power step orthonormalises Bᵀ P in between, which gives the same basis without squares of small
/// numbers; B is not formed. The authors set β1 = ρ = 0.908 and β2 = 0.99; here the betas are
/// AdamW's options. Weight decay comes before the update.
///
/// Their code keeps E in the buffer of the gradient, which here is the trainer's to clear: E has a
/// buffer of its own. Memory: m n each for W, G and E, s r for P and 2 l r for the moments. A step
/// costs seven products with r columns, passes an r x r matrix through the host, and allocates the
/// rotated moments anew.
template <class Scalar, class Backend = Cpu>
class LDAdamWeight : public SubspaceWeight<Scalar, Backend> {
  using Base = SubspaceWeight<Scalar, Backend>;

 public:
  using typename Base::ConstView;
  using typename Base::Storage;
  using typename Base::View;

  LDAdamWeight(const WeightPlace& place, const LDAdamOptions& options,
               const AdamWOptions& optimizer)
      : Base(detail::dense_start<Scalar, Backend>(place),
             detail::rank_or_quarter("ldadam", options.rank, place.rows, place.cols), optimizer),
        rho_(options.rho),
        seed_(detail::seed_of(place, 1)),
        error_(detail::zero_matrix<Scalar, Backend>(place.rows, place.cols)),
        basis_(detail::zero_matrix<Scalar, Backend>(this->short_side(), this->projection_.cols())),
        next_basis_(basis_) {}

  [[nodiscard]] const Storage& basis() const noexcept { return basis_; }

  void step(const StepInfo& info) override {
    const View error = this->wide(error_);
    add(info.gradient_scale, view_of(this->gradient_), view_of(error_)); // A, in E's place
    if (this->optimizer_.steps()[0] == 0) {
      basis_ = this->leading_vectors(error, BasisSearch::randomized, seed_);
      this->project(error, view_of(basis_), this->projection_);
    } else {
      find_next_basis(error);
      this->project(error, view_of(next_basis_), this->projection_);
      change_basis(error);
    }
    this->add_expanded(-1, view_of(basis_), this->projection_, error);
    this->optimizer_.direction(this->projection_, this->direction_);
    this->decay(info.learning_rate);
    this->add_expanded(-info.learning_rate, view_of(basis_), this->direction_,
                       this->wide(this->weight_));
  }

  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    visitor.tensor("weight.basis", view_of(basis_));
    visitor.tensor("weight.error", view_of(error_));
  }

 private:
  static void add(double factor, ConstView from, View to) {
    Kernels<Backend>::combine(Base::device(), static_cast<Scalar>(factor), from, Scalar{1}, to);
  }

  /// P⁺ from A.
  void find_next_basis(ConstView a) {
    auto& device = this->device();
    const auto& adamw = this->optimizer_.options();
    const double age = static_cast<double>(this->optimizer_.steps()[0]);
    const double of_mean = rho_ / -std::expm1(age * std::log(adamw.beta1));
    const ConstView mean = this->optimizer_.first(); // M, not corrected
    const Index rank = basis_.cols();
    detail::Frame<Backend> frame(device.workspace());
    const View triangle = detail::temporary<Scalar>(frame, rank, rank);

    // Z = Bᵀ P = ρ M̂ + (1 - ρ) Aᵀ P = Q triangle
    const View z = view_of(this->projection_);
    const View q = view_of(this->direction_);
    Kernels<Backend>::gemm(device, static_cast<Scalar>(1 - rho_), a.transposed(),
                           ConstView(view_of(basis_)), Scalar{0}, z);
    add(of_mean, mean, z);
    detail::thin_qr_into<Backend, Scalar>(device, z, q, triangle);

    // B Q = ρ P (M̂ᵀ Q) + (1 - ρ) A Q = P⁺ triangle
    const View image = detail::temporary<Scalar>(frame, basis_.rows(), rank);
    const View core = detail::temporary<Scalar>(frame, rank, rank);
    Kernels<Backend>::gemm(device, static_cast<Scalar>(of_mean), mean.transposed(), q.as_const(),
                           Scalar{0}, core);
    Kernels<Backend>::gemm(device, static_cast<Scalar>(1 - rho_), a, q.as_const(), Scalar{0},
                           image);
    Kernels<Backend>::gemm(device, Scalar{1}, ConstView(view_of(basis_)), core.as_const(),
                           Scalar{1}, image);
    detail::thin_qr_into<Backend, Scalar>(device, image, view_of(next_basis_), triangle);
  }

  /// The moments go over to P⁺, and what the first ones lose there to the error.
  void change_basis(View error) {
    const double beta = this->optimizer_.options().beta1;
    const double weight = beta / (1 - beta);
    const auto add_momentum = [&](double factor) {
      Kernels<Backend>::gemm(this->device(), static_cast<Scalar>(factor),
                             ConstView(view_of(basis_)),
                             ConstView(this->optimizer_.first()).transposed(), Scalar{1}, error);
    };
    add_momentum(weight);
    this->optimizer_.rotate(to_host(transpose(basis_) * next_basis_));
    basis_.swap(next_basis_);
    add_momentum(-weight);
  }

  double rho_;
  std::uint64_t seed_;
  Storage error_; // E
  Storage basis_, next_basis_;
};

struct LDAdam {
  static constexpr MethodDescription description{
      "ldadam", "LDAdam", "Robert et al., LDAdam, ICLR 2025, arXiv 2410.16103",
      "dense W, AdamW in a subspace that follows the gradient, error fed back"};
  using Options = LDAdamOptions;
  template <class Scalar, class Backend>
  using Weight = LDAdamWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
