// SPDX-License-Identifier: MIT
#include "methods/switch_support.hpp"

#include <set>

using namespace method_test;

namespace {

/// Of 20 steps, those of full rank: [8, 10), [11, 12), [13, 15) and [16, 17).
MethodSettings settings(const std::string& moments = "carried") {
  return {{"rank", std::int64_t{3}},
          {"before", 0.1},
          {"gap", 0.05},
          {"after", 0.05},
          {"moments", moments}};
}
const std::set<int> full_steps{8, 9, 11, 13, 14, 16};

/// U Vᵀ or W under textbook AdamW.
struct Oracle {
  accrete::AdamWOptions adamw;
  Mat w, u, v;
  DenseAdamW of_w, of_u, of_v;

  [[nodiscard]] bool is_dense() const { return w.size() > 0; }
  [[nodiscard]] Mat value() const { return is_dense() ? w : Mat(u * v.transpose()); }
  void step(const Batch& batch, double rate) {
    const Mat g = batch.upstream(value() * batch.x) * batch.x.transpose();
    if (is_dense()) {
      of_w.step(w, g, rate);
    } else {
      const Mat du = g * v, dv = g.transpose() * u;
      of_u.step(u, du, rate);
      of_v.step(v, dv, rate);
    }
  }
  [[nodiscard]] Mat mean(const DenseAdamW& optimizer) const {
    return optimizer.first / (1 - std::pow(adamw.beta1, optimizer.steps));
  }
  void inflate(bool carried) {
    const Mat u_inverse = (u.transpose() * u).inverse(), v_inverse = (v.transpose() * v).inverse();
    const Mat mu = mean(of_u), mv = mean(of_v);
    w = u * v.transpose();
    of_w = DenseAdamW(adamw);
    if (carried) {
      const Mat lifted = mu * v_inverse * v.transpose() + u * u_inverse * mv.transpose() -
                         u * u_inverse * u.transpose() * mu * v_inverse * v.transpose();
      (void)of_w.direction(lifted);
    }
  }
  void deflate(const Mat& new_u, const Mat& new_v, bool carried) {
    const Mat m = mean(of_w);
    check_balanced_svd(new_u, new_v, w);
    u = new_u;
    v = new_v;
    w.resize(0, 0);
    of_u = of_v = DenseAdamW(adamw);
    if (carried) {
      (void)of_u.direction(m * v);
      (void)of_v.direction(m.transpose() * u);
    }
  }
};

} // namespace

TEST_CASE("dynamic-rank: 20 steps with their switches are those of the formulas") {
  for (const std::string moments : {"carried", "reset"}) {
    for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
      CAPTURE(moments);
      CAPTURE(rows);
      const bool carried = moments == "carried";
      Oracle oracle;
      oracle.adamw.weight_decay = 0.5;
      oracle.of_u = oracle.of_v = DenseAdamW(oracle.adamw);
      const auto weight = make("dynamic-rank", settings(moments), rows, cols, oracle.adamw);
      oracle.u = parameters_of(*weight).at("weight_u");
      oracle.v = parameters_of(*weight).at("weight_v");
      check_balanced_svd(oracle.u, oracle.v,
                         parameters_of(*make("full", {}, rows, cols)).at("weight"));
      const double rate = 2e-2;
      for (int i = 0; i < 20; ++i) {
        CAPTURE(i);
        const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
        CHECK(oracle.is_dense() == (full_steps.count(i) == 1));
        oracle.step(batch, rate);
        backward(*weight, batch);
        const auto info = step_info(i, rate, 20);
        weight->step(info);
        const Mat before = dense_of(*weight);
        const bool restarted = weight->after_step(info).restarted;
        CHECK(restarted == (full_steps.count(i) != full_steps.count(i + 1)));
        if (restarted && !oracle.is_dense()) {
          CHECK(difference(dense_of(*weight), before) < 1e-13);
          oracle.inflate(carried);
        } else if (restarted) {
          const auto parts = parameters_of(*weight);
          oracle.deflate(parts.at("weight_u"), parts.at("weight_v"), carried);
        }
        CHECK(difference(dense_of(*weight), oracle.value()) < 1e-10);
      }
    }
  }
}

TEST_CASE("dynamic-rank: what is stored is W or the factors") {
  const auto weight = make("dynamic-rank", settings(), 14, 9);
  for (int i = 0; i < 20; ++i) {
    CHECK(Snapshot(*weight).state_size() ==
          (full_steps.count(i) == 1 ? 2 * 14 * 9 : 2 * (14 + 9) * 3));
    CHECK(weight->rank().rank == (full_steps.count(i) == 1 ? 0 : 3));
    train(*weight, Batch(14, 9, 12, static_cast<unsigned>(i)), step_info(i, 1e-2, 20));
  }
}

TEST_CASE("dynamic-rank: stays at low rank where nobody knows how long the training is") {
  const auto weight = make("dynamic-rank", settings(), 14, 9);
  for (int i = 0; i < 20; ++i) {
    train(*weight, Batch(14, 9, 12, static_cast<unsigned>(i)), step_info(i, 1e-2, 0));
    CHECK(weight->rank().rank == 3);
  }
}

TEST_CASE("dynamic-rank: stops and goes on bit for bit on either side of a switch") {
  check_resume("dynamic-rank", settings(), {8, 10, 11, 12, 14});
}
