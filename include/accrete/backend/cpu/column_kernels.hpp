// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/elementwise.hpp>

#include <span>
#include <type_traits>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Kernels of the cpu backend that treat each column by itself, all columns in one call: spread
/// over threads, one pass over memory.
struct CpuColumns {
  /// c(i, j) = factors(j) a(i, j) with factors k x 1; c may be a.
  template <class Scalar>
  static void scale_columns(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> factors,
                            View<Scalar> c) {
    for_each_column(device, c, [&](Index j) {
      const Scalar factor = factors(j, 0);
      update(c.rows, run(a, j), run(c, j), [=](Scalar x, Scalar) { return factor * x; });
    });
  }

  /// norms(j) = ‖a(:, j)‖, norms k x 1: summed in double, without overflow or underflow on the way.
  template <class Scalar>
  static void column_norms(Device<Cpu>& device, View<const Scalar> a, View<Scalar> norms) {
    for_each_column(device, a, [&](Index j) {
      const Run<const Scalar> column = run(a, j);
      double scale = 1;
      double squares = sum_of_squares(a.rows, column, scale);
      if constexpr (std::is_same_v<Scalar, double>) {
        // Beyond, squares of entries that matter are infinite or subnormal.
        const bool too_large = !is_finite(squares) && !is_nan(squares);
        if (too_large || squares < 0x1p-900) {
          scale = too_large ? 0x1p-540 : 0x1p+540;
          squares = sum_of_squares(a.rows, column, scale);
        }
      }
      norms(j, 0) = static_cast<Scalar>(std::sqrt(squares) / scale);
    });
  }

  /// c(i, i) += value
  template <class Scalar>
  static void add_diagonal(Device<Cpu>&, Scalar value, View<Scalar> c) {
    for (Index i = 0; i < (std::min)(c.rows, c.cols); ++i) {
      c(i, i) += value;
    }
  }

  /// c(:, j) = a(:, columns[j]), zero where that is -1. c does not overlap a.
  template <class Scalar>
  static void gather_columns(Device<Cpu>& device, View<const Scalar> a,
                             std::span<const Index> columns, View<Scalar> c) {
    for_each_column(device, c, [&](Index j) {
      const Index from = columns[static_cast<std::size_t>(j)];
      if (from < 0) {
        update(c.rows, run(View<const Scalar>(c), j), run(c, j),
               [](Scalar, Scalar) { return Scalar{0}; });
      } else {
        update(c.rows, run(a, from), run(c, j), [](Scalar x, Scalar) { return x; });
      }
    });
  }

  /// c(:, columns[j]) += a(:, j); the columns are distinct.
  template <class Scalar>
  static void scatter_add_columns(Device<Cpu>& device, View<const Scalar> a,
                                  std::span<const Index> columns, View<Scalar> c) {
    for_each_column(device, a, [&](Index j) {
      update(c.rows, run(a, j), run(c, columns[static_cast<std::size_t>(j)]),
             [](Scalar x, Scalar y) { return y + x; });
    });
  }

  /// sums(i) += Σⱼ a(i, j), sums m x 1: added in the order of the columns, on any number of
  /// threads.
  template <class Scalar>
  static void add_row_sums(Device<Cpu>& device, View<const Scalar> a, View<Scalar> sums) {
    constexpr Index grain = 64; // whole cache lines of the sums
    parallel_ranges(threads_for(device, a), a.rows, grain, [&](Index first, Index count) {
      const View<const Scalar> rows = a.block(first, 0, count, a.cols);
      const Run<Scalar> target = run(sums.block(first, 0, count, 1), 0);
      for (Index j = 0; j < a.cols; ++j) {
        update(count, run(rows, j), target, [](Scalar x, Scalar y) { return y + x; });
      }
    });
  }

  /// c(:, i q + j) = a(:, i) ∘ b(:, j), q columns of b: the row-wise Khatri-Rao product.
  template <class Scalar>
  static void khatri_rao(Device<Cpu>& device, View<const Scalar> a, View<const Scalar> b,
                         View<Scalar> c) {
    for_each_column(device, c, [&](Index column) {
      const Run<const Scalar> x = run(a, column / b.cols);
      const Run<const Scalar> y = run(b, column % b.cols);
      const Run<Scalar> z = run(c, column);
      if (x.step == 1 && y.step == 1 && z.step == 1) {
        ACCRETE_SIMD()
        for (Index i = 0; i < c.rows; ++i) {
          z.data[i] = x.data[i] * y.data[i];
        }
      } else {
        for (Index i = 0; i < c.rows; ++i) {
          z.data[i * z.step] = x.data[i * x.step] * y.data[i * y.step];
        }
      }
    });
  }

 private:
  /// The entries of one column.
  template <class Scalar>
  struct Run {
    Scalar* data;
    Index step;
  };

  template <class Scalar>
  static Run<Scalar> run(const View<Scalar>& a, Index j) {
    return {a.data + j * a.col_step(), a.row_step()};
  }

  template <class Scalar>
  static int threads_for(const Device<Cpu>& device, const View<Scalar>& c) {
    const bool small = c.size() * static_cast<Index>(sizeof(Scalar)) < parallel_bytes;
    return small ? 1 : device.threads();
  }

  /// Calls body(j) for each column of c, from several threads where c is large.
  template <class Scalar, class Body>
  static void for_each_column(const Device<Cpu>& device, const View<Scalar>& c, const Body& body) {
    parallel_ranges(threads_for(device, c), c.cols, 1, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        body(j);
      }
    });
  }

  /// to = value(from, to), entry by entry.
  template <class Scalar, class Value>
  static void update(Index count, Run<const Scalar> from, Run<Scalar> to, const Value& value) {
    if (from.step == 1 && to.step == 1) {
      ACCRETE_SIMD()
      for (Index i = 0; i < count; ++i) {
        to.data[i] = value(from.data[i], to.data[i]);
      }
    } else {
      for (Index i = 0; i < count; ++i) {
        Scalar& target = to.data[i * to.step];
        target = value(from.data[i * from.step], target);
      }
    }
  }

  template <class Scalar>
  static double sum_of_squares(Index count, Run<const Scalar> column, double scale) {
    const auto square = [=](double value) { return (scale * value) * (scale * value); };
    if (column.step == 1) {
      return sum_of<double>(count, [=](Index i) { return square(double{column.data[i]}); });
    }
    return sum_of<double>(count,
                          [=](Index i) { return square(double{column.data[i * column.step]}); });
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
