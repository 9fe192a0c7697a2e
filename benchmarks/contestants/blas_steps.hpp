// SPDX-License-Identifier: MIT
// The steps that an expert writes with any library that has a gemm.
#pragma once

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
         enter<Scalar>("low_rank", by_hand, pool, bound<Scalar, Steps::low_rank>);
}

} // namespace benchmarks
