// SPDX-License-Identifier: MIT
// The operands that all contestants of a case share: column-major arrays of two arenas that are
// filled once, so that a benchmark with other shapes costs no allocation.
#pragma once

#include <cstddef>
#include <vector>

namespace benchmarks {

/// Column-major, without gaps.
template <class Scalar>
struct Array {
  Scalar* data = nullptr;
  long rows = 0, cols = 0;

  [[nodiscard]] std::size_t size() const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  }
};

/// Y = (W0 + U Vᵀ) X with W0 m x n, rank r and p columns. What a case lacks is 0.
struct Shape {
  long m = 0, n = 0, r = 0, p = 0;

  auto operator<=>(const Shape&) const = default;
};

template <class Scalar>
struct Operands {
  explicit Operands(const Shape& shape);

  Shape shape;
  Array<Scalar> W0, U, V, X, dY; // read; they follow each other in memory
  Array<Scalar> A;               // n x m, read
  Array<Scalar> Y, dX, dU, dV;   // results
  Array<Scalar> Z, D;            // r x p, for contestants that keep Vᵀ X and Uᵀ dY
  Array<Scalar> W;               // m x n, for contestants that form the sum

  /// As many contiguous entries as asked for, with the operands among them.
  [[nodiscard]] const Scalar* first() const { return W0.data; }
};

/// Room for such operands and for a read of `entries`; before the first use of `Operands`.
template <class Scalar>
void reserve(const Shape& shape, std::size_t entries);

/// The FLOPs of W0 X + U (Vᵀ X) exceed those of (W0 + U Vᵀ) X.
inline bool merging_is_cheaper(const Shape& s) { return s.p * (s.m + s.n) > s.m * s.n; }

/// Products with one column in double precision, to check results with: `A x` and `Aᵀ x`.
using Column = std::vector<double>;
template <class Scalar>
Column product(const Array<Scalar>& a, const Column& x);
template <class Scalar>
Column transposed_product(const Array<Scalar>& a, const Column& x);
Column operator+(Column a, const Column& b);
/// A fixed random column.
Column probe(long size);

} // namespace benchmarks
