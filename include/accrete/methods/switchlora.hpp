// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/random.hpp>
#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

struct SwitchLoRAOptions {
  enum class Selection : unsigned char { contiguous, random };

  Index rank = 0;
  double alpha = 1;
  std::int64_t interval = 40;
  double decay_share = 0.1;
  std::int64_t rest = 5;
  Selection selection = Selection::contiguous;
  bool compensate = false;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the update; 0: a quarter of the smaller side");
    visitor.real("alpha", alpha, 1e-6, 1e6, "the update is scaled by alpha / rank");
    visitor.whole("interval", interval, 1, detail::most_steps,
                  "steps between two switches of a column, at the start");
    visitor.real("decay-share", decay_share, 0, 1e6,
                 "share of the training after which switches are 0.3 times as frequent; 0: no "
                 "decay");
    visitor.whole("rest", rest, 0, detail::most_steps,
                  "steps that the counterpart of a switched column rests");
    visitor.choice("selection", selection, {"contiguous", "random"},
                   "columns and candidates one after the other, or at random");
    visitor.flag("compensate", compensate, "subtract the first update from W0");
  }
};

/// W0 + s U Vᵀ of which some columns are exchanged at every step for candidates out of a pool (Zhou
/// and Wang, SwitchLoRA, arXiv 2406.06564), s = alpha / r:
///
///     W0 += s (u_i - u') v_iᵀ,   u_i <-> u'     the output stays what it was
///
/// and the same for v_i. The pools hold min(m, n) - r columns of U and of V; a column that goes
/// takes the place of its candidate. A column is switched every interval / 0.3^(t / (decay_share
/// T)) steps on average. What changes is the gradient of the counterpart, of v_i where u_i goes:
/// its moments and step count are reset, and it rests for some steps. The switched column keeps its
/// own.
///
/// Columns and candidates are uniform random with the deviations of the paper, under which s U Vᵀ
/// has the deviation of the dense start. W0 is started beside it: W has √2 times that deviation, as
/// in the authors' code, unless `compensate` is set.
///
/// Selection: the authors' code goes round robin over slots and candidates, V from the first slot
/// and U from the middle, which is the default here; the paper chooses at random, here uniformly.
/// Differences to the code: columns are switched after a step instead of before the next one's
/// update, resting ones are skipped, so that any interval is allowed (there at least twice the
/// rest), and they rest altogether (there their gradient is zero). The pools lie in the memory of
/// the backend. Memory: m n for W0, (m + n) r each for factors and gradients, 2 (m + n) r for
/// moments and (m + n) (min(m, n) - r) for the pools.
template <class Scalar, class Backend = Cpu>
class SwitchLoRAWeight : public FactoredWeight<CumulativeUpdate<Scalar, Backend>> {
  using Matrix = CumulativeUpdate<Scalar, Backend>;
  using Base = FactoredWeight<Matrix>;

 public:
  using typename Base::Storage;
  using typename Base::View;

  SwitchLoRAWeight(const WeightPlace& place, const SwitchLoRAOptions& options,
                   const AdamWOptions& optimizer)
      : Base(start(place, options), optimizer), options_(options), place_(place) {
    const Index rank = this->factors().rank();
    const Index candidates = (std::min)(place.rows, place.cols) - rank;
    u_pool_.columns = u_columns(place, rank, candidates, 3);
    v_pool_.columns = v_columns(place, rank, candidates, 4);
    u_pool_.next[0] = rank / 2;
  }

