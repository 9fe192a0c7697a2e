// SPDX-License-Identifier: MIT
#pragma once

#include "numerics.hpp"

#include <type_traits>
#include <utility>
#include <vector>

/// In double what any scalar holds; Eigen converts bfloat16 to float only.
template <class Derived>
Eigen::MatrixXd in_double(const Eigen::MatrixBase<Derived>& m) {
  if constexpr (sizeof(typename Derived::Scalar) == 2) {
    return m.template cast<float>().template cast<double>();
  } else {
    return m.template cast<double>();
  }
}

/// Operand of a product, column-major or row-major.
template <class Scalar>
struct ProductOperand {
  Dense<Scalar> memory;
  bool transposed;

  ProductOperand(Eigen::Index rows, Eigen::Index cols, bool in_rows, unsigned seed)
      : memory(random_matrix<float>(in_rows ? cols : rows, in_rows ? rows : cols, seed)
                   .template cast<Scalar>()),
        transposed(in_rows) {}
  [[nodiscard]] accrete::View<const Scalar> view() const {
    const accrete::View<const Scalar> v = accrete::view_of(memory);
    return transposed ? v.transposed() : v;
  }
  [[nodiscard]] Eigen::MatrixXd exact() const {
    const Eigen::MatrixXd value = in_double(memory);
    return transposed ? Eigen::MatrixXd(value.transpose()) : value;
  }
};

/// In double: products of entries with 24 bits are exact, sums nearly so. So are those of double
/// operands, which are made from float.
template <class Scalar>
Exact product_of(const ProductOperand<Scalar>& a, const ProductOperand<Scalar>& b) {
  return (a.exact() * b.exact()).template cast<long double>();
}

/// Sums in float or double, each entry of the result rounded once to its scalar.
template <class Result>
long double product_bound(Eigen::Index inner, long double size) {
  using Sum = std::conditional_t<sizeof(Result) == 8, double, float>;
  const long double exact_error = sizeof(Result) == 8 ? rounding_bound<double>(inner, size) : 0.0L;
  return rounding_bound<Sum>(inner + 4, size) + exact_error +
         (sizeof(Result) == 2 ? 0x1p-8L * size : 0.0L);
}

/// Calls compute(alpha, beta, c) with views of both orders over copies of one matrix, with beta 0,
/// 1 and, where `any_beta`, 2, and expects alpha * product + beta * c there. False where compute()
/// is: then for any factors, and c is as it was.
template <class Result, class Compute>
[[nodiscard]] bool check_product(const Exact& product, long double size, Eigen::Index inner,
                                 const Compute& compute, bool any_beta = true) {
  const Dense<Result> old =
      random_matrix<float>(product.rows(), product.cols(), 9).template cast<Result>();
  const Exact before = exact(in_double(old));
  bool computed = true;
  for (const auto& factors : {std::pair{1.0, 0.0}, std::pair{1.0, 1.0}, std::pair{-0.5, 2.0}}) {
    const double alpha = factors.first;
    const double beta = factors.second;
    if (beta == 2 && !any_beta) {
      continue;
    }
    CAPTURE(alpha);
    CAPTURE(beta);
    const Exact expected =
        static_cast<long double>(alpha) * product + static_cast<long double>(beta) * before;
    const long double tolerance = product_bound<Result>(inner, size + 2 * before.norm());
    Dense<Result> c = old;
    const bool here = compute(alpha, beta, accrete::view_of(c));
    REQUIRE((beta == 0 || here == computed));
    computed = here;
    if (!computed) {
      CHECK(c == old);
      continue;
    }
    CHECK((exact(in_double(c)) - expected).norm() <= tolerance);
    Dense<Result> flipped = old.transpose();
    REQUIRE(compute(alpha, beta, accrete::view_of(flipped).transposed()));
    CHECK((exact(in_double(flipped)).transpose() - expected).norm() <= tolerance);
  }
  return computed;
}
