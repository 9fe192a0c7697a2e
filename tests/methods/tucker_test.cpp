// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <accrete/methods/tucker.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <numeric>

using namespace method_test;

namespace {

using Tucker = accrete::TuckerTensor<double, TestBackend>;
using Sizes = std::vector<Index>;

/// A dense tensor with an index for each mode, the first running fastest.
struct Tensor {
  Sizes sizes;
  Eigen::VectorXd values;

  explicit Tensor(Sizes all) : sizes(std::move(all)) {
    values = Eigen::VectorXd::Zero(
        std::accumulate(sizes.begin(), sizes.end(), Index{1}, std::multiplies<>()));
  }
  Tensor(Sizes all, const Mat& unfolding) : Tensor(std::move(all)) {
    values = Eigen::Map<const Eigen::VectorXd>(unfolding.data(), unfolding.size());
  }
  /// Index of mode `mode`, and the place among the other ones.
  [[nodiscard]] std::pair<Index, Index> place(std::size_t mode, Index entry) const {
    Index other = 0, stride = 1, own = 0;
    for (std::size_t j = 0; j < sizes.size(); ++j) {
      const Index index = entry % sizes[j];
      entry /= sizes[j];
      if (j == mode) {
        own = index;
      } else {
        other += index * stride;
        stride *= sizes[j];
      }
    }
    return {own, other};
  }
  [[nodiscard]] Mat unfolding(std::size_t mode) const {
    Mat result(sizes[mode], values.size() / sizes[mode]);
    for (Index i = 0; i < values.size(); ++i) {
      const auto [row, col] = place(mode, i);
      result(row, col) = values[i];
    }
    return result;
  }
  /// this ×_mode matrix
  [[nodiscard]] Tensor times(std::size_t mode, const Mat& matrix) const {
    Sizes changed = sizes;
    changed[mode] = matrix.rows();
    Tensor result(changed);
    const Mat product = matrix * unfolding(mode);
    for (Index i = 0; i < result.values.size(); ++i) {
      const auto [row, col] = result.place(mode, i);
      result.values[i] = product(row, col);
    }
    return result;
  }
};

Mat thin_q(const Mat& a) {
  return Eigen::HouseholderQR<Mat>(a).householderQ() * Mat::Identity(a.rows(), a.cols());
}

/// The formulas of the paper, on dense tensors.
struct Dense {
  Tensor core;
  std::vector<Mat> factors;

  [[nodiscard]] Tensor value() const {
    Tensor result = core;
    for (std::size_t i = 0; i < factors.size(); ++i) {
      result = result.times(i, factors[i]);
    }
    return result;
  }
  void step(const Tensor& first, const Tensor& second, double rate, double tolerance, Index most) {
    std::vector<Mat> wider;
    for (std::size_t i = 0; i < factors.size(); ++i) {
      const Mat q = thin_q(core.unfolding(i).transpose());
      const Mat s = core.unfolding(i) * q;
      // V_iᵀ = Mat_i(Ten_i(Q_iᵀ) ×_{j≠i} U_j)
      Sizes sizes = core.sizes;
      Tensor right(sizes);
      for (Index entry = 0; entry < right.values.size(); ++entry) {
        const auto [row, col] = right.place(i, entry);
        right.values[entry] = q(col, row);
      }
      for (std::size_t j = 0; j < factors.size(); ++j) {
        right = j == i ? right : right.times(j, factors[j]);
      }
      const Mat k = factors[i] * s - rate * first.unfolding(i) * right.unfolding(i).transpose();
      Mat both(k.rows(), 2 * k.cols());
      both << k, factors[i];
      wider.push_back(thin_q(both));
    }
    Tensor gradient = second;
    for (std::size_t i = 0; i < factors.size(); ++i) {
      core = core.times(i, wider[i].transpose() * factors[i]);
      gradient = gradient.times(i, wider[i].transpose());
    }
    core.values -= rate * gradient.values;
    const Tensor stepped = core;
    for (std::size_t i = 0; i < factors.size(); ++i) {
      const Eigen::JacobiSVD<Mat> svd(stepped.unfolding(i), Eigen::ComputeThinU);
      const Eigen::VectorXd sigma = svd.singularValues();
      Index r = sigma.size();
      while (r > 1 &&
             (r > most || sigma.tail(sigma.size() - r + 1).norm() <= tolerance * sigma.norm())) {
        --r;
      }
      const Mat p = svd.matrixU().leftCols(r);
      core = core.times(i, p.transpose());
      factors[i] = wider[i] * p;
    }
  }
};

/// The same start for both.
std::pair<Tucker, Dense> start(const Sizes& sizes, const Sizes& ranks) {
  Dense dense{Tensor(ranks), {}};
  dense.core.values = random_matrix(dense.core.values.size(), 1, 5);
  std::vector<Stored<double>> factors;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    dense.factors.push_back(thin_q(random_matrix(sizes[i], ranks[i], static_cast<unsigned>(i))));
    factors.push_back(on_backend(dense.factors.back()));
  }
  return {Tucker(on_backend(dense.core.unfolding(0)), std::move(factors)), dense};
}

