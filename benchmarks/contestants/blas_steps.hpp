// SPDX-License-Identifier: MIT
// The steps that an expert writes with any library that has a gemm.
#pragma once

#include "adapters.hpp"
#include "suite.hpp"

#include <algorithm>

namespace benchmarks {

/// An operand of a product, perhaps transposed.
template <class Scalar>
struct Factor {
  Array<Scalar> array;
  bool transposed = false;

  [[nodiscard]] long rows() const { return transposed ? array.cols : array.rows; }
  [[nodiscard]] long cols() const { return transposed ? array.rows : array.cols; }
};

template <class Scalar>
Factor<Scalar> as_is(const Array<Scalar>& a) {
  return {a, false};
}
template <class Scalar>
Factor<Scalar> transpose(const Array<Scalar>& a) {
  return {a, true};
}

/// `Library::gemm(a, b, beta, c)` computes c = a b + beta c.
template <class Library, class Scalar>
struct BlasSteps {
  using Ops = Operands<Scalar>;

  static void dense(const Ops& o) { Library::gemm(as_is(o.W0), as_is(o.X), 0, o.Y); }

  static void apply(const Ops& o) {
    if (merging_is_cheaper(o.shape)) {
      form_sum(o);
      Library::gemm(as_is(o.W), as_is(o.X), 0, o.Y);
    } else {
      Library::gemm(transpose(o.V), as_is(o.X), 0, o.Z);
      Library::gemm(as_is(o.W0), as_is(o.X), 0, o.Y);
      Library::gemm(as_is(o.U), as_is(o.Z), 1, o.Y);
    }
  }

  static void gradients(const Ops& o) {
    Library::gemm(transpose(o.V), as_is(o.X), 0, o.Z);
    Library::gemm(transpose(o.U), as_is(o.dY), 0, o.D);
    if (merging_is_cheaper(o.shape)) {
      form_sum(o);
      Library::gemm(as_is(o.W), as_is(o.X), 0, o.Y);
      Library::gemm(transpose(o.W), as_is(o.dY), 0, o.dX);
    } else {
      Library::gemm(as_is(o.W0), as_is(o.X), 0, o.Y);
      Library::gemm(as_is(o.U), as_is(o.Z), 1, o.Y);
      Library::gemm(transpose(o.W0), as_is(o.dY), 0, o.dX);
      Library::gemm(as_is(o.V), as_is(o.D), 1, o.dX);
    }
    Library::gemm(as_is(o.dY), transpose(o.Z), 0, o.dU);
    Library::gemm(as_is(o.X), transpose(o.D), 0, o.dV);
  }

  static void merge(const Ops& o) { Library::gemm(as_is(o.U), transpose(o.V), 1, o.W); }

  static void chain(const Ops& o) {
    Library::gemm(as_is(o.W0), as_is(o.X), 0, o.Y);
    Library::gemm(as_is(o.A), as_is(o.Y), 0, o.dX);
  }

  static void low_rank(const Ops& o) {
    Library::gemm(transpose(o.V), as_is(o.X), 0, o.Z);
    Library::gemm(as_is(o.U), as_is(o.Z), 0, o.Y);
  }

  /// W = W0 + U Vᵀ
  static void form_sum(const Ops& o) {
    std::copy_n(o.W0.data, o.W0.size(), o.W.data);
    merge(o);
  }
};

/// Z_i = V_iᵀ X_i and Y_i += U_i Z_i; columns that are no neighbours are gathered and scattered.
template <class Library, class Scalar>
void add_adapter(const Operands<Scalar>& o, const LoadedAdapter<Scalar>& adapter, Order order) {
  const auto count = static_cast<long>(adapter.columns.size());
  const Factor<Scalar> u = as_is(adapter.u);
  const Factor<Scalar> v = transpose(adapter.v);
  const Array<Scalar> z = {o.Z.data, adapter.u.cols, count};
  if (order == Order::neighbours) {
    const long first = adapter.columns.front();
    Library::gemm(v, as_is(columns(o.X, first, count)), 0, z);
    return Library::gemm(u, as_is(z), 1, columns(o.Y, first, count));
  }
  const Array<Scalar> gathered = columns(o.dX, 0, count);
  const Array<Scalar> added = columns(o.W, 0, count);
  for (long k = 0; k < count; ++k) {
    std::copy_n(columns(o.X, adapter.columns[static_cast<std::size_t>(k)], 1).data, o.X.rows,
                columns(gathered, k, 1).data);
  }
  Library::gemm(v, as_is(gathered), 0, z);
  Library::gemm(u, as_is(z), 0, added);
  for (long k = 0; k < count; ++k) {
    Scalar* y = columns(o.Y, adapter.columns[static_cast<std::size_t>(k)], 1).data;
    const Scalar* sum = columns(added, k, 1).data;
    for (long i = 0; i < o.Y.rows; ++i) {
      y[i] += sum[i];
    }
  }
}

template <class Library, class Scalar, Order order>
std::function<void()> apply_adapters(const Operands<Scalar>& o) {
  return [o, all = loaded_adapters(o, order)] {
    Library::gemm(as_is(o.W0), as_is(o.X), 0, o.Y);
    for (const LoadedAdapter<Scalar>& adapter : all) {
      add_adapter<Library>(o, adapter, order);
    }
  };
}

template <class Scalar, void (*step)(const Operands<Scalar>&)>
std::function<void()> bound(const Operands<Scalar>& o) {
  return [o] { step(o); };
}

/// Enters the dense product as `name` and the cases as `name`_by_hand.
template <class Library, class Scalar>
bool enter_blas(const char* name, const char* by_hand, Pool pool) {
  using Steps = BlasSteps<Library, Scalar>;
  return enter<Scalar>("dense", name, pool, bound<Scalar, Steps::dense>) &&
         enter<Scalar>("apply", by_hand, pool, bound<Scalar, Steps::apply>) &&
         enter<Scalar>("gradients", by_hand, pool, bound<Scalar, Steps::gradients>) &&
         enter<Scalar>("merge", by_hand, pool, bound<Scalar, Steps::merge>) &&
         enter<Scalar>("chain", by_hand, pool, bound<Scalar, Steps::chain>) &&
         enter<Scalar>("low_rank", by_hand, pool, bound<Scalar, Steps::low_rank>) &&
         enter<Scalar>("adapters", by_hand, pool,
                       apply_adapters<Library, Scalar, Order::neighbours>) &&
         enter<Scalar>("adapters_mixed", by_hand, pool,
                       apply_adapters<Library, Scalar, Order::mixed>);
}

} // namespace benchmarks
