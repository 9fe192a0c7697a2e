// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/bfloat16_elementwise.hpp>
#include <accrete/backend/cpu/native/amx_block.hpp>
#include <accrete/backend/cpu/thresholds.hpp>
#include <accrete/backend/workspace.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

#if defined(ACCRETE_HAS_AMX)

ACCRETE_BEGIN_INTRINSICS

ACCRETE_BEGIN_NAMESPACE

namespace detail::native {

/// How products are cut among tasks, and what a task holds packed: up to a mebibyte, in the
/// second-level cache.
struct AmxCut {
  Index row_panels, col_panels;
  Index row_parts, col_parts;      ///< tasks along the rows and the columns of the result
  Index steps;                     ///< of the whole inner dimension
  Index depth;                     ///< steps packed at a time
  Index left_panels, right_panels; ///< packed at a time
  Index chunk;                     ///< steps of a right panel that the first-level cache holds
  Index blocks;                    ///< of sums in the making
  bool shares_right;               ///< all right panels are packed first, once for all tasks

  static constexpr Index most_depth = 40;  ///< that one sum takes in
  static constexpr Index part_depth = 32;  ///< at most, of sums in parts
  static constexpr Index right_steps = 16; ///< 32 KiB
  static constexpr Index in_place = 8;     ///< left panels that a right one is not packed for

  AmxCut(const AmxProduct& product, Index threads)
      : row_panels(ceil_div(product.left.outer, amx_panel)),
        col_panels(ceil_div(product.right.outer, amx_panel)),
        steps(product.steps()),
        depth(steps <= most_depth ? steps : ceil_div(steps, ceil_div(steps, part_depth))) {
    constexpr Index held_steps = 512; // 1 MiB
    const Index held_panels = held_steps / depth;
    // Each task packs its left panels once, and all its right panels for every `held_panels`.
    const auto packed = [&](Index rows, Index cols) {
      return rows + cols * ceil_div(rows, held_panels);
    };
    const bool by_rows = packed(ceil_div(row_panels, threads), col_panels) <=
                         packed(row_panels, ceil_div(col_panels, threads));
    if (by_rows) {
      row_parts = (std::min)(threads, row_panels);
      col_parts = (std::min)(threads / row_parts, col_panels);
    } else {
      col_parts = (std::min)(threads, col_panels);
      row_parts = (std::min)(threads / col_parts, row_panels);
    }
    const Index task_rows = ceil_div(row_panels, row_parts);
    const Index task_cols = ceil_div(col_panels, col_parts);
    const bool right_stays = 2 * task_cols * depth <= held_steps;
    const Index most_left =
        right_stays ? (std::max)(Index{1}, 4 * most_depth / depth) : held_panels;
    left_panels = ceil_div(task_rows, ceil_div(task_rows, most_left));
    right_panels = right_stays ? task_cols : Index{1};
    chunk = ceil_div(depth, ceil_div(depth, right_steps));
    blocks = chunk < depth ? left_panels : 2;
    shares_right = !right_stays && left_panels > in_place && left_panels < task_rows;
  }

  [[nodiscard]] Index left_entries() const noexcept {
    return left_panels * depth * amx_step_entries;
  }
  [[nodiscard]] Index right_entries() const noexcept {
    return shares_right ? 0 : right_panels * depth * amx_step_entries;
  }
  [[nodiscard]] Index shared_entries() const noexcept {
    return shares_right ? col_panels * steps * amx_step_entries : 0;
  }
};

/// Steps [first, first + count) of a right panel.
ACCRETE_AMX inline void pack_amx_right(const AmxProduct& product, Index panel, Index first,
                                       Index count, std::uint16_t* out) {
  for (Index s = 0; s < count; ++s) {
    const AmxOperand& b = product.right;
    pack_amx_rows(b.lines(panel, first + s), b.has_inner_lines(), out + s * amx_step_entries);
  }
}

/// One thread's part of c = alpha a b + beta c.
template <class Result>
class AmxTask {
 public:
  /// `shared` holds the right panels where the cut says so, column after column.
  AmxTask(const AmxCut& cut, const AmxProduct& product, const std::uint16_t* shared, float alpha,
          float beta, Result* c, Index stride)
      : cut_(cut),
        product_(product),
        shared_(shared),
        rows_(product.left.outer),
        cols_(product.right.outer),
        alpha_(alpha),
        beta_(beta),
        c_(c),
        stride_(stride) {}

