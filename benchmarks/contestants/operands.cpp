// SPDX-License-Identifier: MIT
#include "operands.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

namespace benchmarks {

namespace {

constexpr std::size_t alignment = 64;

/// In [0, 1): sums of positive numbers have no cancellation, so that results agree relatively.
double uniform(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<double>(state >> 11) * 0x1p-53;
}

struct Release {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{4096}); }
};

/// Memory in which operands of any shape start at the front.
template <class Scalar>
struct Arena {
  std::size_t capacity = 0;
  std::unique_ptr<Scalar[], Release> memory;

  /// The front, filled at the first call: results read from pages that nobody wrote would be a
  /// single page of zeros.
  Scalar* front() {
    if (!memory) {
      memory.reset(
          static_cast<Scalar*>(::operator new(capacity * sizeof(Scalar), std::align_val_t{4096})));
      std::uint64_t state = 88172645463325252u;
      std::generate_n(memory.get(), capacity,
                      [&state] { return static_cast<Scalar>(uniform(state)); });
    }
    return memory.get();
  }
};

template <class Scalar>
struct Arenas {
  Arena<Scalar> inputs, results;

  static Arenas& get() {
    static Arenas arenas;
    return arenas;
  }
};

template <class Scalar>
std::size_t padded(std::size_t entries) {
  constexpr std::size_t step = alignment / sizeof(Scalar);
  return (entries + step - 1) / step * step;
}

template <class Scalar>
void place(Scalar*& next, Array<Scalar>& array, long rows, long cols) {
  array = {next, rows, cols};
  next += padded<Scalar>(array.size());
}

template <class Scalar>
Scalar* place_inputs(Operands<Scalar>& o, Scalar* next) {
  const auto [m, n, r, p] = o.shape;
  place(next, o.W0, m, n);
  place(next, o.U, m, r);
  place(next, o.V, n, r);
  place(next, o.X, n, p);
  place(next, o.dY, m, p);
  place(next, o.A, n, m);
  return next;
}

template <class Scalar>
Scalar* place_results(Operands<Scalar>& o, Scalar* next) {
  const auto [m, n, r, p] = o.shape;
  place(next, o.Y, m, p);
  place(next, o.dX, n, p);
  place(next, o.dU, m, r);
  place(next, o.dV, n, r);
  place(next, o.Z, r, p);
  place(next, o.D, r, p);
  place(next, o.W, m, n);
  return next;
}

} // namespace

template <class Scalar>
Operands<Scalar>::Operands(const Shape& with_shape) : shape(with_shape) {
  place_inputs(*this, Arenas<Scalar>::get().inputs.front());
  place_results(*this, Arenas<Scalar>::get().results.front());
}

template <class Scalar>
void reserve(const Shape& shape, std::size_t entries) {
  const auto [m, n, r, p] = shape;
  const auto area = [](long a, long b) { return padded<Scalar>(static_cast<std::size_t>(a * b)); };
  auto& arenas = Arenas<Scalar>::get();
  const std::size_t factors = area(m, r) + area(n, r);
  const std::size_t samples = area(n, p) + area(m, p);
  arenas.inputs.capacity =
      std::max({arenas.inputs.capacity, entries, 2 * area(m, n) + factors + samples});
  arenas.results.capacity =
      std::max(arenas.results.capacity, area(m, n) + factors + samples + 2 * area(r, p));
}

template <class Scalar>
Column product(const Array<Scalar>& a, const Column& x) {
  Column y(static_cast<std::size_t>(a.rows));
  for (long j = 0; j < a.cols; ++j) {
    const Scalar* column = a.data + j * a.rows;
    const double factor = x[static_cast<std::size_t>(j)];
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] += factor * static_cast<double>(column[i]);
    }
  }
  return y;
}

template <class Scalar>
Column transposed_product(const Array<Scalar>& a, const Column& x) {
  Column y(static_cast<std::size_t>(a.cols));
  for (long j = 0; j < a.cols; ++j) {
    const Scalar* column = a.data + j * a.rows;
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum += x[i] * static_cast<double>(column[i]);
    }
    y[static_cast<std::size_t>(j)] = sum;
  }
  return y;
}

Column operator+(Column a, const Column& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] += b[i];
  }
  return a;
}

Column probe(long size) {
  Column x(static_cast<std::size_t>(size));
  std::uint64_t state = 2685821657736338717u;
  for (double& entry : x) {
    entry = uniform(state);
  }
  return x;
}

template struct Operands<float>;
template struct Operands<double>;
template void reserve<float>(const Shape&, std::size_t);
template void reserve<double>(const Shape&, std::size_t);
template Column product(const Array<float>&, const Column&);
template Column product(const Array<double>&, const Column&);
template Column transposed_product(const Array<float>&, const Column&);
template Column transposed_product(const Array<double>&, const Column&);

} // namespace benchmarks
