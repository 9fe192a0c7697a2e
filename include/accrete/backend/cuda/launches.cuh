// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cuda/launches.hpp>
#include <accrete/backend/cuda/parallel.cuh>
#include <accrete/backend/host/random.hpp>

#include <cmath>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// What each kernel computes at one position. Positions run down the columns of the result.
namespace cuda_kernel {

template <class Scalar>
ACCRETE_DEVICE_TOO Scalar& at(Index position, const View<Scalar>& view) {
  return view.data[position % view.rows * view.row_step() + position / view.rows * view.col_step()];
}
template <class Scalar>
ACCRETE_DEVICE_TOO Scalar& at(Index row, Index col, const View<Scalar>& view) {
  return view.data[row * view.row_step() + col * view.col_step()];
}
/// bfloat16 as float, others as they are.
template <class Scalar>
ACCRETE_DEVICE_TOO accumulator<Scalar> value_of(Scalar x) {
  return static_cast<accumulator<Scalar>>(x);
}

template <class Scalar>
struct Fill {
  Scalar value;
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<Scalar>& c) const { at(k, c) = value; }
};

template <class Value>
struct Combine {
  Value alpha;
  Value beta;
  template <class Scalar, class Result>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a,
                                     const View<Result>& c) const {
    const Index i = k % c.rows;
    const Index j = k / c.rows;
    const Value scaled = alpha * static_cast<Value>(at(i, j, a));
    Result& target = at(i, j, c);
    target =
        static_cast<Result>(beta == Value{0} ? scaled : scaled + beta * static_cast<Value>(target));
  }
};

template <class Scalar>
struct Hadamard {
  Scalar alpha;
  Scalar beta;
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a,
                                     const View<const Scalar>& b, const View<Scalar>& c) const {
    const Index i = k % c.rows;
    const Index j = k / c.rows;
    const Scalar product = alpha * at(i, j, a) * at(i, j, b);
    Scalar& target = at(i, j, c);
    target = beta == Scalar{0} ? product : product + beta * target;
  }
};

struct Absolute {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<Scalar>& c) const {
    Scalar& target = at(k, c);
    target = target < Scalar{0} ? -target : target;
  }
};

template <class Known>
struct Map {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a,
                                     const View<Scalar>& c) const {
    at(k, c) = Known{}(at(k, a));
  }
};

struct ScaleColumns {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a,
                                     const View<const Scalar>& factors,
                                     const View<Scalar>& c) const {
    const Index j = k / c.rows;
    at(k, c) = at(j, 0, factors) * at(k % c.rows, j, a);
  }
};

template <class Scalar>
struct AddDiagonal {
  Scalar value;
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<Scalar>& c) const { at(k, k, c) += value; }
};

struct GatherColumns {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a, const Index* columns,
                                     const View<Scalar>& c) const {
    const Index from = columns[k / c.rows];
    at(k, c) = from < 0 ? Scalar{0} : at(k % c.rows, from, a);
  }
};

struct ScatterAddColumns {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a, const Index* columns,
                                     const View<Scalar>& c) const {
    at(k % a.rows, columns[k / a.rows], c) += at(k, a);
  }
};

struct PartialRowSums {
  Index piece;
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a,
                                     const View<Scalar>& partial) const {
    const Index i = k % partial.rows;
    const Index p = k / partial.rows;
    Scalar sum{0};
    for (Index j = p * piece; j < (p + 1) * piece && j < a.cols; ++j) {
      sum += at(i, j, a);
    }
    at(i, p, partial) = sum;
  }
};

struct AddColumns {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index i, const View<const Scalar>& partial,
                                     const View<Scalar>& sums) const {
    Scalar sum = at(i, 0, sums);
    for (Index p = 0; p < partial.cols; ++p) {
      sum += at(i, p, partial);
    }
    at(i, 0, sums) = sum;
  }
};

struct KhatriRao {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a,
                                     const View<const Scalar>& b, const View<Scalar>& c) const {
    const Index i = k % c.rows;
    const Index j = k / c.rows;
    at(i, j, c) = at(i, j / b.cols, a) * at(i, j % b.cols, b);
  }
};

struct UpperTriangle {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<const Scalar>& a,
                                     const View<Scalar>& r) const {
    const Index i = k % r.rows;
    const Index j = k / r.rows;
    at(i, j, r) = i <= j ? at(i, j, a) : Scalar{0};
  }
};

/// Two entries at a time, as HostRandom makes them.
struct Normal {
  std::uint64_t seed;
  double stddev;
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<Scalar>& c) const {
    write_pair(k, normal_pair(static_cast<std::uint64_t>(k), seed, stddev), c);
  }
  template <class Scalar>
  ACCRETE_DEVICE_TOO static void write_pair(Index k, const RandomPair& pair,
                                            const View<Scalar>& c) {
    at(2 * k, c) = static_cast<Scalar>(pair.first);
    if (2 * k + 1 < c.size()) {
      at(2 * k + 1, c) = static_cast<Scalar>(pair.second);
    }
  }
};

