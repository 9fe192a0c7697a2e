// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/factor/svd.hpp>
#include <accrete/factor/truncation.hpp>
#include <accrete/grow/growth.hpp>
#include <accrete/grow/initializers.hpp>
#include <accrete/grow/inrank.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

ACCRETE_BEGIN_NAMESPACE

/// 0 stands for the authors' setting, scaled to the weight where it is a number of columns.
struct InRankMethodOptions {
  double threshold = 0.9;
  ExplainedRatio reading = ExplainedRatio::energy;
  Index initial_rank = 0;
  Index buffer = 0;
  std::int64_t warmup = 0;
  std::int64_t interval = 0;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.real("threshold", threshold, 0, 1, "share of the update that the rank must explain");
    visitor.choice("reading", reading, {"energy", "variance"},
                   "how that share is measured: as in the paper, or in the authors' code");
    visitor.whole("initial-rank", initial_rank, 0, detail::most_rank,
                  "before the first check; 0: 2");
    visitor.whole("buffer", buffer, 0, detail::most_rank,
                  "columns trained beyond the rank; 0: 100, scaled to the weight");
    visitor.whole("warmup", warmup, 0, detail::most_steps,
                  "steps before the first check; 0: 200, inrank-efficient 25");
    visitor.whole("interval", interval, 0, detail::most_steps,
                  "steps between checks; 0: 25, inrank-efficient 3");
  }
};

struct InRankEfficientOptions : InRankMethodOptions {
  std::int64_t search_steps = 130;

  template <class Visitor>
  void visit(Visitor& visitor) {
    InRankMethodOptions::visit(visitor);
    visitor.whole("search-steps", search_steps, 1, detail::most_steps,
                  "after which the rank is found");
  }
};

namespace detail {

/// The policy of a weight. The authors check after 200 forward passes and then every 25, eight of
/// which make an update of their rank search: after 25 updates and every 3. Where the rank grows
/// all through the training, 200 and 25 are taken as updates.
/// @throws RankError when the weight has not room for the columns.
inline InRankOptions inrank_policy_options(const InRankMethodOptions& given, Index rows, Index cols,
                                           bool searches) {
  auto options = InRankOptions::scaled_to(rows, cols);
  const Index largest = (std::min)(rows, cols);
  // What is left to choose makes room for what is given.
  if (given.buffer > 0) {
    options.buffer = given.buffer;
    options.initial_rank = std::clamp<Index>(largest - given.buffer, 1, options.initial_rank);
  }
  if (given.initial_rank > 0) {
    options.initial_rank = given.initial_rank;
    if (given.buffer == 0) {
      options.buffer = std::clamp<Index>(largest - given.initial_rank, 0, options.buffer);
    }
  }
  require_rank_within("inrank: initial rank and buffer", options.initial_rank + options.buffer,
                      rows, cols);
  options.max_rank = (std::max)(options.max_rank, options.initial_rank + options.buffer);
  options.threshold = given.threshold;
  options.reading = given.reading;
  options.warmup = given.warmup > 0 ? given.warmup : (searches ? 25 : 200);
  options.interval = given.interval > 0 ? given.interval : (searches ? 3 : 25);
  return options;
}

} // namespace detail

/// A factored weight whose rank follows the singular values of its factors (Zhao et al., InRank,
/// arXiv 2306.11250): `rank` columns count, a buffer of others is trained beside them and shows
/// whether the rank suffices.
///
/// Differences to the authors' code: new columns leave the function as it is (there they come with
/// random values and it jumps), optimizer states follow every change of the columns, and the
/// singular values are those of the factors in O((m + n) r²), not of a dense m x n product.
template <class MatrixType>
class GrowingWeight : public FactoredWeight<MatrixType> {
  using Base = FactoredWeight<MatrixType>;

 public:
  using typename Base::Backend;
  using typename Base::NumberVisitor;
  using typename Base::Scalar;

  /// New columns of U get the Euclidean norm `column_length`.
  GrowingWeight(MatrixType matrix, const InRankPolicy& policy, double column_length,
                std::uint64_t seed, const AdamWOptions& optimizer)
      : Base(std::move(matrix), optimizer),
        policy_(policy),
        column_length_(column_length),
        seed_(seed) {}

  void visit_shape(const NumberVisitor& visitor) override {
    std::int64_t rank = policy_.rank();
    visitor("rank", rank);
    policy_.set_rank(static_cast<Index>(rank));
    Base::visit_shape(visitor);
    if (this->factors().rank() < policy_.rank()) {
      ACCRETE_THROW RankError("inrank: " + std::to_string(this->factors().rank()) +
                              " columns are fewer than the rank " + std::to_string(policy_.rank()));
    }
  }
  [[nodiscard]] WeightRank rank() const override {
    return {policy_.rank(), this->factors().rank()};
  }

