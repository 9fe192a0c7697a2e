// SPDX-License-Identifier: MIT
#pragma once

#include "types.hpp"

#include <accrete/backend/view.hpp>

#include <dnnl.hpp>

namespace gpt {

// c = alpha * a * b + beta * c: scratch until the library's kernels land.
inline void multiply(float alpha, accrete::View<const float> a, accrete::View<const float> b,
                     float beta, accrete::View<float> c) {
  const auto trans = [](const auto& v) { return v.is_column_major() ? 'N' : 'T'; };
  dnnl_sgemm(trans(b), trans(a), c.cols, c.rows, a.cols, alpha, b.data, b.stride, a.data, a.stride,
             beta, c.data, c.stride);
}
inline void multiply(double alpha, accrete::View<const double> a, accrete::View<const double> b,
                     double beta, accrete::View<double> c) {
  Block<double> out(c.data, c.rows, c.cols, Eigen::OuterStride<>(c.stride));
  if (beta == 0) { out.setZero(); }
  const auto run = [&](const auto& x, const auto& y) { out.noalias() += alpha * (x * y); };
  const auto map = [](const auto& v) {
    return v.is_column_major()
               ? ConstBlock<double>(v.data, v.rows, v.cols, Eigen::OuterStride<>(v.stride))
               : ConstBlock<double>(v.data, v.cols, v.rows, Eigen::OuterStride<>(v.stride));
  };
  if (a.is_column_major()) {
    if (b.is_column_major()) { run(map(a), map(b)); } else { run(map(a), map(b).transpose()); }
  } else {
    if (b.is_column_major()) {
      run(map(a).transpose(), map(b));
    } else {
      run(map(a).transpose(), map(b).transpose());
    }
  }
}

} // namespace gpt