struct Uniform {
  std::uint64_t seed;
  double low;
  double high;
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index k, const View<Scalar>& c) const {
    const RandomPair pair = uniform_pair(static_cast<std::uint64_t>(k), seed);
    Normal::write_pair(k, {low + (high - low) * pair.first, low + (high - low) * pair.second}, c);
  }
};

template <class Scalar>
struct AdamW {
  AdamWStep<Scalar> step;
  bool one_for_all;

  ACCRETE_DEVICE_TOO void operator()(Index k, const View<Scalar>& parameter,
                                     const View<const Scalar>& gradient, const View<Scalar>& first,
                                     const View<Scalar>& second,
                                     const AdamWColumn<Scalar>* columns) const {
    const Index i = k % parameter.rows;
    const Index j = k / parameter.rows;
    const AdamWColumn<Scalar> column = columns[one_for_all ? 0 : j];
    const Scalar g = at(i, j, gradient) * step.gradient_scale;
    Scalar& m = at(i, j, first);
    Scalar& v = at(i, j, second);
    m = mix(m, g, step.first_weight);
    v = mix(v, g * g, step.second_weight);
    const Scalar root = std::sqrt(v) * column.root_correction;
    Scalar& p = at(i, j, parameter);
    p = p * step.decay - column.step_size * (m / (root + step.epsilon));
  }
  /// (1 - weight) old + weight new, from the end that is nearer.
  ACCRETE_DEVICE_TOO static Scalar mix(Scalar old_value, Scalar new_value, Scalar weight) {
    return weight < Scalar{0.5} ? old_value + weight * (new_value - old_value)
                                : new_value + (Scalar{1} - weight) * (old_value - new_value);
  }
};

struct Dot {
  template <class Scalar>
  ACCRETE_DEVICE_TOO double operator()(Index k, const View<const Scalar>& a,
                                       const View<const Scalar>& b) const {
    return static_cast<double>(at(k, a)) * static_cast<double>(at(k, b));
  }
};

struct NotFinite {
  template <class Scalar>
  ACCRETE_DEVICE_TOO double operator()(Index k, const View<const Scalar>& a) const {
    const Scalar x = at(k, a);
    return x - x == Scalar{0} ? 0.0 : 1.0;
  }
};

/// One column by one thread.
struct ColumnNorm {
  template <class Scalar>
  ACCRETE_DEVICE_TOO void operator()(Index j, const View<const Scalar>& a,
                                     const View<Scalar>& norms) const {
    double largest = 0;
    for (Index i = 0; i < a.rows; ++i) {
      const double entry = std::fabs(static_cast<double>(at(i, j, a)));
      largest = entry > largest || entry != entry ? entry + (largest != largest ? largest : 0.0)
                                                  : largest;
    }
    double sum = 0;
    for (Index i = 0; largest - largest == 0 && largest > 0 && i < a.rows; ++i) {
      const double ratio = static_cast<double>(at(i, j, a)) / largest;
      sum += ratio * ratio;
    }
    at(j, 0, norms) = static_cast<Scalar>(sum > 0 ? largest * std::sqrt(sum) : largest);
  }
};

} // namespace cuda_kernel

