// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>
#include <accrete/error.hpp>

#include <span>

ACCRETE_BEGIN_NAMESPACE

/// One AdamW step, what all columns share.
template <class Scalar>
struct AdamWStep {
  /// 1 - beta1 and 1 - beta2, rounded after the difference: with beta2 = 0.999 in float the
  /// difference of the rounded numbers would be off by 5e-5.
  Scalar first_weight;
  Scalar second_weight;
  Scalar epsilon;
  /// What the parameter is multiplied by before the update: 1 - learning_rate * weight_decay.
  Scalar decay;
  /// What the gradient is multiplied by as it is read, for example to clip its norm.
  Scalar gradient_scale;
};

/// One AdamW step, what depends on how often a column was updated.
template <class Scalar>
struct AdamWColumn {
  /// learning_rate / (1 - beta1^t)
  Scalar step_size;
  /// 1 / sqrt(1 - beta2^t)
  Scalar root_correction;
};

namespace detail {

template <class Scalar, class Space>
void check_adamw(const View<Scalar, Space>& parameter, const View<const Scalar, Space>& gradient,
                 const View<Scalar, Space>& first, const View<Scalar, Space>& second,
                 std::span<const AdamWColumn<Scalar>> columns) {
  const auto check = [&](const char* name, Index rows, Index cols) {
    if (rows != parameter.rows || cols != parameter.cols) {
      ACCRETE_THROW ShapeError(std::string("adamw: the ") + name + " is " + shape_text(rows, cols) +
                               " but the parameter " + shape_text(parameter.rows, parameter.cols));
    }
  };
  check("gradient", gradient.rows, gradient.cols);
  check("first moment", first.rows, first.cols);
  check("second moment", second.rows, second.cols);
  const auto count = static_cast<Index>(columns.size());
  if (count != 1 && count != parameter.cols) {
    ACCRETE_THROW ShapeError("adamw: " + std::to_string(count) + " column corrections for " +
                             std::to_string(parameter.cols) +
                             " columns; give one for all or one each");
  }
}

} // namespace detail

ACCRETE_END_NAMESPACE
