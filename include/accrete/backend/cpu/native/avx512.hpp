// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/cpu/native/avx512_tile.hpp>
#include <accrete/backend/cpu/thresholds.hpp>
#include <accrete/backend/rounding.hpp>
#include <accrete/backend/view.hpp>
#include <accrete/backend/workspace.hpp>

#include <algorithm>
#include <cstddef>

ACCRETE_BEGIN_NAMESPACE

namespace detail::native {

#if defined(ACCRETE_HAS_AVX512)

/// How products are cut among tasks, and what a task holds packed.
template <class Scalar>
struct Avx512Cut {
  static constexpr Index panel_rows = avx512_height * Avx512<Scalar>::count;
  static constexpr Index most_depth = 3072 / sizeof(Scalar); ///< a right panel of 24 KiB
  static constexpr Index held = 800000 / sizeof(Scalar);     ///< of the left operand, packed

  Index row_parts = 1, col_parts = 1; ///< tasks along the rows and the columns of the result
  Index depth;                        ///< inner indices taken in at a time
  Index left_rows;                    ///< held packed at a time
  Index right_cols;                   ///< held packed at a time, where they must be

  Avx512Cut(Index rows, Index cols, Index inner, Index threads) {
    const Index row_units = ceil_div(rows, Avx512<Scalar>::count);
    const Index col_units = ceil_div(cols, avx512_width);
    // The operand that is not cut is read by all tasks. Tiles should keep their height.
    if (cols <= rows && row_units >= 2 * avx512_height * threads) {
      row_parts = threads;
    } else {
      col_parts = (std::min)(threads, col_units);
      row_parts = std::clamp(threads / col_parts, Index{1}, row_units);
    }
    depth = round_up(ceil_div(inner, ceil_div(inner, most_depth)), 8);
    const Index task_rows = ceil_div(row_units, row_parts) * Avx512<Scalar>::count;
    const Index task_cols = ceil_div(col_units, col_parts) * avx512_width;
    // Few columns stay in the second-level cache, while the left operand passes by once, unless
    // that fits itself: then the result is written down its columns.
    const bool right_stays = task_rows * depth > held && task_cols * depth <= held / 2;
    const Index most =
        right_stays ? panel_rows : (std::max)(panel_rows, held / depth / panel_rows * panel_rows);
    right_cols = right_stays ? task_cols : (std::min)(task_cols, Index{64});
    left_rows = round_up(ceil_div(task_rows, ceil_div(task_rows, most)), panel_rows);
  }

  /// Scalars that a task works in.
  [[nodiscard]] Index space() const noexcept { return (left_rows + right_cols) * depth; }
};

/// One thread's part of c = alpha a b + beta c.
template <class Scalar>
class Avx512Task {
 public:
  using Cut = Avx512Cut<Scalar>;
  using Piece = Avx512Piece<Scalar>;

  /// `space` is aligned to 64 bytes.
  Avx512Task(const Cut& cut, const View<const Scalar>& a, const View<const Scalar>& b, Scalar alpha,
             Scalar beta, const View<Scalar>& c, Scalar* space)
      : cut_(cut),
        a_(a),
        b_(b),
        alpha_(alpha),
        beta_(beta),
        c_(c),
        left_(space),
        right_(space + cut.left_rows * cut.depth) {}

  /// Part `index` of cut.row_parts * cut.col_parts.
  void run(Index index) {
    rows_ = part(c_.rows, Avx512<Scalar>::count, index % cut_.row_parts, cut_.row_parts);
    cols_ = part(c_.cols, avx512_width, index / cut_.row_parts, cut_.col_parts);
    for (Index inner = 0; inner < a_.cols; inner += cut_.depth) {
      piece_ = {a_.data + inner * a_.col_step(),        a_.row_step(), a_.col_step(),
                b_.data + inner * b_.row_step(),        b_.row_step(), b_.col_step(),
                (std::min)(a_.cols - inner, cut_.depth)};
      for (Index row = rows_.first; row < rows_.last; row += cut_.left_rows) {
        multiply(row, (std::min)(cut_.left_rows, rows_.last - row), inner > 0 ? Scalar{1} : beta_);
      }
    }
  }

 private:
  struct Part {
    Index first, last;
  };
  static Part part(Index length, Index unit, Index index, Index parts) noexcept {
    const Index units = ceil_div(length, unit);
    return {(std::min)(length, units * index / parts * unit),
            (std::min)(length, units * (index + 1) / parts * unit)};
  }

  /// Some rows, all columns, one stretch of the inner dimension.
  void multiply(Index row, Index rows, Scalar beta) {
    const Index panels = ceil_div(rows, Cut::panel_rows);
    const Index tiles = ceil_div(cols_.last - cols_.first, avx512_width);
    for (Index tile = 0; tile < tiles; ++tile) {
      const Index col = cols_.first + tile * avx512_width;
      const Index cols = (std::min)(Index{avx512_width}, cols_.last - col);
      set_right(col, cols, row == rows_.first);
      for (Index panel = 0; panel < panels; ++panel) {
        const Index first = panel * Cut::panel_rows;
        const Index height = (std::min)(Cut::panel_rows, rows - first);
        Scalar* packed = left_ + first * piece_.depth;
        const bool is_packed = tile > 0 || set_left(row + first, height, packed);
        multiply_tile(is_packed, packed, tiles > 1,
                      {&c_(row + first, col), c_.stride, height, cols, alpha_, beta});
      }
    }
  }

