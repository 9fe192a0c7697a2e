// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/registry_entry.hpp>
#include <accrete/methods/spectral_weight.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

struct MESTOptions {
  Index rank = 0;
  std::int64_t period = 200;
  double share = 0.1;
  double gradient_weight = 0.01;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "number of directions; 0: a quarter of the smaller side");
    visitor.whole("period", period, 1, detail::most_steps, "steps between two replacements");
    visitor.real("share", share, 0, 1,
                 "of the directions that the first replaces; falls to 0 over the training");
    visitor.real("gradient-weight", gradient_weight, 0, 1e6,
                 "lambda of the score |sigma| + lambda |dsigma|");
  }
};

/// W = U diag(σ) Vᵀ with columns of length 1, of whose directions the least are replaced by random
/// ones now and then: the elastic mutation of Yuan et al., MEST, NeurIPS 2021, arXiv 2110.14032,
/// which removes and regrows entries of a sparse matrix. Every `period` steps the share p of the
/// directions of least
///
///     |σ_i| + λ |dσ_i|
///
/// goes, dσ being the gradient of that step, and as many come with random columns of U and V and
/// σ = 0, so that they change W no more than the removed ones did. Their moments and counts start
/// anew. p falls to 0 linearly over the training, and stays where nobody knows its length. All is
/// trained by AdamW; weight decay acts on σ.
///
/// The paper is about entries; the score of singular directions is this library's reading. Its
/// soft memory bound, to grow before removing, is a larger `rank` here; its choice of samples is
/// the training's. Memory for r directions: 4 r (m + n + 1) with gradients and state.
template <class Scalar, class Backend = Cpu>
class MESTWeight : public SpectralWeight<Scalar, Backend> {
  using Base = SpectralWeight<Scalar, Backend>;

 public:
  using typename Base::Storage;

  MESTWeight(const WeightPlace& place, const MESTOptions& options, const AdamWOptions& optimizer)
      : MESTWeight(detail::rank_or_quarter("mest", options.rank, place.rows, place.cols), place,
                   options, optimizer) {}

  WeightChange after_step(const StepInfo& info) override {
    const std::int64_t done = info.step + 1;
    if (done % options_.period == 0) {
      const double left = info.total_steps > 0 ? 1 - static_cast<double>(done) /
                                                         static_cast<double>(info.total_steps)
                                               : 1.0;
      const auto count = static_cast<Index>(
          std::ceil(options_.share * left * static_cast<double>(this->directions())));
      if (count > 0) {
        replace(least((std::min)(count, this->directions())), done);
      }
    }
    return {};
  }

 private:
  MESTWeight(Index rank, const WeightPlace& place, const MESTOptions& options,
             const AdamWOptions& optimizer)
      : Base(svd(detail::normal_factors<Scalar, Backend>(place, rank)), rank, rank, false,
             optimizer),
        options_(options),
        place_(place) {}

  /// The `count` directions of least score.
  [[nodiscard]] std::vector<Index> least(Index count) const {
    const Eigen::VectorXd gradient =
        to_host(view_of(this->sigma_gradient_)).template cast<double>();
    const Eigen::VectorXd score =
        this->host_sigma().cwiseAbs() + options_.gradient_weight * gradient.cwiseAbs();
    std::vector<Index> order(static_cast<std::size_t>(score.size()));
    std::iota(order.begin(), order.end(), Index{0});
    std::ranges::stable_sort(order, [&](Index a, Index b) { return score[a] < score[b]; });
    order.resize(static_cast<std::size_t>(count));
    return order;
  }

  void replace(const std::vector<Index>& directions, std::int64_t done) {
    std::vector<Index> kept(static_cast<std::size_t>(this->directions()));
    std::iota(kept.begin(), kept.end(), Index{0});
    for (const Index direction : directions) {
      kept[static_cast<std::size_t>(direction)] = -1;
    }
    const auto regrow = [&](Storage& factor, std::uint64_t stream) {
      Storage fresh = detail::normal_matrix<Scalar, Backend>(
          factor.rows(), static_cast<Index>(directions.size()), 1.0,
          detail::seed_of(place_, 2 * static_cast<std::uint64_t>(done) + stream));
      this->normalise(view_of(fresh));
      Base::gather_columns(factor, kept);
      Kernels<Backend>::scatter_add_columns(Base::device(), view_of(std::as_const(fresh)),
                                            directions, view_of(factor));
    };
    regrow(this->u_, 1);
    regrow(this->v_, 2);
    Base::gather_entries(this->sigma_, kept);
    this->u_optimizer_.reset_columns(directions);
    this->v_optimizer_.reset_columns(directions);
    this->sigma_optimizer_.reset_columns(directions);
  }

  MESTOptions options_;
  WeightPlace place_;
};

struct MEST {
  static constexpr MethodDescription description{
      "mest", "MEST of σ", "Yuan et al., MEST, NeurIPS 2021, arXiv 2110.14032",
      "U diag(σ) Vᵀ, the least directions are replaced"};
  using Options = MESTOptions;
  template <class Scalar, class Backend>
  using Weight = MESTWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
