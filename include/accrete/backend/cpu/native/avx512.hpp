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

/// One thread's part of c = alpha (a b + ...) + beta c.
template <class Scalar>
class Avx512Task {
 public:
  using Cut = Avx512Cut<Scalar>;
  using Piece = Avx512Piece<Scalar>;
  using Product = MatrixProduct<Scalar>;

  /// `space` is aligned to 64 bytes.
  Avx512Task(const Cut& cut, const Product* products, int count, Scalar alpha, Scalar beta,
             View<Scalar> c, Scalar* space)
      : cut_(cut),
        products_(products),
        count_(count),
        alpha_(alpha),
        beta_(beta),
        c_(c),
        left_(space),
        right_(space + cut.left_rows * cut.depth) {}

  /// Part `index` of cut.row_parts * cut.col_parts.
  void run(Index index) {
    rows_ = part(c_.rows, Avx512<Scalar>::count, index % cut_.row_parts, cut_.row_parts);
    cols_ = part(c_.cols, avx512_width, index / cut_.row_parts, cut_.col_parts);
    int product = 0;
    Index inner = 0;
    bool added = false;
    while (next_pieces(product, inner)) {
      for (Index row = rows_.first; row < rows_.last; row += cut_.left_rows) {
        multiply(row, (std::min)(cut_.left_rows, rows_.last - row), added ? Scalar{1} : beta_);
      }
      added = true;
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

  /// The next stretch of the inner dimension, from `inner` of `product` on.
  bool next_pieces(int& product, Index& inner) {
    pieces_ = 0;
    total_ = 0;
    while (product < count_ && total_ < cut_.depth) {
      const auto& [a, b] = products_[product];
      const Index depth = (std::min)(a.cols - inner, cut_.depth - total_);
      piece_[pieces_++] = {a.data + inner * a.col_step(),
                           a.row_step(),
                           a.col_step(),
                           b.data + inner * b.row_step(),
                           b.row_step(),
                           b.col_step(),
                           depth};
      left_column_major_ = (total_ == 0 || left_column_major_) && a.row_step() == 1;
      right_column_major_ = (total_ == 0 || right_column_major_) && b.row_step() == 1;
      total_ += depth;
      inner += depth;
      if (inner == a.cols) {
        ++product;
        inner = 0;
      }
    }
    return total_ > 0;
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
        Scalar* packed = left_ + first * total_;
        const bool is_packed = tile > 0 || set_left(row + first, height, packed);
        multiply_tile(is_packed, packed, tiles > 1,
                      {&c_(row + first, col), c_.stride, height, cols, alpha_, beta});
      }
    }
  }

  /// The columns, where they are or packed.
  void set_right(Index col, Index cols, bool is_first) {
    std::copy_n(piece_, pieces_, tile_);
    if (right_column_major_ && cols == avx512_width) {
      for (Index i = 0; i < pieces_; ++i) {
        tile_[i].right += col * tile_[i].right_col;
      }
      return;
    }
    const Index place = (col - cols_.first) % cut_.right_cols;
    if (is_first || cut_.right_cols < cols_.last - cols_.first) {
      if (right_column_major_) {
        pack_right(col, cols, place);
      } else if (place == 0) {
        pack_right(col, (std::min)(cut_.right_cols, cols_.last - col), 0);
      }
    }
    Scalar* packed = right_ + place * total_;
    for (Index i = 0; i < pieces_; ++i) {
      tile_[i].right = packed;
      tile_[i].right_inner = avx512_width;
      tile_[i].right_col = 1;
      packed += avx512_width * tile_[i].depth;
    }
  }
  void pack_right(Index col, Index cols, Index place) {
    Scalar* out = right_ + place * total_;
    for (Index i = 0; i < pieces_; ++i) {
      Piece piece = piece_[i];
      piece.right += col * piece.right_col;
      pack_avx512_columns(piece, cols, out, avx512_width * total_);
      out += avx512_width * piece.depth;
    }
  }
  /// Whether the rows lie packed now; otherwise the tile that meets them first packs them.
  bool set_left(Index row, Index rows, Scalar* packed) {
    if (left_column_major_ && rows % Avx512<Scalar>::count == 0) {
      for (Index i = 0; i < pieces_; ++i) {
        tile_[i].left = piece_[i].left + row * piece_[i].left_row;
      }
      return false;
    }
    pack_left(row, rows, packed);
    return true;
  }
  void pack_left(Index row, Index rows, Scalar* out) {
    constexpr Index lanes = Avx512<Scalar>::count;
    const Index height = ceil_div(rows, lanes);
    for (Index i = 0; i < pieces_; ++i) {
      const Piece& p = piece_[i];
      for (Index v = 0; v < height; ++v) {
        pack_avx512_rows(p.left + (row + v * lanes) * p.left_row, p.left_row, p.left_inner,
                         (std::min)(lanes, rows - v * lanes), p.depth, out + v * lanes, height);
      }
      out += height * lanes * p.depth;
    }
  }

  void multiply_tile(bool is_packed, Scalar* packed, bool is_read_again,
                     const Avx512Target<Scalar>& target) {
    const Index height = ceil_div(target.rows, Avx512<Scalar>::count);
    const Index next = is_read_again ? height * Avx512<Scalar>::count : 0;
    const auto go = [&](auto tile) { tile(tile_, pieces_, packed, next, target); };
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
  const Product* products_;
  int count_;
  Scalar alpha_, beta_;
  View<Scalar> c_;
  Scalar* left_;
  Scalar* right_;

  Part rows_{0, 0}, cols_{0, 0};                     ///< of the result
  Piece piece_[most_products], tile_[most_products]; ///< of the whole result, of a tile
  Index pieces_ = 0, total_ = 0;
  bool left_column_major_ = true;  ///< the left operands of all pieces
  bool right_column_major_ = true; ///< the right ones, which may then be read in place
};

#endif

/// Products with vectors of 512 bits, asked for when the program runs, whatever the compiler's
/// target.
struct Avx512Gemm {
  static constexpr const char* name = "avx512";
  static constexpr bool adds_up = true;
  template <class Scalar>
  static constexpr bool supports = sizeof(Scalar) >= sizeof(float);

#if defined(ACCRETE_HAS_AVX512)
  static bool is_usable() noexcept { return avx512_usable(); }

  /// Sums are kept in registers for some 768 inner indices, then added to c.
  template <class Scalar>
  static bool gemm(Device<Cpu>& device, Scalar alpha, const MatrixProduct<Scalar>* products,
                   int count, Scalar beta, const View<Scalar>& c) {
    Index inner = 0;
    for (int i = 0; i < count; ++i) {
      inner += products[i].left.cols;
    }
    const bool small = c.size() * inner < thresholds::avx512_work.value;
    const Avx512Cut<Scalar> cut(c.rows, c.cols, inner, small ? 1 : device.threads());
    const Index tasks = cut.row_parts * cut.col_parts;
    Workspace::Frame frame(device.workspace());
    Scalar* space = frame.allocate<Scalar>(tasks * cut.space());
    parallel_ranges(static_cast<int>(tasks), tasks, 1, [&](Index first, Index) {
      Avx512Task<Scalar>(cut, products, count, alpha, beta, c, space + first * cut.space())
          .run(first);
    });
    return true;
  }
#else
  static constexpr bool is_usable() noexcept { return false; }
  template <class Scalar>
  static bool gemm(Device<Cpu>&, Scalar, const MatrixProduct<Scalar>*, int, Scalar,
                   const View<Scalar>&) {
    return false;
  }
#endif
};

} // namespace detail::native

ACCRETE_END_NAMESPACE