  /// Bytes that `run` works in.
  [[nodiscard]] static Index space(const AmxCut& cut) noexcept {
    return (cut.left_entries() + cut.right_entries()) * Index{sizeof(std::uint16_t)} +
           cut.blocks * block_entries * Index{sizeof(float)};
  }

  /// Part `index` of cut.row_parts * cut.col_parts; `space` is aligned to 64 bytes.
  ACCRETE_AMX void run(Index index, std::byte* space) {
    const Index r = index % cut_.row_parts;
    const Index s = index / cut_.row_parts;
    last_row_ = cut_.row_panels * (r + 1) / cut_.row_parts;
    last_col_ = cut_.col_panels * (s + 1) / cut_.col_parts;
    sums_ = reinterpret_cast<float*>(space);
    left_ = reinterpret_cast<std::uint16_t*>(sums_ + cut_.blocks * block_entries);
    right_ = left_ + cut_.left_entries();
    const AmxTiles tiles;
    for (step_ = 0; step_ < cut_.steps; step_ += cut_.depth) {
      depth_ = (std::min)(cut_.depth, cut_.steps - step_);
      multiply(cut_.row_panels * r / cut_.row_parts, cut_.col_panels * s / cut_.col_parts);
    }
    pending_.store(amx_panel);
  }

 private:
  static constexpr Index block_entries = amx_panel * amx_panel;

  /// All rows and columns, some steps of the inner dimension.
  ACCRETE_AMX void multiply(Index first_row, Index first_col) {
    const bool right_stays = last_col_ - first_col <= cut_.right_panels;
    for (Index row = first_row; row < last_row_; row += cut_.left_panels) {
      const Index rows = (std::min)(cut_.left_panels, last_row_ - row);
      pack_left(row, rows);
      for (Index col = first_col; col < last_col_; col += cut_.right_panels) {
        const Index cols = (std::min)(cut_.right_panels, last_col_ - col);
        const bool packed = !cut_.shares_right && !is_in_place(rows, col + cols);
        if (packed && (!right_stays || row == first_row)) {
          pack_right(col, cols);
        }
        for (Index y = 0; y < cols; ++y) {
          multiply_panel(row, rows, col + y, packed ? right_packed(y) : right_elsewhere(col + y));
        }
      }
    }
  }

  /// Columns that a few panels multiply are not worth packing.
  [[nodiscard]] bool is_in_place(Index rows, Index last_col) const noexcept {
    const AmxOperand& b = product_.right;
    return rows <= AmxCut::in_place && b.has_inner_lines() && last_col * amx_panel <= b.outer &&
           (step_ + depth_) * amx_step <= b.inner;
  }
  [[nodiscard]] AmxRight right_elsewhere(Index col) const noexcept {
    if (cut_.shares_right) {
      return {shared_ + (col * cut_.steps + step_) * amx_step_entries, amx_step, amx_step_entries};
    }
    const AmxOperand& b = product_.right;
    return {b.at(col, step_), b.outer_step, amx_step};
  }
  [[nodiscard]] AmxRight right_packed(Index panel) const noexcept {
    return {right_ + panel * depth_ * amx_step_entries, amx_step, amx_step_entries};
  }

  /// The packed rows times one packed panel of columns.
  ACCRETE_AMX void multiply_panel(Index row, Index rows, Index col, const AmxRight& right) {
    const Index width = (std::min)(amx_panel, cols_ - col * amx_panel);
    for (Index k = 0; k < depth_; k += cut_.chunk) {
      const Index steps = (std::min)(cut_.chunk, depth_ - k);
      const bool last = k + steps == depth_;
      for (Index x = 0; x < rows; ++x) {
        float* sums = sums_ + x % cut_.blocks * block_entries;
        const Index i = (row + x) * amx_panel;
        const Index height = (std::min)(amx_panel, rows_ - i);
        Result* c = c_ + i + col * amx_panel * stride_;
        amx_block(left_ + (x * depth_ + k) * amx_step_entries,
                  AmxRight{right.data + k * right.step, right.column, right.step}, steps, k > 0,
                  sums, pending_,
                  AmxColumns<Result>{c, stride_, 0, last && height == amx_panel ? width : 0});
        if (last) {
          pending_ = {sums, height, width, c, stride_, alpha_, step_ == 0 ? beta_ : 1.0F};
        }
      }
    }
  }

