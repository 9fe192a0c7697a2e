// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/expr/nodes.hpp>

ACCRETE_BEGIN_NAMESPACE

/// Which of the two products of a Kept is evaluated.
enum class KeptChoice : unsigned char { predicted, whole, with_kept };

/// The product `whole` = weight * X where a small product of an earlier pass is kept, such as
/// Z = Vᵀ X: `with_kept` has the same value and reads it, as W0 X + U Z. Assigned as it stands,
/// whichever is predicted to be faster is evaluated, unless the choice was made before: for many
/// columns that is the product with W0 + U Vᵀ formed first, which reads no Z. In a larger
/// expression it stands for `with_kept`.
template <class Whole, class WithKept>
class Kept : public Expression<Kept<Whole, WithKept>> {
 public:
  using Scalar = typename WithKept::Scalar;
  using Stored = typename WithKept::Stored;
  using Backend = detail::common_backend<typename Whole::Backend, typename WithKept::Backend>;
  static constexpr int leaf_count = WithKept::leaf_count;
  static constexpr int coefficient_count = WithKept::coefficient_count;

  Kept(Whole whole, WithKept with_kept, KeptChoice choice = KeptChoice::predicted)
      : whole_(std::move(whole)), with_kept_(std::move(with_kept)), choice_(choice) {}
  [[nodiscard]] Index rows() const noexcept { return with_kept_.rows(); }
  [[nodiscard]] Index cols() const noexcept { return with_kept_.cols(); }
  [[nodiscard]] const Whole& whole() const noexcept { return whole_; }
  [[nodiscard]] const WithKept& with_kept() const noexcept { return with_kept_; }
  [[nodiscard]] KeptChoice choice() const noexcept { return choice_; }

 private:
  Whole whole_;
  WithKept with_kept_;
  KeptChoice choice_;
};

ACCRETE_END_NAMESPACE

namespace Eigen::internal {

template <class Whole, class WithKept>
struct traits<accrete::Kept<Whole, WithKept>> : traits<WithKept> {};

} // namespace Eigen::internal
