// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/random.hpp>
#include <accrete/factor/factor_space.hpp>
#include <accrete/finite.hpp>
#include <accrete/matrix/basis_change.hpp>
#include <accrete/number_text.hpp>
#include <accrete/optim/pruning.hpp>
#include <accrete/plan/context.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What the optimizers share: `Moments` matrices as large as an m x k parameter whose columns come
/// and go, and of each column how often it was updated and for how many steps it still rests.
template <class Scalar, class Backend, std::size_t Moments>
class ColumnState {
 public:
  using HostMatrix = typename BasisChange<Scalar>::HostMatrix;

  /// `owner` names the optimizer in errors. @throws ShapeError for negative sizes.
  ColumnState(const char* owner, Index rows, Index cols, Index capacity) : owner_(owner) {
    if (rows < 0 || cols < 0) {
      ACCRETE_THROW ShapeError(std::string(owner) + ": a " + shape_text(rows, cols) +
                               " parameter has no state");
    }
    for (Storage& moment : moments_) {
      moment = Storage(rows, (std::max)(cols, capacity));
    }
    append(cols);
  }

  [[nodiscard]] Index rows() const noexcept { return moments_[0].rows(); }
  [[nodiscard]] Index cols() const noexcept { return static_cast<Index>(steps_.size()); }
  [[nodiscard]] Index capacity() const noexcept { return moments_[0].cols(); }

  [[nodiscard]] ViewOn<Scalar, Backend> moment(std::size_t i) noexcept {
    return view_of(moments_[i]).left_columns(cols());
  }
  [[nodiscard]] ViewOn<const Scalar, Backend> moment(std::size_t i) const noexcept {
    return view_of(moments_[i]).left_columns(cols());
  }
  [[nodiscard]] std::span<std::int64_t> steps() noexcept { return span_of(steps_.data(), cols()); }
  [[nodiscard]] std::span<const std::int64_t> steps() const noexcept {
    return span_of(steps_.data(), cols());
  }
  [[nodiscard]] std::span<std::int64_t> frozen() noexcept {
    return span_of(frozen_.data(), cols());
  }
  [[nodiscard]] std::span<const std::int64_t> frozen() const noexcept {
    return span_of(frozen_.data(), cols());
  }

  void reserve(Index columns) {
    if (columns > capacity()) {
      steps_.reserve(static_cast<std::size_t>(columns));
      frozen_.reserve(static_cast<std::size_t>(columns));
      reallocate(columns);
    }
  }
  void shrink_to_fit() {
    if (capacity() > cols()) {
      steps_.shrink_to_fit();
      frozen_.shrink_to_fit();
      reallocate(cols());
    }
  }

  void append(Index count) {
    if (count < 0) {
      ACCRETE_THROW ArgumentError(std::string(owner_) + ": cannot append " + std::to_string(count) +
                                  " columns; use keep_columns to drop some");
    }
    const Index before = cols();
    if (count > (std::numeric_limits<Index>::max)() - before) {
      ACCRETE_THROW RankError(std::string(owner_) + ": " + std::to_string(before) + " + " +
                              std::to_string(count) + " columns are more than an index can count");
    }
    if (before + count > capacity()) {
      reserve((std::max)(2 * capacity(), before + count));
    }
    steps_.resize(static_cast<std::size_t>(before + count));
    frozen_.resize(static_cast<std::size_t>(before + count));
    clear(before, count);
  }

  void keep(std::span<const Index> indices) {
    check_columns("keep_columns", indices);
    const auto count = static_cast<Index>(indices.size());
    ColumnState kept(owner_, rows(), count, (std::max)(capacity(), count));
    for (std::size_t i = 0; i < Moments; ++i) {
      Kernels<Backend>::gather_columns(device(), std::as_const(*this).moment(i), indices,
                                       kept.moment(i));
    }
    for (std::size_t j = 0; j < indices.size(); ++j) {
      const auto from = static_cast<std::size_t>(indices[j]);
      kept.steps_[j] = steps_[from];
      kept.frozen_[j] = frozen_[from];
    }
    *this = std::move(kept);
  }