  /// The columns, where they are or packed.
  void set_right(Index col, Index cols, bool is_first) {
    tile_ = piece_;
    const bool is_in_columns = b_.row_step() == 1;
    if (is_in_columns && cols == avx512_width) {
      tile_.right += col * tile_.right_col;
      return;
    }
    const Index place = (col - cols_.first) % cut_.right_cols;
    if (is_first || cut_.right_cols < cols_.last - cols_.first) {
      if (is_in_columns) {
        pack_right(col, cols, place);
      } else if (place == 0) {
        pack_right(col, (std::min)(cut_.right_cols, cols_.last - col), 0);
      }
    }
    tile_.right = right_ + place * piece_.depth;
    tile_.right_inner = avx512_width;
    tile_.right_col = 1;
  }
  void pack_right(Index col, Index cols, Index place) {
    Avx512Piece<Scalar> piece = piece_;
    piece.right += col * piece.right_col;
    pack_avx512_columns(piece, cols, right_ + place * piece.depth, avx512_width * piece.depth);
  }
  /// Whether the rows lie packed now; otherwise the tile that meets them first packs them.
  bool set_left(Index row, Index rows, Scalar* packed) {
    constexpr Index lanes = Avx512<Scalar>::count;
    const Scalar* left = piece_.left + row * piece_.left_row;
    if (a_.row_step() == 1 && rows % lanes == 0) {
      tile_.left = left;
      return false;
    }
    const Index height = ceil_div(rows, lanes);
    for (Index v = 0; v < height; ++v) {
      pack_avx512_rows(left + v * lanes * piece_.left_row, piece_.left_row, piece_.left_inner,
                       (std::min)(lanes, rows - v * lanes), piece_.depth, packed + v * lanes,
                       height);
    }
    return true;
  }

  void multiply_tile(bool is_packed, Scalar* packed, bool is_read_again,
                     const Avx512Target<Scalar>& target) {
    const Index height = ceil_div(target.rows, Avx512<Scalar>::count);
    const Index next = is_read_again ? height * Avx512<Scalar>::count : 0;
    const auto go = [&](auto tile) { tile(tile_, packed, next, target); };
    switch (height) {
    case 1:
      return is_packed ? go(avx512_tile<1, true, Scalar>) : go(avx512_tile<1, false, Scalar>);
    case 2:
      return is_packed ? go(avx512_tile<2, true, Scalar>) : go(avx512_tile<2, false, Scalar>);
    default:
      return is_packed ? go(avx512_tile<3, true, Scalar>) : go(avx512_tile<3, false, Scalar>);
    }
  }

  const Cut& cut_;
  View<const Scalar> a_, b_;
  Scalar alpha_, beta_;
  View<Scalar> c_;
  Scalar* left_;
  Scalar* right_;

  Part rows_{0, 0}, cols_{0, 0}; ///< of the result
  Piece piece_{}, tile_{};       ///< of the whole result, of a tile
};

#endif

/// Products with vectors of 512 bits, asked for when the program runs, whatever the compiler's
/// target.
struct Avx512Gemm {
  static constexpr const char* name = "avx512";
  template <class Scalar>
  static constexpr bool supports = sizeof(Scalar) >= sizeof(float);

#if defined(ACCRETE_HAS_AVX512)
  static bool is_usable() noexcept { return avx512_usable(); }

  /// Sums are kept in registers for some 768 inner indices, then added to c.
  template <class Scalar>
  static bool gemm(Device<Cpu>& device, Scalar alpha, const View<const Scalar>& a,
                   const View<const Scalar>& b, Scalar beta, const View<Scalar>& c) {
    const bool small = c.size() * a.cols < thresholds::avx512_work.value;
    const Avx512Cut<Scalar> cut(c.rows, c.cols, a.cols, small ? 1 : device.threads());
    const Index tasks = cut.row_parts * cut.col_parts;
    Workspace::Frame frame(device.workspace());
    Scalar* space = frame.allocate<Scalar>(tasks * cut.space());
    parallel_ranges(static_cast<int>(tasks), tasks, 1, [&](Index first, Index) {
      Avx512Task<Scalar>(cut, a, b, alpha, beta, c, space + first * cut.space()).run(first);
    });
    return true;
  }
#else
  static constexpr bool is_usable() noexcept { return false; }
  template <class Scalar>
  static bool gemm(Device<Cpu>&, Scalar, const View<const Scalar>&, const View<const Scalar>&,
                   Scalar, const View<Scalar>&) {
    return false;
  }
#endif
};

} // namespace detail::native

ACCRETE_END_NAMESPACE
