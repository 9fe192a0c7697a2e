// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/backend.hpp>
#include <accrete/backend/optimizer_step.hpp>

#include <cmath>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Optimizer kernels of the reference backend, entry by entry.
struct ReferenceOptimizers {
  /// As CpuOptimizers::adamw_update.
  template <class Scalar>
  static void adamw_update(Device<Reference>&, View<Scalar> parameter,
                           std::type_identity_t<View<const Scalar>> gradient, View<Scalar> first,
                           View<Scalar> second, const AdamWStep<Scalar>& step,
                           std::type_identity_t<std::span<const AdamWColumn<Scalar>>> columns) {
    check_adamw<Scalar>(parameter, gradient, first, second, columns);
    for (Index j = 0; j < parameter.cols; ++j) {
      const AdamWColumn<Scalar> column = columns[columns.size() == 1 ? 0 : std::size_t(j)];
      for (Index i = 0; i < parameter.rows; ++i) {
        const Scalar g = gradient(i, j) * step.gradient_scale;
        Scalar& m = first(i, j);
        Scalar& v = second(i, j);
        m = mix(m, g, step.first_weight);
        v = mix(v, g * g, step.second_weight);
        const Scalar root = std::sqrt(v) * column.root_correction;
        parameter(i, j) =
            parameter(i, j) * step.decay - column.step_size * (m / (root + step.epsilon));
      }
    }
  }

 private:
  /// (1 - weight) old + weight new, from the end that is nearer.
  template <class Scalar>
  static Scalar mix(Scalar old_value, Scalar new_value, Scalar weight) {
    return weight < Scalar{0.5} ? old_value + weight * (new_value - old_value)
                                : new_value + (Scalar{1} - weight) * (old_value - new_value);
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
