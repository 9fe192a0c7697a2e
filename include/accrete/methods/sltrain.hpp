// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/methods/factored_weight.hpp>
#include <accrete/methods/registry_entry.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

struct SLTrainOptions {
  Index rank = 0;
  double alpha = 0;
  double density = 0.03;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor.whole("rank", rank, 0, detail::most_rank,
                  "of the factors; 0: a quarter of the smaller side");
    visitor.real("alpha", alpha, 0, 1e6, "U Vᵀ is scaled by alpha / rank; 0: by 1");
    visitor.real("density", density, 0, 1, "share of the entries that the sparse part has");
  }
};

namespace detail {

/// `count` of the numbers below `size`, ascending: each set is as likely as any other.
[[nodiscard]] inline std::vector<Index> random_subset(Index size, Index count,
                                                      const WeightPlace& place) {
  std::vector<Index> chosen;
  chosen.reserve(static_cast<std::size_t>(count));
  for (Index i = 0; i < size && count > 0; ++i) { // selection sampling
    const std::uint64_t random = seed_of(place, static_cast<std::uint64_t>(i) + 8) >> 11U;
    if (static_cast<double>(random) * 0x1p-53 * static_cast<double>(size - i) <
        static_cast<double>(count)) {
      chosen.push_back(i);
      --count;
    }
  }
  return chosen;
}

} // namespace detail

/// A matrix of low rank beside a sparse one on a fixed random support (Han et al., SLTrain, NeurIPS
/// 2024, arXiv 2406.02214):
///
///     W = s U Vᵀ + S,   s = alpha / r
///     dU = s dY (Vᵀ X)ᵀ,   dV = s X (Uᵀ dY)ᵀ,   dS = dY Xᵀ at the support
///
/// U starts at zero, V uniform in ±1 / sqrt(n), S uniform in ±1 / sqrt(n) at round(density m n)
/// positions, at least one. They follow from the seed and are no part of the state.
///
/// S is used and dY Xᵀ computed a few columns at a time, never as an m x n matrix: S X, Sᵀ dY and
/// dS cost 2 m n p FLOPs each, as a dense layer, and 2^17 entries of memory. The method saves
/// memory, not time. The entries of the support alone would be 2 density m n p FLOPs, but a row of
/// X and one of dY would have to be gathered for each.
///
/// Memory: (m + n) r + density m n weights, as many gradients, twice as many of AdamW's state, and
/// eight bytes of host memory for each position. Difference to the authors' code, which forms W and
/// the whole of dW in each pass: none in what is computed.
template <class Scalar, class Backend = Cpu>
class SLTrainWeight : public FactoredWeight<LowRankMatrix<Scalar, Backend>> {
  using Base = FactoredWeight<LowRankMatrix<Scalar, Backend>>;
  using View = ViewOn<Scalar, Backend>;
  using ConstView = ViewOn<const Scalar, Backend>;
  using K = Kernels<Backend>;

 public:
  using typename Base::Parameter;
  using typename Base::ParameterVisitor;
  using typename Base::Storage;

  SLTrainWeight(const WeightPlace& place, const SLTrainOptions& options,
                const AdamWOptions& optimizer)
      : SLTrainWeight(place, options, optimizer,
                      detail::rank_or_quarter("sltrain", options.rank, place.rows, place.cols)) {}

  /// Where S has entries, ascending: row + column * rows().
  [[nodiscard]] std::vector<Index> support() const {
    std::vector<Index> result;
    for (const Piece& piece : pieces_) {
      for (const Index position : positions_of(piece)) {
        result.push_back(position + piece.column * this->rows());
      }
    }
    return result;
  }

  void forward(const Storage& x, Storage& y) override {
    Base::forward(x, y);
    scale(view_of(std::as_const(y)), view_of(y));
    for_each_piece([&](const Piece& piece, View s) {
      scatter(piece, s);
      K::gemm(device(), Scalar{1}, s.as_const(), rows_of(x, piece), Scalar{1}, view_of(y));
    });
  }

  void backward(const Storage& x, const Storage& dy, Storage& dx) override {
    detail::fit_storage(scaled_, dy.rows(), dy.cols());
    scale(view_of(dy), view_of(scaled_));
    Base::backward(x, scaled_, dx);
    for_each_piece([&](const Piece& piece, View s) {
      scatter(piece, s);
      K::gemm(device(), Scalar{1}, s.as_const().transposed(), view_of(dy), Scalar{1},
              rows_of(dx, piece));
      const View g = s; // S is used up
      K::gemm(device(), Scalar{1}, view_of(dy), rows_of(x, piece).transposed(), Scalar{0}, g);
      gather(piece, g);
    });
  }

  void visit_parameters(const ParameterVisitor& visitor) override {
    Base::visit_parameters(visitor);
    visitor(Parameter{"weight_s", view_of(values_), view_of(gradient_)});
  }
  void step(const StepInfo& info) override {
    Base::step(info);
    optimizer_.step(values_, gradient_, info.learning_rate, info.gradient_scale);
  }
  void visit_state(StateVisitor<Scalar, Backend>& visitor) override {
    Base::visit_state(visitor);
    detail::visit_optimizer(optimizer_, "weight_s.", visitor);
  }
  [[nodiscard]] double flops() const override {
    return Base::flops() + 6.0 * static_cast<double>(this->rows() * this->cols());
  }

