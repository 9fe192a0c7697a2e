// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/accrete.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <utility>
#include <vector>

/// The operands of a product.
template <class Scalar>
struct MatrixProduct {
  accrete::View<const Scalar> left;
  accrete::View<const Scalar> right;

  [[nodiscard]] MatrixProduct transposed() const { return {right.transposed(), left.transposed()}; }
};

/// Products of small whole numbers. No order of their sums rounds them, so that an entry which is
/// left out or taken in twice is a difference, however small.
template <class Scalar, class Result = Scalar>
class WholeNumbers {
 public:
  using Index = accrete::Index;
  template <class T>
  using View = accrete::View<T>;

  /// For operands of at most `capacity` entries.
  explicit WholeNumbers(Index capacity) : numbers_(static_cast<std::size_t>(2 * capacity + 9000)) {
    for (Scalar& number : numbers_) {
      number = whole<Scalar>(small_(generator_));
    }
  }

  /// In a larger matrix; `seed` below 8 tells it from others.
  [[nodiscard]] View<const Scalar> operand(Index rows, Index cols, bool in_columns,
                                           Index seed) const {
    const Index length = in_columns ? rows : cols;
    REQUIRE(2 * rows * cols + 9000 <= static_cast<Index>(numbers_.size()));
    return {numbers_.data() + 1009 * seed, rows, cols, length + (length < 3 ? length : 3),
            in_columns ? accrete::Order::column_major : accrete::Order::row_major};
  }

  /// compute(alpha, beta, c) leaves alpha * (the product) + beta * c in a column-major
  /// c and changes nothing around it; with beta 0 it does not read c. Compared by the product of
  /// both sides with one vector of random whole numbers. Where it returns false, c is as it was.
  template <class Compute>
  void check(const MatrixProduct<Scalar>& product, const Compute& compute) {
    const Index rows = product.left.rows;
    const Index cols = product.right.cols;
    std::vector<double> x(static_cast<std::size_t>(cols));
    for (double& entry : x) {
      entry = large_(generator_);
    }
    const std::vector<double> sums = times(product, x);
    for (const auto& factors : {std::pair{2, 0}, {1, 1}, {-1, -3}}) {
      const int alpha = factors.first;
      const int beta = factors.second;
      const Index stride = rows + 2;
      std::vector<Result> memory(static_cast<std::size_t>(stride * cols));
      for (Result& entry : memory) {
        entry = whole<Result>(small_(generator_));
      }
      const std::vector<Result> before = memory;
      const View<Result> c{memory.data() + 1, rows, cols, stride, accrete::Order::column_major};
      const View<const Result> old{before.data() + 1, rows, cols, stride, c.order};
      for (Index j = 0; beta == 0 && j < cols; ++j) {
        std::fill_n(&c(0, j), rows, std::numeric_limits<Result>::quiet_NaN());
      }
      const bool computed = compute(whole<Result>(alpha), whole<Result>(beta), c);
      const std::vector<double> found = times<Result>(c, x);
      const std::vector<double> kept = times<Result>(old, x);
      Index wrong = 0;
      for (std::size_t i = 0; i < sums.size(); ++i) {
        const bool is_right = computed    ? found[i] == alpha * sums[i] + beta * kept[i]
                              : beta == 0 ? std::isnan(found[i])
                                          : found[i] == kept[i];
        wrong += is_right ? 0 : 1;
      }
      CAPTURE(alpha);
      CAPTURE(beta);
      CHECK(wrong == 0);
      for (Index j = 0; j < cols; ++j) {
        std::copy_n(&old(0, j), rows, &c(0, j));
      }
      CHECK(memory == before);
    }
  }

 private:
  template <class T>
  static T whole(int value) {
    return static_cast<T>(static_cast<float>(value));
  }
  template <class T>
  static double in_double(T value) {
    if constexpr (sizeof(T) == 2) {
      return static_cast<double>(static_cast<float>(value));
    } else {
      return static_cast<double>(value);
    }
  }
  template <class T>
  static std::vector<double> times(View<const T> a, const std::vector<double>& x) {
    std::vector<double> result(static_cast<std::size_t>(a.rows));
    for (Index j = 0; j < a.cols; ++j) {
      for (Index i = 0; i < a.rows; ++i) {
        result[static_cast<std::size_t>(i)] += in_double(a(i, j)) * x[static_cast<std::size_t>(j)];
      }
    }
    return result;
  }
  static std::vector<double> times(const MatrixProduct<Scalar>& product,
                                   const std::vector<double>& x) {
    return times<Scalar>(product.left, times<Scalar>(product.right, x));
  }

  std::mt19937 generator_{1};
  std::uniform_int_distribution<int> small_{-3, 3};
  std::uniform_int_distribution<int> large_{-999, 999};
  std::vector<Scalar> numbers_;
};