  ACCRETE_AMX void pack_left(Index panel, Index panels) {
    for (Index s = 0; s < depth_; ++s) {
      const Index step = step_ + s;
      const AmxOperand& a = product_.left;
      std::uint16_t* out = left_ + s * amx_step_entries;
      const Index next = depth_ * amx_step_entries;
      Index x = 0;
      for (; x + 2 <= panels && !a.has_inner_lines() && a.is_full(panel + x + 1, step); x += 2) {
        pack_amx_pairs_twice(a.at(panel + x, step), a.inner_step, out + x * next,
                             out + (x + 1) * next);
      }
      for (; x < panels; ++x) {
        pack_amx_pairs(a.lines(panel + x, step), a.has_inner_lines(), out + x * next);
      }
    }
  }
  ACCRETE_AMX void pack_right(Index panel, Index panels) {
    for (Index x = 0; x < panels; ++x) {
      pack_amx_right(product_, panel + x, step_, depth_, right_ + x * depth_ * amx_step_entries);
    }
  }

  const AmxCut& cut_;
  const AmxProduct& product_;
  const std::uint16_t* shared_;
  Index rows_, cols_;
  float alpha_, beta_;
  Result* c_;
  Index stride_;

  Index last_row_ = 0, last_col_ = 0, step_ = 0, depth_ = 0;
  float* sums_ = nullptr;
  std::uint16_t* left_ = nullptr;
  std::uint16_t* right_ = nullptr;
  AmxStore<Result> pending_;
};

/// c = alpha a b + beta c on the processor's tiles; c column-major, all sizes positive. The
/// sums are kept in float for 1280 inner indices at most, then added to c.
template <class Result>
void amx_gemm(Device<Cpu>& device, float alpha, const AmxProduct& product, float beta, Result* c,
              Index stride) {
  const Index entries = product.left.outer * product.right.outer;
  const bool small = entries * product.steps() * amx_step < thresholds::amx_work.value;
  const AmxCut cut(product, small ? 1 : device.threads());
  const Index tasks = cut.row_parts * cut.col_parts;
  const Index bytes = AmxTask<Result>::space(cut);
  Workspace::Frame frame(device.workspace());
  auto* space = frame.allocate<std::byte>(tasks * bytes);
  auto* shared = frame.allocate<std::uint16_t>(cut.shared_entries());
  const int team = static_cast<int>(tasks);
  parallel_ranges(team, cut.shares_right ? cut.col_panels : 0, 1, [&](Index first, Index count) {
    for (Index col = first; col < first + count; ++col) {
      pack_amx_right(product, col, 0, cut.steps, shared + col * cut.steps * amx_step_entries);
    }
  });
  parallel_ranges(team, tasks, 1, [&](Index first, Index) {
    AmxTask<Result>(cut, product, shared, alpha, beta, c, stride).run(first, space + first * bytes);
  });
}

} // namespace detail::native

ACCRETE_END_NAMESPACE

ACCRETE_END_INTRINSICS

#endif

ACCRETE_BEGIN_NAMESPACE

namespace detail::native {

/// Products on the processor's tiles, asked for when the program runs, whatever the compiler's
/// target.
struct AmxGemm {
  static constexpr const char* name = "amx";
  template <class Scalar>
  static constexpr bool supports = std::is_same_v<Scalar, bfloat16>;

#if defined(ACCRETE_HAS_AMX)
  static bool is_usable() noexcept { return amx_usable(); }

  template <class Result>
  static bool gemm(Device<Cpu>& device, float alpha, const View<const bfloat16>& a,
                   const View<const bfloat16>& b, float beta, const View<Result>& c) {
    const AmxProduct product{rows_of(a), rows_of(b.transposed())};
    if constexpr (!std::is_same_v<Result, float>) {
      if (product.steps() > AmxCut::most_depth) { // in parts, which are added up in float
        Workspace::Frame frame(device.workspace());
        const View<float> value = dense_view(frame.allocate<float>(c.size()), c.rows, c.cols);
        amx_gemm(device, alpha, product, 0.0F, value.data, value.stride);
        CpuBfloat16Elementwise::store(device, View<const float>(value), beta, c);
        return true;
      }
    }
    amx_gemm(device, alpha, product, beta, as_bits(c.data), c.stride);
    return true;
  }

 private:
  static AmxOperand rows_of(const View<const bfloat16>& a) noexcept {
    return {as_bits(a.data), a.rows, a.cols, a.row_step(), a.col_step()};
  }
#else
  static constexpr bool is_usable() noexcept { return false; }
  template <class Result>
  static bool gemm(Device<Cpu>&, float, const View<const bfloat16>&, const View<const bfloat16>&,
                   float, const View<Result>&) {
    return false;
  }
#endif
};

} // namespace detail::native

ACCRETE_END_NAMESPACE