/// dW of 1/2 |W - T|², with some noise of the batch.
Mat gradient(const Mat& value, const Mat& target, unsigned batch) {
  return value - target + 0.3 * random_matrix(value.rows(), value.cols(), 100 + batch);
}

} // namespace

TEST_CASE("Tucker: steps of a convolution's kernel are those of the paper on dense tensors") {
  const Sizes sizes = {8, 7, 4, 4};
  auto [tucker, dense] = start(sizes, {3, 2, 2, 2});
  const Mat target = random_matrix(8, 112, 3);
  for (unsigned i = 0; i < 10; ++i) {
    CAPTURE(i);
    const Mat w = accrete::to_host(tucker.value());
    CHECK(difference(w, dense.value().unfolding(0)) < 1e-10);
    const Mat first = gradient(w, target, 2 * i), second = gradient(w, target, 2 * i + 1);
    tucker.augment(on_backend(first));
    CHECK(difference(accrete::to_host(tucker.value()), w) < 1e-13);
    tucker.step_core(on_backend(second), 0.1);
    tucker.truncate({.max_rank = 2, .tolerance = 0.05, .min_rank = 1});
    dense.step(Tensor(sizes, first), Tensor(sizes, second), 0.1, 0.05, 2);
    for (std::size_t mode = 0; mode < 4; ++mode) {
      CHECK(tucker.rank(mode) == dense.factors[mode].cols());
      const Mat u = accrete::to_host(tucker.factor(mode));
      CHECK((u.transpose() * u - Mat::Identity(u.cols(), u.cols())).norm() < 1e-13);
    }
  }
}

TEST_CASE("Tucker: with two modes it is the augmented step of DLRT") {
  auto [tucker, dense] = start({9, 8}, {3, 3});
  const Mat target = random_matrix(9, 8, 3);
  Mat u = dense.factors[0], v = dense.factors[1], s = dense.core.unfolding(0);
  for (unsigned i = 0; i < 10; ++i) {
    CAPTURE(i);
    const Mat w = u * s * v.transpose();
    const Mat first = gradient(w, target, 2 * i), second = gradient(w, target, 2 * i + 1);
    Mat wide_u(9, 2 * u.cols()), wide_v(8, 2 * v.cols());
    wide_u << u, first * v;
    wide_v << v, first.transpose() * u;
    wide_u = thin_q(wide_u);
    wide_v = thin_q(wide_v);
    const Mat core = wide_u.transpose() * (w - 0.1 * second) * wide_v;
    const Eigen::JacobiSVD<Mat> svd(core, Eigen::ComputeFullU | Eigen::ComputeFullV);
    u = wide_u * svd.matrixU().leftCols(3);
    s = svd.singularValues().head(3).asDiagonal();
    v = wide_v * svd.matrixV().leftCols(3);

    tucker.augment(on_backend(first));
    tucker.step_core(on_backend(second), 0.1);
    tucker.truncate({.max_rank = 3, .min_rank = 3});
    CHECK(difference(accrete::to_host(tucker.value()), u * s * v.transpose()) < 1e-10);
  }
}

TEST_CASE("Tucker: shapes and ranks that do not fit are typed errors") {
  auto [tucker, dense] = start({8, 7, 4}, {3, 2, 2});
  CHECK_THROWS_AS(tucker.augment(on_backend(random_matrix(8, 27, 1))), accrete::ShapeError);
  CHECK_THROWS_AS(tucker.step_core(on_backend(random_matrix(7, 28, 1)), 0.1), accrete::ShapeError);
  tucker.augment(on_backend(random_matrix(8, 28, 1)));
  CHECK_THROWS_AS(tucker.augment(on_backend(random_matrix(8, 28, 1))), accrete::RankError);
  std::vector<Stored<double>> factors;
  factors.push_back(on_backend(random_matrix(8, 3, 1)));
  CHECK_THROWS_AS(Tucker(on_backend(random_matrix(2, 3, 1)), std::move(factors)),
                  accrete::ShapeError);
}
