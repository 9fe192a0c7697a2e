// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

namespace {

MethodSettings settings(double threshold) {
  return {{"threshold", threshold},
          {"initial-rank", std::int64_t{1}},
          {"buffer", std::int64_t{2}},
          {"warmup", std::int64_t{4}},
          {"interval", std::int64_t{5}}};
}

/// The paper's rule: the least rank, from the present one on, whose squares are the share; at most
/// by the buffer, and with room for it.
Index grown_rank(const Mat& update, Index rank, Index buffer, double threshold, Index most) {
  const Eigen::VectorXd s = Eigen::JacobiSVD<Mat>(update).singularValues();
  const Index last = std::min({rank + buffer, most - buffer, s.size()});
  while (rank < last && s.head(rank).squaredNorm() < threshold * s.squaredNorm()) {
    ++rank;
  }
  return rank;
}

} // namespace

TEST_CASE("InRank: 20 steps and their checks are those of the dense formulas") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0.05;
  const auto weight = make("inrank", settings(0.9), 12, 16, adamw);
  const auto start = parameters_of(*weight);
  const Mat w0 = start.at("weight");
  Mat u = start.at("weight_u"), v = start.at("weight_v");
  CHECK(v.norm() == 0);
  CHECK((u.transpose() * u - Mat::Identity(3, 3) * u.col(0).squaredNorm()).norm() < 1e-13);
  std::vector<DenseAdamW> of_u(3, DenseAdamW(adamw)), of_v(3, DenseAdamW(adamw));
  Index rank = 1;
  const double rate = 2e-2;
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    const Batch batch(12, 16, 24, static_cast<unsigned>(i));
    const Mat g = batch.upstream((w0 + u * v.transpose()) * batch.x) * batch.x.transpose();
    train(*weight, batch, step_info(i, rate));
    const Mat du = g * v;
    const Mat dv = g.transpose() * u;
    for (Index j = 0; j < u.cols(); ++j) { // each column has the age of its own
      const auto k = static_cast<std::size_t>(j);
      Mat column = u.col(j);
      of_u[k].step(column, du.col(j), rate);
      u.col(j) = column;
      column = v.col(j);
      of_v[k].step(column, dv.col(j), rate);
      v.col(j) = column;
    }
    const auto now = parameters_of(*weight);
    if (i + 1 > 4 && (i + 1) % 5 == 0) {
      rank = grown_rank(u * v.transpose(), rank, 2, 0.9, 6);
    }
    CHECK(weight->rank().rank == rank);
    CHECK(weight->rank().columns == rank + 2);
    const Index old = u.cols();
    CHECK(difference(now.at("weight_u").leftCols(old), u) < 1e-10);
    CHECK(difference(now.at("weight_v").leftCols(old), v) < 1e-10);
    if (rank + 2 > old) { // new columns leave the function as it is
      const Mat added = now.at("weight_u").rightCols(rank + 2 - old);
      CHECK((u.transpose() * added).norm() < 1e-12);
      CHECK(now.at("weight_v").rightCols(rank + 2 - old).norm() == 0);
      u = now.at("weight_u");
      v = now.at("weight_v");
      of_u.resize(static_cast<std::size_t>(u.cols()), DenseAdamW(adamw));
      of_v.resize(static_cast<std::size_t>(u.cols()), DenseAdamW(adamw));
    }
  }
  CHECK(rank > 1);
}

TEST_CASE("InRank: a rank that explains enough stays") {
  const auto weight = make("inrank", settings(1e-6), 12, 16);
  for (int i = 0; i < 20; ++i) {
    train(*weight, Batch(12, 16, 24, static_cast<unsigned>(i)), step_info(i));
  }
  CHECK(weight->rank().rank == 1);
}

TEST_CASE("InRank-Efficient: the search ends with the best approximation of the found rank") {
  auto options = settings(0.6);
  options["search-steps"] = std::int64_t{12};
  const auto weight = make("inrank-efficient", options, 12, 16);
  Mat before;
  for (int i = 0; i < 12; ++i) {
    backward(*weight, Batch(12, 16, 24, static_cast<unsigned>(i)));
    weight->step(step_info(i));
    before = dense_of(*weight);
    weight->after_step(step_info(i));
  }
  const Index rank = weight->rank().rank;
  CHECK(weight->rank().columns == rank);
  const Eigen::VectorXd values = Eigen::JacobiSVD<Mat>(before).singularValues();
  CHECK((before - dense_of(*weight)).norm() ==
        doctest::Approx(values.tail(values.size() - rank).norm()).epsilon(1e-10));
  for (int i = 12; i < 30; ++i) { // and stays
    train(*weight, Batch(12, 16, 24, static_cast<unsigned>(i)), step_info(i));
    CHECK(weight->rank().rank == rank);
  }
}