  void reset() {
    steps_.assign(steps_.size(), 0);
    frozen_.assign(frozen_.size(), 0);
    clear(0, cols());
  }

  void reset_columns(std::span<const Index> indices) {
    check_columns("reset_columns", indices);
    std::vector<Index> source(steps_.size());
    std::iota(source.begin(), source.end(), Index{0});
    Frame<Backend> frame(device().workspace());
    const auto before = temporary<Scalar>(frame, rows(), cols());
    for (const Index index : indices) {
      steps_[static_cast<std::size_t>(index)] = 0;
      source[static_cast<std::size_t>(index)] = -1;
    }
    for (std::size_t i = 0; i < Moments; ++i) {
      copy(std::as_const(*this).moment(i), before);
      Kernels<Backend>::gather_columns(device(), before.as_const(), source, moment(i));
    }
  }

  void freeze(std::span<const Index> indices, std::int64_t count) {
    check_columns("freeze_columns", indices);
    if (count < 0) {
      ACCRETE_THROW ArgumentError(std::string(owner_) + ": cannot freeze columns for " +
                                  std::to_string(count) + " steps");
    }
    for (const Index index : indices) {
      frozen_[static_cast<std::size_t>(index)] = count;
    }
  }

  /// Zeroes the same entries of all moments; returns how many of them were not zero before.
  Index prune(const Pruning& pruning) {
    pruning.validate();
    const auto size = static_cast<std::size_t>(rows() * cols());
    const auto count =
        static_cast<std::size_t>(std::llround(pruning.fraction * static_cast<double>(size)));
    if (count == 0) {
      return 0;
    }
    std::array<std::vector<Scalar>, Moments> host;
    for (std::size_t i = 0; i < Moments; ++i) {
      host[i].resize(size);
      Kernels<Backend>::download(device(), std::as_const(*this).moment(i), host[i].data());
    }
    Index cleared = 0;
    const std::vector<Index> order = pruning_order(pruning, host[0], count);
    for (std::size_t place = 0; place < count; ++place) {
      const auto entry = static_cast<std::size_t>(order[place]);
      bool was_set = false;
      for (auto& values : host) {
        was_set = was_set || values[entry] != Scalar{0};
        values[entry] = Scalar{0};
      }
      cleared += was_set ? 1 : 0;
    }
    for (std::size_t i = 0; i < Moments; ++i) {
      Kernels<Backend>::upload(device(), host[i].data(), moment(i));
    }
    return cleared;
  }

  /// The state of the parameter whose gradient is `gradient * change`: the first moment is
  /// multiplied, which is exact, the others are zero. Each new column takes the counts of the old
  /// column that contributes most, a zero column starts anew.
  [[nodiscard]] ColumnState rotated(const HostMatrix& change) const {
    if (change.rows() != cols()) {
      ACCRETE_THROW ShapeError(std::string(owner_) + ": rotate by a " +
                               shape_text(change.rows(), change.cols()) +
                               " matrix, but there are " + std::to_string(cols()) +
                               " columns; its rows must be the old columns");
    }
    ColumnState result(owner_, rows(), change.cols(), (std::max)(capacity(), change.cols()));
    if (change.rows() == 0) {
      return result;
    }
    multiply(moment(0), change, Scalar{0}, result.moment(0));
    for (Index j = 0; j < change.cols(); ++j) {
      Index dominant = 0;
      if (change.col(j).cwiseAbs().maxCoeff(&dominant) > 0) {
        const auto to = static_cast<std::size_t>(j);
        result.steps_[to] = steps_[static_cast<std::size_t>(dominant)];
        result.frozen_[to] = frozen_[static_cast<std::size_t>(dominant)];
      }
    }
    return result;
  }

  /// target = moment * small + beta * target
  static void multiply(ViewOn<const Scalar, Backend> moment, const HostMatrix& small, Scalar beta,
                       ViewOn<Scalar, Backend> target) {
    Frame<Backend> frame(device().workspace());
    const auto factor = temporary<Scalar>(frame, small.rows(), small.cols());
    Kernels<Backend>::upload(device(), small.data(), factor);
    Kernels<Backend>::gemm(device(), Scalar{1}, moment, factor.as_const(), beta, target);
  }

