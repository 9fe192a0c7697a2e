// SPDX-License-Identifier: MIT
#include "methods/switch_support.hpp"

using namespace method_test;

namespace {

MethodSettings settings(double threshold, const std::string& rest = "frozen") {
  return {{"threshold", threshold}, {"dense-share", 0.4}, {"rest", rest}};
}

/// How many normalised singular values reach the threshold.
Index kept(const Mat& w, double threshold) {
  const Eigen::VectorXd s = Eigen::JacobiSVD<Mat>(w).singularValues();
  const double least = s[s.size() - 1], most = s[0];
  return ((s.array() - least) / (most - least) >= threshold).count();
}

} // namespace

TEST_CASE("welore: 20 steps of a weight that is factorised are those of the formulas") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0.5;
  const double threshold = 0.6, rate = 2e-2;
  const auto weight = make("welore", settings(threshold), 14, 9, adamw);
  Mat w = parameters_of(*weight).at("weight"), u, v;
  DenseAdamW of_w(adamw), of_u(adamw), of_v(adamw);
  for (int i = 0; i < 20; ++i) {
    const Batch batch(14, 9, 12, static_cast<unsigned>(i));
    backward(*weight, batch);
    const auto info = step_info(i, rate, 20);
    weight->step(info);
    CHECK(weight->after_step(info).restarted == (i == 7));
    if (i < 8) {
      of_w.step(w, batch.upstream(w * batch.x) * batch.x.transpose(), rate);
    } else {
      const Mat g = batch.upstream(u * (v.transpose() * batch.x)) * batch.x.transpose();
      const Mat du = g * v, dv = g.transpose() * u;
      of_u.step(u, du, rate);
      of_v.step(v, dv, rate);
    }
    if (i == 7) {
      u = parameters_of(*weight).at("weight_u");
      v = parameters_of(*weight).at("weight_v");
      check_balanced_svd(u, v, w);
      CHECK(u.cols() == kept(w, threshold));
      CHECK(2 * u.cols() < 9);
    }
    CHECK(difference(dense_of(*weight), i < 7 ? w : Mat(u * v.transpose())) < 1e-10);
  }
  CHECK(Snapshot(*weight).state_size() == 2 * (14 + 9) * u.cols());
}

TEST_CASE("welore: a weight of which no more than half is pruned is frozen, or trained on") {
  for (const std::string rest : {"frozen", "trained"}) {
    CAPTURE(rest);
    const auto weight = make("welore", settings(0.1, rest), 14, 9);
    Mat w = parameters_of(*weight).at("weight");
    DenseAdamW optimizer;
    for (int i = 0; i < 20; ++i) {
      const Batch batch(14, 9, 12, static_cast<unsigned>(i));
      if (i < 8 || rest == "trained") {
        optimizer.step(w, batch.upstream(w * batch.x) * batch.x.transpose(), 2e-2);
      }
      backward(*weight, batch);
      weight->step(step_info(i, 2e-2, 20));
      CHECK_FALSE(weight->after_step(step_info(i, 2e-2, 20)).restarted);
      CHECK(difference(parameters_of(*weight).at("weight"), w) < 1e-10);
    }
    CHECK(2 * kept(w, 0.1) > 9);
    const bool frozen = rest == "frozen";
    CHECK(gradients_of(*weight).empty() == frozen);
    CHECK(Snapshot(*weight).state_size() == (frozen ? 0 : 2 * 14 * 9));
    CHECK(weight->flops() == (frozen ? 4 : 6) * 14 * 9);
  }
}

TEST_CASE("welore: the share that has to be pruned is exceeded, not only reached") {
  // Normalised values 1, 0.9, 0.1 and 0: a threshold of 0.5 prunes half of them.
  Mat w = Mat::Zero(6, 4);
  w.diagonal() << 11, 10, 2, 1;
  for (const auto& [share, rank] : {std::pair<double, Index>{0.5, 0}, {0.49, 2}}) {
    const auto weight = make("welore", {{"threshold", 0.5}, {"pruned-share", share}}, 6, 4);
    set_parameter(*weight, "weight", w);
    weight->after_step(step_info(4, 1e-2, 10));
    CHECK(weight->rank().rank == rank);
  }
}

TEST_CASE("welore: stays dense where nobody knows how long the training is") {
  const auto weight = make("welore", settings(0.6), 14, 9);
  for (int i = 0; i < 10; ++i) {
    train(*weight, Batch(14, 9, 12, static_cast<unsigned>(i)), step_info(i, 1e-2, 0));
  }
  CHECK(weight->rank().rank == 0);
  CHECK(gradients_of(*weight).size() == 1);
}

TEST_CASE("welore: stops and goes on bit for bit, factorised, frozen or trained") {
  check_resume("welore", settings(0.6), {3, 8, 11});
  check_resume("welore", settings(0.1), {3, 8, 11});
  check_resume("welore", settings(0.1, "trained"), {3, 8, 11});
}