 private:
  /// Some columns of W, and the entries of S in them.
  struct Piece {
    Index column, columns;
    Index first, count; // of the entries
  };

  SLTrainWeight(const WeightPlace& place, const SLTrainOptions& options,
                const AdamWOptions& optimizer, Index rank)
      : Base(start(place, rank), optimizer),
        scale_(options.alpha > 0 ? options.alpha / static_cast<double>(rank) : 1.0) {
    const Index entries = place.rows * place.cols;
    const auto wanted =
        static_cast<Index>(std::llround(options.density * static_cast<double>(entries)));
    const Index count = std::clamp<Index>(wanted, 1, entries);
    positions_ = detail::random_subset(entries, count, place);
    values_ = Storage(count, 1);
    fill_uniform(place, 3, view_of(values_));
    gradient_ = detail::zero_matrix<Scalar, Backend>(count, 1);
    optimizer_ = AdamW<Scalar, Backend>(count, 1, optimizer);
    divide();
  }

  static LowRankMatrix<Scalar, Backend> start(const WeightPlace& place, Index rank) {
    Storage v(place.cols, rank);
    fill_uniform(place, 2, view_of(v));
    return {detail::zero_matrix<Scalar, Backend>(place.rows, rank), std::move(v)};
  }
  static void fill_uniform(const WeightPlace& place, std::uint64_t stream, View values) {
    const double bound = 1 / std::sqrt(static_cast<double>(place.cols));
    K::fill_uniform(device(), detail::seed_of(place, stream), -bound, bound, values);
  }
  static Device<Backend>& device() { return Context<Backend>::current().device(); }

  /// Pieces that stay in the cache; positions become those within their piece.
  void divide() {
    constexpr Index piece_entries = Index{1} << 17;
    const Index width = std::max<Index>(16, piece_entries / this->rows());
    Index first = 0;
    for (Index column = 0; column < this->cols(); column += width) {
      const Index columns = (std::min)(width, this->cols() - column);
      Index last = first;
      while (last < values_.rows() &&
             positions_[static_cast<std::size_t>(last)] < (column + columns) * this->rows()) {
        positions_[static_cast<std::size_t>(last++)] -= column * this->rows();
      }
      if (last > first) {
        pieces_.push_back({column, columns, first, last - first});
      }
      first = last;
    }
  }
  [[nodiscard]] std::span<const Index> positions_of(const Piece& piece) const {
    return std::span(positions_)
        .subspan(static_cast<std::size_t>(piece.first), static_cast<std::size_t>(piece.count));
  }
  template <class Action>
  void for_each_piece(const Action& action) {
    for (const Piece& piece : pieces_) {
      detail::Frame<Backend> frame(device().workspace());
      action(piece, detail::temporary<Scalar>(frame, this->rows(), piece.columns));
    }
  }
  /// All entries of a contiguous matrix as one row, whose columns are gathered and scattered.
  template <class T>
  static auto row(ViewOn<T, Backend> values) {
    return dense_view<typename Backend::Space>(values.data, 1, values.size());
  }
  template <class Matrix>
  static auto rows_of(Matrix& matrix, const Piece& piece) {
    return view_of(matrix).block(piece.column, 0, piece.columns, matrix.cols());
  }
  void scatter(const Piece& piece, View s) const {
    K::fill(device(), Scalar{0}, s);
    const ConstView values = row(view_of(values_)).columns(piece.first, piece.count);
    K::scatter_add_columns(device(), values, positions_of(piece), row(s));
  }
  void gather(const Piece& piece, View g) {
    detail::Frame<Backend> frame(device().workspace());
    const View found = detail::temporary<Scalar>(frame, 1, piece.count);
    K::gather_columns(device(), row(g).as_const(), positions_of(piece), found);
    K::combine(device(), Scalar{1}, found.as_const(), Scalar{1},
               row(view_of(gradient_)).columns(piece.first, piece.count));
  }
  void scale(ConstView source, View target) const {
    K::combine(device(), static_cast<Scalar>(scale_), source, Scalar{0}, target);
  }

  double scale_;
  std::vector<Index> positions_; // of all pieces
  std::vector<Piece> pieces_;
  Storage values_, gradient_; // of S at the support
  Storage scaled_;            // s dY
  AdamW<Scalar, Backend> optimizer_;
};

struct SLTrain {
  static constexpr MethodDescription description{
      "sltrain", "SLTrain", "Han et al., SLTrain, NeurIPS 2024, arXiv 2406.02214",
      "s U Vᵀ and a sparse matrix on a fixed support"};
  using Options = SLTrainOptions;
  template <class Scalar, class Backend>
  using Weight = SLTrainWeight<Scalar, Backend>;
};

ACCRETE_END_NAMESPACE