 protected:
  /// Checks the rank where a check is due, and makes room for what it grows into.
  void grow_after(std::int64_t step) {
    if (!policy_.due(step)) {
      return;
    }
    policy_.update(singular_values(this->factors()));
    const Index added = policy_.active_columns() - this->factors().rank();
    if (added > 0) {
      accrete::grow(this->factors(), added, init::orthogonal(column_length_, seed_));
      this->fit();
    }
  }
  /// The best approximation of the found rank replaces rank and buffer.
  void drop_buffer() {
    const Index rank = policy_.rank();
    const auto report = this->factors().truncate({.max_rank = rank, .min_rank = rank});
    transport(this->u_optimizer_, this->v_optimizer_, report.basis);
    this->factors().shrink_to_fit();
    this->u_optimizer_.shrink_to_fit();
    this->v_optimizer_.shrink_to_fit();
    this->fit_gradients();
  }

 private:
  InRankPolicy policy_;
  double column_length_;
  std::uint64_t seed_;
};

/// W0 + U Vᵀ with W0 frozen, whose rank grows all through the training. V starts at zero, and U
/// with orthogonal columns that are as long as those of W0 on average.
template <class Scalar, class Backend = Cpu>
class InRankWeight : public GrowingWeight<CumulativeUpdate<Scalar, Backend>> {
  using Matrix = CumulativeUpdate<Scalar, Backend>;

 public:
  InRankWeight(const WeightPlace& place, const InRankMethodOptions& options,
               const AdamWOptions& optimizer)
      : InRankWeight(
            place, optimizer,
            InRankPolicy(detail::inrank_policy_options(options, place.rows, place.cols, false),
                         (std::min)(place.rows, place.cols))) {}

  WeightChange after_step(const StepInfo& info) override {
    this->grow_after(info.step + 1);
    return {};
  }

 private:
  InRankWeight(const WeightPlace& place, const AdamWOptions& optimizer, const InRankPolicy& policy)
      : GrowingWeight<Matrix>(start(place, policy.active_columns()), policy, column_length(place),
                              detail::seed_of(place, 3), optimizer) {}

  static double column_length(const WeightPlace& place) {
    return place.deviation * std::sqrt(static_cast<double>(place.rows));
  }
  static Matrix start(const WeightPlace& place, Index columns) {
    Matrix matrix(detail::dense_start<Scalar, Backend>(place));
    matrix.grow(columns, init::orthogonal(column_length(place), detail::seed_of(place, 1)));
    return matrix;
  }
};

/// U Vᵀ whose rank is searched during the first steps and then fixed: the variant of the authors'
/// code.
template <class Scalar, class Backend = Cpu>
class InRankEfficientWeight : public GrowingWeight<LowRankMatrix<Scalar, Backend>> {
  using Matrix = LowRankMatrix<Scalar, Backend>;

 public:
  InRankEfficientWeight(const WeightPlace& place, const InRankEfficientOptions& options,
                        const AdamWOptions& optimizer)
      : InRankEfficientWeight(
            place, options, optimizer,
            InRankPolicy(detail::inrank_policy_options(options, place.rows, place.cols, true),
                         (std::min)(place.rows, place.cols))) {}

  WeightChange after_step(const StepInfo& info) override {
    const std::int64_t done = info.step + 1;
    if (done <= search_steps_) {
      this->grow_after(done);
    }
    if (done == search_steps_) {
      this->drop_buffer();
    }
    return {};
  }

 private:
  InRankEfficientWeight(const WeightPlace& place, const InRankEfficientOptions& options,
                        const AdamWOptions& optimizer, const InRankPolicy& policy)
      : GrowingWeight<Matrix>(
            detail::normal_factors<Scalar, Backend>(place, policy.active_columns()), policy,
            detail::factor_deviation(place, policy.active_columns()) *
                std::sqrt(static_cast<double>(place.rows)),
            detail::seed_of(place, 3), optimizer),
        search_steps_(options.search_steps) {}

  std::int64_t search_steps_;
};

struct InRank {
  static constexpr MethodDescription description{
      "inrank", "InRank", "Zhao et al., InRank: Incremental Low-Rank Learning, arXiv 2306.11250",
      "W0 + U Vᵀ, W0 frozen, the rank grows", LayerSet::mlp};
  using Options = InRankMethodOptions;
  template <class Scalar, class Backend>
  using Weight = InRankWeight<Scalar, Backend>;
};

struct InRankEfficient {
  static constexpr MethodDescription description{
      "inrank-efficient", "InRank-Efficient",
      "Zhao et al., InRank: Incremental Low-Rank Learning, arXiv 2306.11250",
      "U Vᵀ whose rank is searched first", LayerSet::mlp};
  using Options = InRankEfficientOptions;
  template <class Scalar, class Backend>
  using Weight = InRankEfficientWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
