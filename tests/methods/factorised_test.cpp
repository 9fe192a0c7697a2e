// SPDX-License-Identifier: MIT
#include "methods/switch_support.hpp"

using namespace method_test;

namespace {

MethodSettings settings(double pretrain = 0, const std::string& moments = "carried") {
  return {{"rank", std::int64_t{3}}, {"pretrain", pretrain}, {"moments", moments}};
}

Mat dense_start(Index rows, Index cols) {
  return parameters_of(*make("full", {}, rows, cols)).at("weight");
}

} // namespace

TEST_CASE("factorised: starts from the SVD of a dense start") {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
    const Mat dense = dense_start(rows, cols);
    Eigen::JacobiSVD<Mat> svd(dense, Eigen::ComputeThinU | Eigen::ComputeThinV);

    const auto spectral = make("factorised", settings(), rows, cols);
    const auto parts = parameters_of(*spectral);
    check_balanced_svd(parts.at("weight_u"), parts.at("weight_v"), dense);

    MethodSettings given = settings();
    given["start"] = std::string("spectral-ones");
    const auto ones = make("factorised", given, rows, cols);
    CHECK(difference(dense_of(*ones),
                     svd.matrixU().leftCols(3) * svd.matrixV().leftCols(3).transpose()) < 1e-12);
    const Mat u = parameters_of(*ones).at("weight_u");
    CHECK(difference(u.transpose() * u, Mat::Identity(3, 3)) < 1e-13);

    given["start"] = std::string("normal");
    const auto normal = make("factorised", given, rows, cols);
    CHECK(dense_of(*normal) ==
          dense_of(*make("low-rank", {{"rank", std::int64_t{3}}}, rows, cols)));
  }
}

TEST_CASE("factorised: 20 steps are those of the formulas, for both decays") {
  for (const std::string decay : {"frobenius", "factors"}) {
    CAPTURE(decay);
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 2.0;
    MethodSettings given = settings();
    given["decay"] = decay;
    const auto weight = make("factorised", given, 9, 14, adamw);
    Mat u = parameters_of(*weight).at("weight_u"), v = parameters_of(*weight).at("weight_v");
    adamw.weight_decay = 0;
    DenseAdamW of_u(adamw), of_v(adamw);
    const double rate = 2e-2, shrinkage = rate * 2.0;
    for (int i = 0; i < 20; ++i) {
      const Batch batch(9, 14, 12, static_cast<unsigned>(i));
      const Mat g = batch.upstream(u * (v.transpose() * batch.x)) * batch.x.transpose();
      const Mat du = g * v, dv = g.transpose() * u;
      const Mat old_u = u, old_v = v;
      if (decay == "frobenius") {
        u -= shrinkage * old_u * (old_v.transpose() * old_v);
        v -= shrinkage * old_v * (old_u.transpose() * old_u);
      } else {
        u *= 1 - shrinkage;
        v *= 1 - shrinkage;
      }
      of_u.step(u, du, rate);
      of_v.step(v, dv, rate);
      train(*weight, batch, step_info(i, rate));
      CHECK(difference(parameters_of(*weight).at("weight_u"), u) < 1e-10);
      CHECK(difference(parameters_of(*weight).at("weight_v"), v) < 1e-10);
    }
  }
}

TEST_CASE("factorised: 20 steps with pretraining are those of the formulas") {
  for (const std::string moments : {"carried", "reset"}) {
    CAPTURE(moments);
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.5;
    const auto weight = make("factorised", settings(0.4, moments), 14, 9, adamw);
    Mat w = parameters_of(*weight).at("weight"), u, v;
    DenseAdamW of_w(adamw);
    adamw.weight_decay = 0;
    DenseAdamW of_u(adamw), of_v(adamw);
    const double rate = 2e-2;
    for (int i = 0; i < 20; ++i) {
      const Batch batch(14, 9, 12, static_cast<unsigned>(i));
      backward(*weight, batch);
      const auto info = step_info(i, rate, 20);
      weight->step(info);
      CHECK(weight->after_step(info).restarted == (i == 7));
      if (i < 8) {
        of_w.step(w, batch.upstream(w * batch.x) * batch.x.transpose(), rate);
        if (i < 7) {
          CHECK(difference(parameters_of(*weight).at("weight"), w) < 1e-10);
          continue;
        }
        u = parameters_of(*weight).at("weight_u");
        v = parameters_of(*weight).at("weight_v");
        check_balanced_svd(u, v, w);
        if (moments == "carried") {
          const Mat mean = of_w.first / (1 - std::pow(adamw.beta1, 8));
          (void)of_u.direction(mean * v);
          (void)of_v.direction(mean.transpose() * u);
        }
        continue;
      }
      const Mat g = batch.upstream(u * (v.transpose() * batch.x)) * batch.x.transpose();
      const Mat du = g * v, dv = g.transpose() * u, old_u = u;
      u -= 0.5 * rate * 0.5 * u * (v.transpose() * v);
      v -= 0.5 * rate * 0.5 * v * (old_u.transpose() * old_u);
      of_u.step(u, du, 0.5 * rate);
      of_v.step(v, dv, 0.5 * rate);
      CHECK(difference(parameters_of(*weight).at("weight_u"), u) < 1e-10);
      CHECK(difference(parameters_of(*weight).at("weight_v"), v) < 1e-10);
    }
  }
}

TEST_CASE("factorised: memory is that of W or that of the factors") {
  const auto weight = make("factorised", settings(0.5), 14, 9);
  CHECK(Snapshot(*weight).state_size() == 2 * 14 * 9);
  for (int i = 0; i < 5; ++i) {
    train(*weight, Batch(14, 9, 12, static_cast<unsigned>(i)), step_info(i, 1e-2, 10));
  }
  CHECK(Snapshot(*weight).state_size() == 2 * (14 + 9) * 3);
  CHECK(parameters_of(*weight).count("weight") == 0);
  CHECK(weight->rank().rank == 3);
}

TEST_CASE("factorised: stops and goes on bit for bit while dense and when factorised") {
  check_resume("factorised", settings(0.3), {2, 6, 9});
}

TEST_CASE("factorised: where nobody knows how long the training is, W is factorised at once") {
  const auto weight = make("factorised", settings(0.5), 14, 9);
  train(*weight, Batch(14, 9, 12, 1), step_info(0, 1e-2, 0));
  CHECK(weight->rank().rank == 3);
}

TEST_CASE("factorised: a W of too low a rank gives no column that could never move") {
  const auto weight = make("factorised", settings(0.5), 14, 9);
  set_parameter(*weight, "weight", random_matrix(14, 1, 1) * random_matrix(1, 9, 2));
  const Mat before = dense_of(*weight);
  weight->after_step(step_info(4, 1e-2, 10));
  CHECK(difference(dense_of(*weight), before) < 1e-12);
  const auto parts = parameters_of(*weight);
  REQUIRE(parts.at("weight_u").cols() == 3);
  for (Index j = 0; j < 3; ++j) {
    CHECK(parts.at("weight_u").col(j).norm() + parts.at("weight_v").col(j).norm() > 0.1);
  }
}