  /// Calls update(first, count) for each run of columns that do not rest, then lets the others
  /// rest for one step less.
  template <class Update>
  void for_each_active_run(const Update& update) {
    for (Index first = 0; first < cols();) {
      Index last = first;
      while (last < cols() && frozen_[static_cast<std::size_t>(last)] == 0) {
        ++last;
      }
      if (last > first) {
        update(first, last - first);
      }
      first = last;
      for (; first < cols() && frozen_[static_cast<std::size_t>(first)] > 0; ++first) {
        --frozen_[static_cast<std::size_t>(first)];
      }
    }
  }

  void check_shape(const char* operation, const char* name, Index m, Index k) const {
    if (m != rows() || k != cols()) {
      ACCRETE_THROW ShapeError(std::string(operation) + ": the " + name + " is " +
                               shape_text(m, k) + " but the state " + shape_text(rows(), cols()) +
                               "; append_columns or keep_columns when the parameter does");
    }
  }

  static Device<Backend>& device() { return Context<Backend>::current().device(); }

 private:
  using Storage = Matrix<Scalar, Backend>;

  void reallocate(Index columns) {
    std::array<Storage, Moments> moved;
    for (std::size_t i = 0; i < Moments; ++i) {
      moved[i] = Storage(rows(), columns);
      copy(std::as_const(*this).moment(i), view_of(moved[i]).left_columns(cols()));
    }
    moments_ = std::move(moved);
  }

  static void copy(ViewOn<const Scalar, Backend> from, ViewOn<Scalar, Backend> to) {
    Kernels<Backend>::combine(device(), Scalar{1}, from, Scalar{0}, to);
  }

  void clear(Index first, Index count) {
    for (Storage& moment : moments_) {
      Kernels<Backend>::fill(device(), Scalar{0}, view_of(moment).columns(first, count));
    }
  }

  void check_columns(const char* operation, std::span<const Index> indices) const {
    for (const Index index : indices) {
      if (index < 0 || index >= cols()) {
        ACCRETE_THROW RankError(std::string(owner_) + ": " + operation + " of column " +
                                std::to_string(index) + ", but there are " +
                                std::to_string(cols()));
      }
    }
  }

  /// All entries, the `count` to be pruned before the others.
  static std::vector<Index> pruning_order(const Pruning& pruning, const std::vector<Scalar>& values,
                                          std::size_t count) {
    std::vector<double> keys(values.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      keys[i] = pruning.by == Pruning::By::random ? uniform_pair(i, pruning.seed).first
                                                  : std::abs(static_cast<double>(values[i]));
    }
    std::vector<Index> order(values.size());
    std::iota(order.begin(), order.end(), Index{0});
    if (count < order.size()) {
      const auto key = [&](Index i) { return keys[static_cast<std::size_t>(i)]; };
      std::nth_element(
          order.begin(), order.begin() + static_cast<Index>(count), order.end(),
          [&](Index a, Index b) { return key(a) != key(b) ? key(a) < key(b) : a < b; });
    }
    return order;
  }

  const char* owner_;
  std::array<Storage, Moments> moments_;
  std::vector<std::int64_t> steps_;
  std::vector<std::int64_t> frozen_;
};

/// @throws ArgumentError unless both are finite.
inline void check_rate(const char* operation, double learning_rate, double gradient_scale) {
  if (!is_finite(learning_rate) || !is_finite(gradient_scale)) {
    ACCRETE_THROW ArgumentError(
        std::string(operation) + ": learning_rate = " + number_text(learning_rate) +
        ", gradient_scale = " + number_text(gradient_scale) + "; both must be finite");
  }
}

/// @throws ArgumentError naming the option when `holds` is false.
inline void require_option(bool holds, const char* owner, const char* name, double value,
                           const char* domain) {
  if (!holds) {
    ACCRETE_THROW ArgumentError(std::string(owner) + ": " + name + " = " + number_text(value) +
                                " is outside " + domain);
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