  WeightChange after_step(const StepInfo& info) override {
    const std::int64_t next = info.step + 1;
    auto& factors = this->factors();
    const double mean = static_cast<double>(factors.rank()) * frequency(next, info.total_steps);
    const auto chance =
        detail::uniform_pair(static_cast<std::uint64_t>(next), detail::seed_of(place_, 5));
    const auto rounded = [](double value, double uniform) {
      const double whole = std::floor(value);
      return static_cast<std::size_t>(whole) + (uniform < value - whole ? 1U : 0U);
    };
    const View base = this->matrix_.base_view();
    choose(v_pool_, rounded(mean, chance.first), 2 * next);
    switch_columns(v_pool_, factors.v_view(), factors.u_view(), this->u_optimizer_,
                   base.transposed());
    choose(u_pool_, rounded(mean, chance.second), 2 * next + 1);
    switch_columns(u_pool_, factors.u_view(), factors.v_view(), this->v_optimizer_, base);
    return {};
  }

  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    visitor.tensor("weight_u.candidates", view_of(u_pool_.columns));
    visitor.tensor("weight_v.candidates", view_of(v_pool_.columns));
    visitor.counts("weight_u.next", u_pool_.next);
    visitor.counts("weight_v.next", v_pool_.next);
  }

 private:
  struct Pool {
    Storage columns;
    std::array<std::int64_t, 2> next{}; // slot and candidate of the round robin
  };

  static Storage uniform(Index rows, Index columns, double deviation, std::uint64_t seed) {
    Storage result(rows, columns);
    const double bound = std::sqrt(3.0) * deviation;
    Kernels<Backend>::fill_uniform(Context<Backend>::current().device(), seed, -bound, bound,
                                   view_of(result));
    return result;
  }
  /// Deviations whose product is r √place.deviation², split as the authors do. They write it for
  /// Kaiming's deviation 1 / sqrt(3 n).
  static Storage u_columns(const WeightPlace& place, Index rank, Index columns,
                           std::uint64_t stream) {
    const auto [m, n, r] = sizes(place, rank);
    const double deviation = std::pow(r / std::sqrt(m * n), 0.25) * gain(place);
    return uniform(place.rows, columns, deviation, detail::seed_of(place, stream));
  }
  static Storage v_columns(const WeightPlace& place, Index rank, Index columns,
                           std::uint64_t stream) {
    const auto [m, n, r] = sizes(place, rank);
    const double deviation = std::pow(r * std::sqrt(m) / std::pow(n, 1.5), 0.25) * gain(place);
    return uniform(place.cols, columns, deviation, detail::seed_of(place, stream));
  }
  static std::array<double, 3> sizes(const WeightPlace& place, Index rank) {
    return {static_cast<double>(place.rows), static_cast<double>(place.cols),
            static_cast<double>(rank)};
  }
  static double gain(const WeightPlace& place) {
    return std::sqrt(place.deviation * std::sqrt(static_cast<double>(place.cols)));
  }

  static Matrix start(const WeightPlace& place, const SwitchLoRAOptions& options) {
    const Index rank = detail::rank_or_quarter("switchlora", options.rank, place.rows, place.cols);
    Matrix matrix(detail::dense_start<Scalar, Backend>(place),
                  {u_columns(place, rank, rank, 1), v_columns(place, rank, rank, 2)});
    const auto scale = static_cast<Scalar>(options.alpha / static_cast<double>(rank));
    matrix.set_scale(scale);
    if (options.compensate) {
      matrix.base_view() -= scale * matrix.low_rank().expression();
    }
    return matrix;
  }

  /// Switches of a column before update `step`, in steps^-1.
  [[nodiscard]] double frequency(std::int64_t step, std::int64_t total_steps) const {
    const double first = 1 / static_cast<double>(options_.interval);
    const double decay_steps = options_.decay_share * static_cast<double>(total_steps);
    return decay_steps > 0 ? first * std::pow(0.3, static_cast<double>(step + 1) / decay_steps)
                           : first;
  }

  /// Chooses `count` slots that do not rest on either side, fewer where there are not as many, and
  /// as many candidates.
  void choose(Pool& pool, std::size_t count, std::int64_t draw) {
    const Index rank = this->factors().rank();
    const Index candidates = pool.columns.cols();
    slots_.clear();
    for (Index i = 0; i < rank; ++i) {
      const Index slot = (pool.next[0] + i) % rank;
      const auto at = static_cast<std::size_t>(slot);
      if (this->u_optimizer_.frozen()[at] == 0 && this->v_optimizer_.frozen()[at] == 0) {
        slots_.push_back(slot);
      }
    }
    candidates_.clear();
    for (Index i = 0; i < candidates; ++i) {
      candidates_.push_back((pool.next[1] + i) % candidates);
    }
    count = (std::min)({count, slots_.size(), candidates_.size()});
    if (options_.selection == SwitchLoRAOptions::Selection::random) {
      draw_first(slots_, count, detail::seed_of(place_, 6 + 2 * static_cast<std::uint64_t>(draw)));
      draw_first(candidates_, count,
                 detail::seed_of(place_, 7 + 2 * static_cast<std::uint64_t>(draw)));
    } else if (count > 0) {
      pool.next = {(slots_[count - 1] + 1) % rank, (candidates_[count - 1] + 1) % candidates};
    }
    slots_.resize(count);
    candidates_.resize(count);
  }
  /// Brings a random choice of `count` numbers to the front.
  static void draw_first(std::vector<Index>& numbers, std::size_t count, std::uint64_t seed) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto left = static_cast<double>(numbers.size() - i);
      const double uniform = detail::uniform_pair(i, seed).first;
      std::swap(numbers[i], numbers[i + static_cast<std::size_t>(uniform * left)]);
    }
  }

  /// Exchanges the chosen columns of a factor for candidates, and adds to W0 (or its transpose)
  /// what the update loses: s (old - new) counterpartᵀ.
  void switch_columns(Pool& pool, View factor, View counterpart,
                      AdamW<Scalar, Backend>& state_of_counterpart, View base) {
    if (slots_.empty()) {
      return;
    }
    auto& device = Context<Backend>::current().device();
    const auto count = static_cast<Index>(slots_.size());
    const auto copy = [&](View from, View to) {
      Kernels<Backend>::combine(device, Scalar{1}, from.as_const(), Scalar{0}, to);
    };
    detail::Frame<Backend> frame(device.workspace());
    const View lost = detail::temporary<Scalar>(frame, factor.rows, count);
    const View others = detail::temporary<Scalar>(frame, counterpart.rows, count);
    Kernels<Backend>::gather_columns(device, factor.as_const(), std::span<const Index>(slots_),
                                     lost);
    Kernels<Backend>::gather_columns(device, counterpart.as_const(), std::span<const Index>(slots_),
                                     others);
    for (Index j = 0; j < count; ++j) {
      const View slot = factor.columns(slots_[static_cast<std::size_t>(j)], 1);
      const View candidate =
          view_of(pool.columns).columns(candidates_[static_cast<std::size_t>(j)], 1);
      const View old = lost.columns(j, 1);
      copy(candidate, slot);
      copy(old, candidate);
      Kernels<Backend>::combine(device, Scalar{-1}, slot.as_const(), Scalar{1}, old);
    }
    Kernels<Backend>::gemm(device, static_cast<Scalar>(this->matrix_.scale()), lost.as_const(),
                           others.as_const().transposed(), Scalar{1}, base);
    reset_counterpart(state_of_counterpart, slots_, options_.rest);
  }

  SwitchLoRAOptions options_;
  WeightPlace place_;
  Pool u_pool_, v_pool_;
  std::vector<Index> slots_, candidates_; // of one switch
};

struct SwitchLoRA {
  static constexpr MethodDescription description{"switchlora", "SwitchLoRA",
                                                 "Zhou and Wang, SwitchLoRA, arXiv 2406.06564",
                                                 "W0 + s U Vᵀ, columns switched with candidates"};
  using Options = SwitchLoRAOptions;
  template <class Scalar, class Backend>
  using Weight = SwitchLoRAWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