template <class Scalar>
void CudaLaunches<Scalar>::fill(cudaStream_t stream, Scalar value, const Target& c) {
  for_each_position(stream, "fill", c.size(), cuda_kernel::Fill<Scalar>{value}, c);
}
template <class Scalar>
template <class Result>
void CudaLaunches<Scalar>::combine(cudaStream_t stream, Value alpha, const Source& a, Value beta,
                                   const View<Result, Cuda>& c) {
  for_each_position(stream, "combine", c.size(), cuda_kernel::Combine<Value>{alpha, beta}, a, c);
}
template <class Scalar>
void CudaLaunches<Scalar>::hadamard(cudaStream_t stream, Scalar alpha, const Source& a,
                                    const Source& b, Scalar beta, const Target& c) {
  for_each_position(stream, "hadamard", c.size(), cuda_kernel::Hadamard<Scalar>{alpha, beta}, a, b,
                    c);
}
template <class Scalar>
void CudaLaunches<Scalar>::absolute(cudaStream_t stream, const Target& c) {
  for_each_position(stream, "absolute", c.size(), cuda_kernel::Absolute{}, c);
}
template <class Scalar>
void CudaLaunches<Scalar>::map(cudaStream_t stream, Function function, const Source& a,
                               const Target& c) {
  with_function(function, [&](auto known) {
    for_each_position(stream, "map", c.size(), cuda_kernel::Map<decltype(known)>{}, a, c);
  });
}
template <class Scalar>
void CudaLaunches<Scalar>::scale_columns(cudaStream_t stream, const Source& a,
                                         const Source& factors, const Target& c) {
  for_each_position(stream, "scale_columns", c.size(), cuda_kernel::ScaleColumns{}, a, factors, c);
}
template <class Scalar>
void CudaLaunches<Scalar>::add_diagonal(cudaStream_t stream, Scalar value, const Target& c) {
  for_each_position(stream, "add_diagonal", c.rows < c.cols ? c.rows : c.cols,
                    cuda_kernel::AddDiagonal<Scalar>{value}, c);
}
template <class Scalar>
void CudaLaunches<Scalar>::gather_columns(cudaStream_t stream, const Source& a,
                                          const Index* columns, const Target& c) {
  for_each_position(stream, "gather_columns", c.size(), cuda_kernel::GatherColumns{}, a, columns,
                    c);
}
template <class Scalar>
void CudaLaunches<Scalar>::scatter_add_columns(cudaStream_t stream, const Source& a,
                                               const Index* columns, const Target& c) {
  for_each_position(stream, "scatter_add_columns", a.size(), cuda_kernel::ScatterAddColumns{}, a,
                    columns, c);
}
template <class Scalar>
void CudaLaunches<Scalar>::partial_row_sums(cudaStream_t stream, const Source& a, Index piece,
                                            const Target& partial) {
  for_each_position(stream, "partial_row_sums", partial.size(), cuda_kernel::PartialRowSums{piece},
                    a, partial);
}
template <class Scalar>
void CudaLaunches<Scalar>::add_columns(cudaStream_t stream, const Source& partial,
                                       const Target& sums) {
  for_each_position(stream, "add_columns", sums.rows, cuda_kernel::AddColumns{}, partial, sums);
}
template <class Scalar>
void CudaLaunches<Scalar>::khatri_rao(cudaStream_t stream, const Source& a, const Source& b,
                                      const Target& c) {
  for_each_position(stream, "khatri_rao", c.size(), cuda_kernel::KhatriRao{}, a, b, c);
}
template <class Scalar>
void CudaLaunches<Scalar>::upper_triangle(cudaStream_t stream, const Source& a, const Target& r) {
  for_each_position(stream, "upper_triangle", r.size(), cuda_kernel::UpperTriangle{}, a, r);
}
template <class Scalar>
void CudaLaunches<Scalar>::fill_normal(cudaStream_t stream, std::uint64_t seed, double stddev,
                                       const Target& c) {
  for_each_position(stream, "fill_normal", (c.size() + 1) / 2, cuda_kernel::Normal{seed, stddev},
                    c);
}
template <class Scalar>
void CudaLaunches<Scalar>::fill_uniform(cudaStream_t stream, std::uint64_t seed, double low,
                                        double high, const Target& c) {
  for_each_position(stream, "fill_uniform", (c.size() + 1) / 2,
                    cuda_kernel::Uniform{seed, low, high}, c);
}
template <class Scalar>
void CudaLaunches<Scalar>::adamw_update(cudaStream_t stream, const Target& parameter,
                                        const Source& gradient, const Target& first,
                                        const Target& second, const AdamWStep<Scalar>& step,
                                        const AdamWColumn<Scalar>* columns, bool one_for_all) {
  for_each_position(stream, "adamw_update", parameter.size(),
                    cuda_kernel::AdamW<Scalar>{step, one_for_all}, parameter, gradient, first,
                    second, columns);
}
template <class Scalar>
std::size_t CudaLaunches<Scalar>::sum_bytes(Index entries) {
  return sum_scratch(entries);
}
template <class Scalar>
void CudaLaunches<Scalar>::dot(cudaStream_t stream, const Source& a, const Source& b, double* sum,
                               void* scratch, std::size_t bytes) {
  sum_positions(stream, "dot", a.size(), sum, scratch, bytes, cuda_kernel::Dot{}, a, b);
}
template <class Scalar>
void CudaLaunches<Scalar>::squared_norm(cudaStream_t stream, const Source& a, double* sum,
                                        void* scratch, std::size_t bytes) {
  sum_positions(stream, "squared_norm", a.size(), sum, scratch, bytes, cuda_kernel::Dot{}, a, a);
}
template <class Scalar>
void CudaLaunches<Scalar>::count_not_finite(cudaStream_t stream, const Source& a, double* sum,
                                            void* scratch, std::size_t bytes) {
  sum_positions(stream, "count_not_finite", a.size(), sum, scratch, bytes, cuda_kernel::NotFinite{},
                a);
}
template <class Scalar>
void CudaLaunches<Scalar>::column_norms(cudaStream_t stream, const Source& a, const Target& norms) {
  for_each_position(stream, "column_norms", a.cols, cuda_kernel::ColumnNorm{}, a, norms);
}

} // namespace detail

ACCRETE_END_NAMESPACE
