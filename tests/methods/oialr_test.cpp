// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <accrete/methods/oialr.hpp>

#include <doctest/doctest.h>

using namespace method_test;

namespace {

constexpr std::int64_t delay = 5, period = 4;

MethodSettings settings(const std::string& moments, double cutoff = 0.4, std::int64_t rest = 0) {
  return {{"delay", delay},
          {"period", period},
          {"cutoff", cutoff},
          {"rest", rest},
          {"moments", moments}};
}

void check_orthonormal(const Mat& q) {
  CHECK((q.transpose() * q - Mat::Identity(q.cols(), q.cols())).norm() < 1e-12);
}

/// The state under gradients P' dS Q: M exactly, the corrected V as |(V - M²)(C∘C) + (M C)²| on
/// either side.
void rotate(DenseAdamW& adam, const Mat& p, const Mat& q, const accrete::AdamWOptions& options) {
  const double mean = 1 - std::pow(options.beta1, adam.steps);
  const double square = 1 - std::pow(options.beta2, adam.steps);
  const Mat m = adam.first / mean;
  const Mat variance = adam.second / square - m.cwiseAbs2();
  const Mat rotated = p.transpose() * m * q;
  adam.first = mean * rotated;
  // Each of the two rotations takes the absolute value.
  const Mat once = (variance * q.cwiseAbs2() + (m * q).cwiseAbs2()).cwiseAbs();
  const Mat twice = p.cwiseAbs2().transpose() * (once - (m * q).cwiseAbs2()) + rotated.cwiseAbs2();
  adam.second = square * twice.cwiseAbs();
}

} // namespace

TEST_CASE("OIALR: 20 steps are those of the dense formulas") {
  for (const bool rotates : {true, false}) {
    for (const auto& shape : {std::pair<Index, Index>{9, 7}, {7, 9}}) {
      const Index rows = shape.first, cols = shape.second;
      CAPTURE(rotates);
      CAPTURE(rows);
      accrete::AdamWOptions adamw;
      adamw.weight_decay = 0.1;
      const auto weight = make("oialr", settings(rotates ? "rotate" : "crop"), rows, cols, adamw);
      DenseAdamW adam(adamw);
      Mat w = parameters_of(*weight).at("weight"), u, s, v;
      std::vector<Index> ranks;
      const double rate = 2e-2;
      for (int i = 0; i < 20; ++i) {
        CAPTURE(i);
        const bool dense = i < delay;
        const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
        const Mat g = batch.upstream((dense ? w : Mat(u * s * v.transpose())) * batch.x) *
                      batch.x.transpose();
        train(*weight, batch, step_info(i, rate));
        if (dense) {
          adam.step(w, g, rate);
        } else {
          adam.step(s, u.transpose() * g * v, rate);
          w = u * s * v.transpose();
        }
        auto now = parameters_of(*weight);
        if (i + 1 < delay) {
          CHECK(difference(now.at("weight"), w) < 1e-10);
          continue;
        }
        const Mat new_u = now.at("weight_u"), new_s = now.at("weight_s"),
                  new_v = now.at("weight_v");
        check_orthonormal(new_u);
        check_orthonormal(new_v);
        if (i + 1 == delay) {
          CHECK(difference(new_u * new_s * new_v.transpose(), w) < 1e-10);
          if (rotates) {
            rotate(adam, new_u, new_v, adamw);
          } else {
            adam.first = adam.second = Mat::Zero(new_s.rows(), new_s.cols());
          }
        } else if ((i + 1 - delay) % period == 0) {
          // What is cut is below 0.4 of the largest, and the rest is the best approximation.
          const Eigen::JacobiSVD<Mat> svd(w, Eigen::ComputeThinU | Eigen::ComputeThinV);
          const Eigen::VectorXd sigma = svd.singularValues();
          const Index before = s.rows();
          Index rank = 0;
          while (rank < before && sigma[rank] >= 0.4 * sigma[0]) {
            ++rank;
          }
          rank = std::max(rank, (before + 1) / 2);
          REQUIRE(new_s.rows() == rank);
          CHECK(difference(new_s, Mat(sigma.head(rank).asDiagonal())) < 1e-10);
          CHECK(difference(new_u * new_s * new_v.transpose(),
                           svd.matrixU().leftCols(rank) * sigma.head(rank).asDiagonal() *
                               svd.matrixV().leftCols(rank).transpose()) < 1e-10);
          ranks.push_back(rank);
          if (rotates) {
            rotate(adam, u.transpose() * new_u, v.transpose() * new_v, adamw);
          } else {
            adam.first = Mat(adam.first.topLeftCorner(rank, rank));
            adam.second = Mat(adam.second.topLeftCorner(rank, rank));
          }
        } else {
          CHECK(new_u == u);
          CHECK(new_v == v);
          CHECK(difference(new_s, s) < 1e-10);
        }
        u = new_u;
        s = new_s;
        v = new_v;
        w = u * s * v.transpose();
      }
      REQUIRE(ranks.size() == 3);
      CHECK(ranks.back() < 7);
    }
  }
}

TEST_CASE("OIALR: a layer is reached from the last one on, and rests between two checks") {
  // With a cutoff of 1 each check halves the rank: 16, 8, 4, 2.
  const auto rank_after = [](Index layer, double share, std::int64_t rest, int checks) {
    auto where = place(16, 20);
    where.layer = layer;
    where.layers = 4;
    auto options = settings("rotate", 1.0, rest);
    options["layer-share"] = share;
    const auto weight = make_at("oialr", options, where);
    for (int i = 0; i < delay + period * checks; ++i) {
      train(*weight, Batch(16, 20, 8, static_cast<unsigned>(i)), step_info(i));
    }
    return weight->rank().rank;
  };
  CHECK(rank_after(3, 0.25, 0, 1) == 8);
  CHECK(rank_after(2, 0.25, 0, 1) == 16);
  CHECK(rank_after(2, 0.25, 0, 2) == 8);
  CHECK(rank_after(0, 0.25, 0, 3) == 16);
  CHECK(rank_after(0, 0.25, 0, 4) == 8);
  CHECK(rank_after(3, 0.0, 0, 2) == 4); // the last layer always
  CHECK(rank_after(0, 1.0, 0, 3) == 2);
  CHECK(rank_after(0, 1.0, 1, 3) == 4);
  CHECK(rank_after(0, 1.0, 2, 3) == 8);
}

TEST_CASE("OIALR: memory before and after the weight is factorised") {
  const auto weight = make("oialr", settings("rotate"), 12, 8);
  CHECK(Snapshot(*weight).state_size() == 2 * 12 * 8);
  for (int i = 0; i < delay + period; ++i) {
    train(*weight, Batch(12, 8, 16, static_cast<unsigned>(i)), step_info(i));
  }
  const Index k = weight->rank().rank;
  CHECK(k < 8);
  CHECK(Snapshot(*weight).state_size() == 2 * k * k);
  CHECK(parameters_of(*weight).at("weight_s").size() == k * k);
}
