// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <accrete/methods/sst.hpp>

#include <doctest/doctest.h>

#include <set>

using namespace method_test;

namespace {

constexpr std::int64_t period = 4, samplings = 2, warmup = 3;
constexpr Index rank = 3;

MethodSettings settings() {
  return {{"rank", std::int64_t{rank}},
          {"period", period},
          {"samplings", samplings},
          {"warmup", warmup}};
}

struct Spectral {
  Mat u, v;
  Eigen::VectorXd sigma;

  Spectral() = default;
  explicit Spectral(Weight& weight) {
    auto p = parameters_of(weight);
    u = joined(p.at("weight_u_active"), p.at("weight_u_frozen"));
    v = joined(p.at("weight_v_active"), p.at("weight_v_frozen"));
    sigma = p.at("weight_sigma");
  }
  [[nodiscard]] Mat value() const { return u * sigma.asDiagonal() * v.transpose(); }

  static Mat joined(const Mat& a, const Mat& b) {
    Mat result(a.rows(), a.cols() + b.cols());
    result << a, b;
    return result;
  }
};

double orthogonality(const Mat& q) {
  return (q.transpose() * q - Mat::Identity(q.cols(), q.cols())).norm();
}

/// Where each of the new columns was before; all of them have to be old ones, bit for bit.
std::vector<Index> sources(const Mat& now, const Mat& before) {
  std::vector<Index> result;
  for (Index j = 0; j < now.cols(); ++j) {
    for (Index i = 0; i < before.cols(); ++i) {
      if (now.col(j) == before.col(i)) {
        result.push_back(i);
      }
    }
  }
  REQUIRE(std::set<Index>(result.begin(), result.end()).size() ==
          static_cast<std::size_t>(now.cols()));
  return result;
}

Mat reordered(const Mat& m, const std::vector<Index>& order) {
  Mat result = m;
  for (std::size_t j = 0; j < order.size(); ++j) {
    result.col(static_cast<Index>(j)) = m.col(order[j]);
  }
  return result;
}

} // namespace

TEST_CASE("SST: 20 steps are those of the dense formulas") {
  for (const auto& shape : {std::pair<Index, Index>{9, 7}, {7, 9}}) {
    const Index rows = shape.first, cols = shape.second;
    CAPTURE(rows);
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight = make("sst", settings(), rows, cols, adamw);
    Spectral own(*weight);
    const Mat start =
        accrete::to_host(accrete::detail::dense_start<double, TestBackend>(place(rows, cols)));
    CHECK(difference(own.value(), start) < 1e-13);
    CHECK(orthogonality(own.u) + orthogonality(own.v) < 1e-13);

    DenseAdamW of_sigma(adamw);
    adamw.weight_decay = 0;
    DenseAdamW of_u(adamw), of_v(adamw);
    for (int i = 0; i < 20; ++i) {
      CAPTURE(i);
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat g = batch.upstream(own.value() * batch.x) * batch.x.transpose();
      backward(*weight, batch);
      const auto gradients = gradients_of(*weight);
      CHECK(difference(gradients.at("weight_u_active"), g * own.v.leftCols(rank)) < 1e-10);
      CHECK(gradients.count("weight_u_frozen") == 0);

      const double rate = 5e-2 * std::min(1.0, static_cast<double>(i % period + 1) / warmup);
      Mat u = own.u.leftCols(rank);
      Mat v = own.v.leftCols(rank);
      Mat sigma = own.sigma;
      const Mat of_factors = own.u.transpose() * g * own.v;
      of_u.step(u, g * own.v.leftCols(rank), rate);
      of_v.step(v, g.transpose() * own.u.leftCols(rank), rate);
      of_sigma.step(sigma, of_factors.diagonal(), rate);
      own.u.leftCols(rank) = u.colwise().normalized();
      own.v.leftCols(rank) = v.colwise().normalized();
      own.sigma = sigma.cwiseMax(0.0);

      weight->step(step_info(i, 5e-2));
      const Spectral stepped(*weight);
      CHECK(difference(stepped.u, own.u) < 1e-10);
      CHECK(difference(stepped.sigma, own.sigma) < 1e-10);
      CHECK(difference(stepped.v, own.v) < 1e-10);

      weight->after_step(step_info(i, 5e-2));
      const Spectral now(*weight);
      CHECK(difference(now.value(), own.value()) < 1e-10);
      if ((i + 1) % (period * samplings) == 0) { // the SVD of W, in an order that was drawn
        CHECK(orthogonality(now.u) + orthogonality(now.v) < 1e-12);
        own = now;
        of_sigma = DenseAdamW(accrete::AdamWOptions{.weight_decay = 0.1});
      } else if ((i + 1) % period == 0) {
        const auto order = sources(now.u, stepped.u);
        own = {};
        own = now;
        of_sigma.first = reordered(of_sigma.first.transpose(), order).transpose();
        of_sigma.second = reordered(of_sigma.second.transpose(), order).transpose();
        CHECK(reordered(stepped.v, order) == now.v);
        CHECK(reordered(stepped.sigma.transpose(), order) == now.sigma.transpose());
      }
      if ((i + 1) % period == 0) {
        of_u = DenseAdamW(adamw);
        of_v = DenseAdamW(adamw);
      }
    }
  }
}

TEST_CASE("SST: directions are drawn without replacement, with the paper's probabilities") {
  const Eigen::VectorXd sigma = (Eigen::VectorXd(5) << 4, 2, 1, 0.5, 0).finished();
  const Eigen::VectorXd p = (0.5 * (1.0 / 5 + (sigma / sigma.sum()).array())).matrix();
  Eigen::VectorXd first = Eigen::VectorXd::Zero(5), second = first;
  const int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    const auto order = accrete::detail::spectral_sample(sigma, static_cast<std::uint64_t>(i));
    REQUIRE(std::set<Index>(order.begin(), order.end()).size() == 5);
    first[order[0]] += 1.0 / draws;
    second[order[1]] += 1.0 / draws;
  }
  for (Index i = 0; i < 5; ++i) {
    double expected = 0;
    for (Index j = 0; j < 5; ++j) {
      expected += j == i ? 0.0 : p[j] * p[i] / (1 - p[j]);
    }
    // Four standard deviations of a frequency.
    CHECK(std::abs(first[i] - p[i]) < 4 * std::sqrt(p[i] * (1 - p[i]) / draws));
    CHECK(std::abs(second[i] - expected) < 4 * std::sqrt(expected * (1 - expected) / draws));
  }
}

TEST_CASE("SST: all directions stay, what is trained changes, and the memory is the paper's") {
  const auto weight = make("sst", settings(), 12, 8);
  std::set<double> touched;
  for (int i = 0; i < 40; ++i) {
    const Spectral before(*weight);
    backward(*weight, Batch(12, 8, 16, static_cast<unsigned>(i)));
    weight->step(step_info(i, 1e-2));
    const Spectral after(*weight);
    CHECK(after.u.rightCols(8 - rank) == before.u.rightCols(8 - rank));
    CHECK(after.u.leftCols(rank) != before.u.leftCols(rank));
    CHECK((after.u.colwise().norm().array() - 1).abs().maxCoeff() < 1e-14);
    CHECK(after.sigma.minCoeff() >= 0);
    weight->after_step(step_info(i, 1e-2));
    for (Index j = 0; j < rank && (i + 1) % (samplings * period) != 0; ++j) {
      touched.insert(Spectral(*weight).sigma[j]);
    }
  }
  CHECK(touched.size() > 8);
  CHECK(weight->rank().rank == 8);
  CHECK(Snapshot(*weight).state_size() == 2 * (rank * (12 + 8) + 8));
}
