// SPDX-License-Identifier: MIT
// Compiles with macros of the names min and max, without exceptions, and without a warning of
// -Wsign-conversion and -Wuseless-cast.
#include <Eigen/Dense>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <deque>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <ranges>
#include <span>
#include <string>
#include <vector>

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))

#include <accrete/accrete.hpp>
#include <accrete/bfloat16.hpp>
#include <accrete/factor/symmetric.hpp>
#include <accrete/plan/calibrate.hpp>

namespace ac = accrete;

template <class Scalar>
Scalar use(const Eigen::MatrixX<Scalar>& base, const Eigen::MatrixX<Scalar>& x) {
  ac::CumulativeUpdate<Scalar> weight(base);
  weight.grow(2, ac::init::orthogonal());
  const Eigen::MatrixX<Scalar> y = weight * x;
  const auto gradients = ac::gradients(weight * x, y);
  ac::AdamW<Scalar> optimizer(weight.rows(), weight.rank());
  optimizer.step(weight.U(), gradients.U.eval(), 1e-3);
  weight.truncate({.max_rank = 1});
  ac::IncrementalSVD<Scalar> svd(base.rows());
  svd.append_columns(base);
  svd.append_rows(base);
  const ac::Index rank = ac::rank_by::tail_norm(0.1)(svd.singular_values());
  return y.sum() + static_cast<Scalar>(rank);
}

template float use(const Eigen::MatrixXf&, const Eigen::MatrixXf&);
template double use(const Eigen::MatrixXd&, const Eigen::MatrixXd&);
