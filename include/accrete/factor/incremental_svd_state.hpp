// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/config.hpp>
#include <accrete/error.hpp>
#include <accrete/finite.hpp>
#include <accrete/matrix/singular_values.hpp>
#include <accrete/number_text.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

ACCRETE_BEGIN_NAMESPACE

struct IncrementalSVDOptions {
  /// Most singular values kept.
  Index max_rank = (std::numeric_limits<Index>::max)();
  /// Largest Frobenius norm that one update may discard, as a fraction of the whole's.
  double tolerance = 0;
  /// Without V, columns can be appended and nothing else.
  bool keep_v = true;
  /// Updates between two checks of the orthogonality of U and V.
  Index check_every = 16;

  /// @throws ArgumentError when a field is outside its domain.
  void validate() const {
    if (max_rank < 0) {
      ACCRETE_THROW ArgumentError("IncrementalSVD: max_rank = " + std::to_string(max_rank) +
                                  "; give at least 0");
    }
    if (!detail::is_within(tolerance, 0, 1)) {
      ACCRETE_THROW ArgumentError("IncrementalSVD: tolerance = " + detail::number_text(tolerance) +
                                  " is a fraction of the Frobenius norm; give a number in [0, 1]");
    }
    if (check_every < 1) {
      ACCRETE_THROW ArgumentError("IncrementalSVD: check_every = " + std::to_string(check_every) +
                                  "; give at least 1");
    }
  }
};

/// What an IncrementalSVD holds between two updates, in host memory.
template <class Scalar>
struct IncrementalSVDState {
  using HostMatrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

  IncrementalSVDOptions options = {};
  /// Columns of X; V has as many rows where it is kept, otherwise none.
  Index cols = 0;
  SingularValues singular_values = {};
  HostMatrix U = {};
  HostMatrix V = {};
  Index updates = 0;
  /// The two parts of the error bound, and what kind of update the second belongs to.
  double settled_error = 0;
  double run_error = 0;
  int run = 0;

  /// Largest Frobenius norm of UᵀU - I and VᵀV - I of a state that is not damaged: half of the
  /// digits.
  [[nodiscard]] static double most_departure() noexcept {
    return std::sqrt(static_cast<double>(std::numeric_limits<Scalar>::epsilon()));
  }

  /// O((m + n) r²). @throws ShapeError, RankError, ArgumentError, NumericError when the parts do
  /// not belong together.
  void validate() const {
    options.validate();
    const Index rank = singular_values.size();
    const Index most = (std::min)({U.rows(), cols, options.max_rank});
    if (rank > most) {
      ACCRETE_THROW RankError("IncrementalSVD state: " + std::to_string(rank) +
                              " singular values of an X of " + detail::shape_text(U.rows(), cols) +
                              " with max_rank = " + std::to_string(options.max_rank) +
                              "; the state is damaged");
    }
    const Index v_rows = options.keep_v ? cols : 0;
    const Index v_cols = options.keep_v ? rank : 0;
    if (U.cols() != rank || cols < 0 || V.rows() != v_rows || V.cols() != v_cols) {
      ACCRETE_THROW ShapeError(
          "IncrementalSVD state: U is " + detail::shape_text(U.rows(), U.cols()) + ", V " +
          detail::shape_text(V.rows(), V.cols()) + ", for " + std::to_string(rank) +
          " singular values and " + std::to_string(cols) +
          " columns of X; they belong to different decompositions");
    }
    const auto valid = [](double value) { return detail::is_finite(value) && value >= 0; };
    bool sound = detail::all_finite(U.data(), U.size()) && detail::all_finite(V.data(), V.size()) &&
                 valid(settled_error) && valid(run_error);
    double before = (std::numeric_limits<double>::max)();
    for (const double value : singular_values) {
      sound = sound && valid(value) && value <= before;
      before = value;
    }
    if (!sound) {
      ACCRETE_THROW NumericError(
          "IncrementalSVD state: the singular values must descend and be neither "
          "negative nor infinite, and all entries finite; the state is damaged");
    }
    if (departure(U) > most_departure() || departure(V) > most_departure()) {
      ACCRETE_THROW NumericError(
          "IncrementalSVD state: the columns of U or V are not orthonormal; the "
          "state is damaged");
    }
    if (updates < 0 || run < 0 || run > 2) {
      ACCRETE_THROW ArgumentError("IncrementalSVD state: updates = " + std::to_string(updates) +
                                  ", run = " + std::to_string(run) + "; the state is damaged");
    }
  }

 private:
  /// Frobenius norm of qᵀq - I.
  static double departure(const HostMatrix& q) noexcept {
    double squared = 0;
    for (Index j = 0; j < q.cols(); ++j) {
      for (Index i = 0; i <= j; ++i) {
        const Scalar* a = q.data() + i * q.rows();
        const Scalar* b = q.data() + j * q.rows();
        double sum = i == j ? -1 : 0;
        ACCRETE_SIMD(reduction(+ : sum))
        for (Index k = 0; k < q.rows(); ++k) {
          sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
        }
        squared += (i == j ? 1 : 2) * sum * sum;
      }
    }
    return std::sqrt(squared);
  }
};

ACCRETE_END_NAMESPACE
