// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/host/reflections.hpp>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Sweeps of plane rotations of neighbouring columns, first and first + 1, then first + 1 and
/// first + 2, up to `last`, that wait until there are some: applied together, some rows at a time,
/// they find these rows in a cache (Van Zee, van de Geijn, Quintana-Ortí, "Restructuring the
/// tridiagonal and bidiagonal QR algorithms for performance", ACM TOMS 40, 2014).
template <class Scalar>
class DelayedRotations {
 public:
  /// One sweep: entry j holds the rotation of columns j and j + 1.
  struct Sweep {
    Index first;
    Index last;
    Scalar* cosines;
    Scalar* sines;
  };

  /// Memory from the frame, some 64 columns of the matrix.
  DelayedRotations(const HostTools<Scalar>& tools, Workspace::Frame& frame,
                   const PaddedMatrix<Scalar>& matrix)
      : tools_(tools), matrix_(matrix), sweeps_(frame.allocate<Sweep>(capacity)) {
    for (Index i = 0; i < capacity; ++i) {
      sweeps_[i].cosines = frame.allocate<Scalar>(2 * matrix.cols);
      sweeps_[i].sines = sweeps_[i].cosines + matrix.cols;
    }
  }

  /// The sweep to be filled; those before it are applied where there is no room for another one.
  Sweep& next(Index first, Index last) {
    if (count_ == capacity) {
      apply();
    }
    Sweep& sweep = sweeps_[count_++];
    sweep.first = first;
    sweep.last = last;
    return sweep;
  }

  /// Applies what waits.
  void apply() {
    const Index rows = matrix_.stride / lanes;
    const int threads =
        count_ * matrix_.stride * matrix_.cols < work_of_a_team ? 1 : tools_.threads;
    const Index step = range_length(threads, rows, height);
    const Index pieces = ceil_div(rows, step);
    Workspace::Frame frame(tools_.workspace);
    const Index space = height * lanes * matrix_.cols;
    Scalar* const memory = frame.allocate<Scalar>(space * pieces);
    parallel_ranges(threads, rows, height, [&](Index first, Index length) {
      Scalar* const panel = memory + first / step * space;
      Index i = first;
      for (; i + height <= first + length; i += height) {
        rotate_rows<height>(i * lanes, panel);
      }
      for (; i < first + length; ++i) {
        rotate_rows<1>(i * lanes, panel);
      }
    });
    count_ = 0;
  }

 private:
  using Vector = typename Lanes<Scalar>::type;
  static constexpr Index lanes = Lanes<Scalar>::count;
  static constexpr int height = 4;      ///< vectors of a column that are rotated together
  static constexpr Index capacity = 32; ///< sweeps
  static constexpr Index work_of_a_team = Index{1} << 19; ///< rotated entries

  /// Rows that are few and lie far apart are brought together while all sweeps pass over them.
  template <int count>
  void rotate_rows(Index row, Scalar* panel) const {
    constexpr Index size = count * lanes;
    for (Index j = 0; j < matrix_.cols; ++j) {
      std::copy_n(matrix_.column(j) + row, size, panel + j * size);
    }
    for (Index s = 0; s < count_; ++s) {
      rotate<count>(panel, sweeps_[s]);
    }
    for (Index j = 0; j < matrix_.cols; ++j) {
      std::copy_n(panel + j * size, size, matrix_.column(j) + row);
    }
  }

  template <int count>
  static void rotate(Scalar* panel, const Sweep& sweep) {
    constexpr Index size = count * lanes;
    Vector carried[std::size_t{count}];
    ACCRETE_UNROLL
    for (int h = 0; h < count; ++h) {
      carried[h] = load_lanes(panel + sweep.first * size + h * lanes);
    }
    for (Index j = sweep.first; j < sweep.last; ++j) {
      Scalar* const place = panel + j * size;
      const Scalar cosine = sweep.cosines[j];
      const Scalar sine = sweep.sines[j];
      ACCRETE_UNROLL
      for (int h = 0; h < count; ++h) {
        const Vector next = load_lanes(place + size + h * lanes);
        store_lanes(place + h * lanes, carried[h] * cosine + next * sine);
        carried[h] = next * cosine - carried[h] * sine;
      }
    }
    ACCRETE_UNROLL
    for (int h = 0; h < count; ++h) {
      store_lanes(panel + sweep.last * size + h * lanes, carried[h]);
    }
  }

  const HostTools<Scalar>& tools_;
  PaddedMatrix<Scalar> matrix_;
  Sweep* sweeps_;
  Index count_ = 0;
};

} // namespace detail

ACCRETE_END_NAMESPACE
