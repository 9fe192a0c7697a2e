// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/cpu/device.hpp>
#include <accrete/backend/cpu/intrinsics.hpp>
#include <accrete/backend/optimizer_step.hpp>

#include <Eigen/Core>

#include <algorithm>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

ACCRETE_BEGIN_INTRINSICS

/// Optimizer kernels of the cpu backend: one pass over memory, which bounds their speed.
struct CpuOptimizers {
  /// One AdamW step (Loshchilov and Hutter, ICLR 2019; torch.optim.AdamW's order of operations):
  ///
  ///     g = gradient_scale * gradient
  ///     m += first_weight (g - m),   v += second_weight (g² - v)
  ///     p = decay * p - step_size * m / (root_correction * sqrt(v) + epsilon)
  ///
  /// `columns` holds the corrections of each column, or one entry that all share.
  /// Every entry goes through the same instructions wherever it lies in memory, so results do not
  /// depend on the threads, the alignment or the columns beside it.
  /// @throws ShapeError when the shapes differ.
  template <class Scalar>
  static void adamw_update(Device<Cpu>& device, View<Scalar> parameter,
                           std::type_identity_t<View<const Scalar>> gradient, View<Scalar> first,
                           View<Scalar> second, const AdamWStep<Scalar>& step,
                           std::type_identity_t<std::span<const AdamWColumn<Scalar>>> columns) {
    check_adamw<Scalar>(parameter, gradient, first, second, columns);
    if (parameter.empty()) {
      return;
    }
    const auto bytes = parameter.size() * static_cast<Index>(4 * sizeof(Scalar));
    const int threads = bytes < parallel_bytes ? 1 : device.threads();
    const auto is_flat = [](const auto& v) { return v.is_column_major() && v.is_contiguous(); };
    if (columns.size() == 1 && is_flat(parameter) && is_flat(gradient) && is_flat(first) &&
        is_flat(second)) {
      parallel_ranges(threads, parameter.size(), Index{4096}, [&](Index begin, Index count) {
        update_run(Run<Scalar>{parameter.data + begin, gradient.data + begin, first.data + begin,
                               second.data + begin, count},
                   step, columns[0]);
      });
      return;
    }
    parallel_ranges(threads, parameter.cols, Index{1}, [&](Index begin, Index count) {
      for (Index j = begin; j < begin + count; ++j) {
        update_column(parameter.columns(j, 1), gradient.columns(j, 1), first.columns(j, 1),
                      second.columns(j, 1), step,
                      columns[columns.size() == 1 ? 0 : static_cast<std::size_t>(j)]);
      }
    });
  }

 private:
  template <class Scalar>
  static constexpr int width = static_cast<int>(64 / sizeof(Scalar));

  /// Entries of the four arrays that follow each other in memory.
  template <class Scalar>
  struct Run {
    Scalar* parameter;
    const Scalar* gradient;
    Scalar* first;
    Scalar* second;
    Index count;
  };

  /// (1 - weight) old + weight new, from the end that is nearer: a small term added last keeps its
  /// digits.
  template <class Block>
  static Block mix(const Block& old_value, const Block& new_value, typename Block::Scalar weight) {
    using Scalar = typename Block::Scalar;
    if (weight < Scalar{0.5}) {
      return old_value + weight * (new_value - old_value);
    }
    return new_value + (Scalar{1} - weight) * (old_value - new_value);
  }

  /// `width` entries: a compile-time size, so that it becomes straight vector code.
  template <class Scalar>
  static void update_block(Scalar* parameter, const Scalar* gradient, Scalar* first, Scalar* second,
                           const AdamWStep<Scalar>& step, const AdamWColumn<Scalar>& column) {
    using Block = Eigen::Array<Scalar, width<Scalar>, 1>;
    const Block g = Eigen::Map<const Block>(gradient) * step.gradient_scale;
    Eigen::Map<Block> p(parameter);
    Eigen::Map<Block> m_target(first);
    Eigen::Map<Block> v_target(second);
    const Block m = mix<Block>(m_target, g, step.first_weight);
    const Block v = mix<Block>(v_target, g.square(), step.second_weight);
    m_target = m;
    v_target = v;
    p = p * step.decay -
        column.step_size * (m / (v.sqrt() * column.root_correction + step.epsilon));
  }

  template <class Scalar>
  static void update_run(const Run<Scalar>& run, const AdamWStep<Scalar>& step,
                         const AdamWColumn<Scalar>& column) {
    constexpr Index block = width<Scalar>;
    Index i = 0;
    for (; i + block <= run.count; i += block) {
      update_block(run.parameter + i, run.gradient + i, run.first + i, run.second + i, step,
                   column);
    }
    if (i == run.count) {
      return;
    }
    const Index rest = run.count - i;
    Scalar p[width<Scalar>] = {};
    Scalar g[width<Scalar>] = {};
    Scalar m[width<Scalar>] = {};
    Scalar v[width<Scalar>] = {};
    std::copy_n(run.parameter + i, rest, p);
    std::copy_n(run.gradient + i, rest, g);
    std::copy_n(run.first + i, rest, m);
    std::copy_n(run.second + i, rest, v);
    update_block(p, g, m, v, step, column);
    std::copy_n(p, rest, run.parameter + i);
    std::copy_n(m, rest, run.first + i);
    std::copy_n(v, rest, run.second + i);
  }

  template <class Scalar>
  static void update_column(View<Scalar> parameter, View<const Scalar> gradient, View<Scalar> first,
                            View<Scalar> second, const AdamWStep<Scalar>& step,
                            const AdamWColumn<Scalar>& column) {
    const bool in_runs = parameter.row_step() == 1 && gradient.row_step() == 1 &&
                         first.row_step() == 1 && second.row_step() == 1;
    if (in_runs) {
      update_run(
          Run<Scalar>{parameter.data, gradient.data, first.data, second.data, parameter.rows}, step,
          column);
      return;
    }
    for (Index i = 0; i < parameter.rows; ++i) {
      const Scalar g = gradient(i, 0);
      update_run(Run<Scalar>{&parameter(i, 0), &g, &first(i, 0), &second(i, 0), 1}, step, column);
    }
  }
};

ACCRETE_END_INTRINSICS

} // namespace detail

ACCRETE_END_NAMESPACE
