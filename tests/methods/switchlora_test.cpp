// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace method_test;

namespace {

/// The candidates, which no parameter shows.
class Candidates : public accrete::StateVisitor<double, TestBackend> {
 public:
  explicit Candidates(Weight& weight) { weight.visit_state(*this); }
  void tensor(const std::string& name, StoredView<double> values) override {
    (name == "weight_u.candidates"   ? u
     : name == "weight_v.candidates" ? v
                                     : other) = Mat(accrete::to_host(values.as_const()));
  }
  void counts(const std::string& /*name*/, std::span<std::int64_t> /*values*/) override {}
  void number(const std::string& /*name*/, double& /*value*/) override {}

  Mat u, v;

 private:
  Mat other;
};

/// A factor whose columns count their own steps and rest, with its pool.
struct Side {
  Mat factor, pool, first, second;
  std::vector<int> steps, rests;
  Index slot = 0, candidate = 0;

  Side(Mat f, Mat candidates, Index from) : factor(std::move(f)), pool(std::move(candidates)) {
    first = second = Mat::Zero(factor.rows(), factor.cols());
    steps.assign(static_cast<std::size_t>(factor.cols()), 0);
    rests = steps;
    slot = from;
  }
  void step(const Mat& gradient, double rate) {
    for (Index j = 0; j < factor.cols(); ++j) {
      const auto at = static_cast<std::size_t>(j);
      if (rests[at] > 0) {
        --rests[at];
        continue;
      }
      const double t = ++steps[at];
      first.col(j) = 0.9 * first.col(j) + 0.1 * gradient.col(j);
      second.col(j) = 0.999 * second.col(j) + 0.001 * gradient.col(j).cwiseAbs2();
      const Eigen::ArrayXd m = first.col(j).array() / (1 - std::pow(0.9, t));
      const Eigen::ArrayXd v = second.col(j).array() / (1 - std::pow(0.999, t));
      factor.col(j) -= rate * (0.1 * factor.col(j).array() + m / (v.sqrt() + 1e-8)).matrix();
    }
  }
  void reset(Index j, int rest) {
    first.col(j).setZero();
    second.col(j).setZero();
    steps[static_cast<std::size_t>(j)] = 0;
    rests[static_cast<std::size_t>(j)] = rest;
  }
};

/// Switches the next columns; returns what U Vᵀ (or its transpose) loses.
Mat switch_next(Side& side, Side& counterpart, int count, int rest) {
  Mat lost = Mat::Zero(side.factor.rows(), counterpart.factor.rows());
  const Index start = side.slot;
  for (Index i = 0; i < side.factor.cols() && count > 0; ++i) {
    const Index slot = (start + i) % side.factor.cols();
    const auto at = static_cast<std::size_t>(slot);
    if (side.rests[at] > 0 || counterpart.rests[at] > 0) {
      continue;
    }
    const Eigen::VectorXd old = side.factor.col(slot);
    side.factor.col(slot) = side.pool.col(side.candidate);
    side.pool.col(side.candidate) = old;
    lost += (old - side.factor.col(slot)) * counterpart.factor.col(slot).transpose();
    counterpart.reset(slot, rest);
    side.slot = (slot + 1) % side.factor.cols();
    side.candidate = (side.candidate + 1) % side.pool.cols();
    --count;
  }
  return lost;
}

} // namespace

TEST_CASE("SwitchLoRA: 20 steps are those of the dense formulas") {
  // 2 columns of each side a step; the longer rest leaves fewer than that at times.
  for (const int rest : {1, 3}) {
    for (const auto& [rows, cols] : {std::pair<Index, Index>{11, 14}, {14, 11}}) {
      CAPTURE(rest);
      CAPTURE(rows);
      accrete::AdamWOptions adamw;
      adamw.weight_decay = 0.1;
      const auto weight = make("switchlora",
                               {{"rank", std::int64_t{6}},
                                {"interval", std::int64_t{3}},
                                {"alpha", 3.0},
                                {"rest", std::int64_t{rest}}},
                               rows, cols, adamw);
      const double s = 3.0 / 6.0;
      auto start = parameters_of(*weight);
      const Candidates candidates(*weight);
      REQUIRE(candidates.u.cols() == 5); // min(m, n) - r
      Mat base = start.at("weight");
      Side u(start.at("weight_u"), candidates.u, 3);
      Side v(start.at("weight_v"), candidates.v, 0);
      const double rate = 2e-2;
      for (int i = 0; i < 20; ++i) {
        const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
        const Mat w = base + s * u.factor * v.factor.transpose();
        const Mat g = batch.upstream(w * batch.x) * batch.x.transpose();
        train(*weight, batch, step_info(i, rate, 0));
        const Mat du = s * g * v.factor;
        const Mat dv = s * g.transpose() * u.factor;
        u.step(du, rate);
        v.step(dv, rate);
        base += s * switch_next(v, u, 2, rest).transpose();
        base += s * switch_next(u, v, 2, rest);
        const auto now = parameters_of(*weight);
        CHECK(difference(now.at("weight"), base) < 1e-10);
        CHECK(difference(now.at("weight_u"), u.factor) < 1e-10);
        CHECK(difference(now.at("weight_v"), v.factor) < 1e-10);
      }
    }
  }
}

TEST_CASE("SwitchLoRA: a switch leaves the output as it was") {
  for (const char* selection : {"contiguous", "random"}) {
    CAPTURE(selection);
    const auto weight = make("switchlora",
                             {{"rank", std::int64_t{4}},
                              {"interval", std::int64_t{1}},
                              {"rest", std::int64_t{0}},
                              {"selection", std::string(selection)}},
                             11, 14);
    for (int i = 0; i < 8; ++i) {
      const Batch batch(11, 14, 12, static_cast<unsigned>(i));
      backward(*weight, batch);
      weight->step(step_info(i));
      const Mat before = dense_of(*weight);
      const Mat u = parameters_of(*weight).at("weight_u");
      const Candidates pools(*weight);
      weight->after_step(step_info(i, 1e-2, 0));
      CHECK(difference(dense_of(*weight), before) < 1e-13);

      // Every column is another one, and lies among the candidates now.
      const Mat switched = parameters_of(*weight).at("weight_u");
      const Candidates pools_after(*weight);
      for (Index j = 0; j < u.cols(); ++j) {
        CHECK((switched.col(j) - u.col(j)).norm() > 0.01);
        int found = 0;
        for (Index k = 0; k < pools.u.cols(); ++k) {
          found += pools_after.u.col(k) == u.col(j) ? 1 : 0;
        }
        CHECK(found == 1);
      }
    }
  }
}

TEST_CASE("SwitchLoRA: the frequency falls to 0.3 of the first within the decay share") {
  const std::int64_t total = 1000;
  const auto weight = make("switchlora",
                           {{"rank", std::int64_t{8}},
                            {"interval", std::int64_t{40}},
                            {"decay-share", 0.5},
                            {"rest", std::int64_t{0}}},
                           16, 16);
  double expected = 0;
  double variance = 0;
  int switched = 0;
  for (std::int64_t i = 0; i < total; ++i) {
    const Mat before = parameters_of(*weight).at("weight_v");
    weight->after_step(step_info(i, 0, total));
    const Mat moved = parameters_of(*weight).at("weight_v") - before;
    for (Index j = 0; j < moved.cols(); ++j) {
      switched += moved.col(j).norm() > 0 ? 1 : 0;
    }
    const double chance = 8.0 / 40 * std::pow(0.3, static_cast<double>(i + 2) / 500);
    expected += chance;
    variance += chance * (1 - chance);
  }
  CHECK(std::abs(switched - expected) < 4 * std::sqrt(variance));
  CHECK(expected < 90); // 200 without decay
}

TEST_CASE("SwitchLoRA: starts with the deviations of the paper") {
  const Index m = 300;
  const Index n = 200;
  auto where = place(m, n);
  where.deviation = 1 / std::sqrt(3.0 * n); // Kaiming's
  const auto make_it = [&](bool compensated) {
    return make_at("switchlora", {{"rank", std::int64_t{20}}, {"compensate", compensated}}, where);
  };
  const auto weight = make_it(false);
  const auto p = parameters_of(*weight);
  const Candidates candidates(*weight);
  const auto check = [](const Mat& values, double deviation) {
    const double mean_square = values.squaredNorm() / static_cast<double>(values.size());
    CHECK(std::sqrt(mean_square) == doctest::Approx(deviation).epsilon(0.05));
    CHECK(values.cwiseAbs().maxCoeff() <= std::sqrt(3.0) * deviation * (1 + 1e-14));
  };
  const double g = std::sqrt(1.0 / 3);
  const double of_v = std::pow(20 * std::sqrt(1.0 * m) / std::pow(n, 1.5), 0.25) * std::sqrt(g);
  const double of_u = std::pow(20 / std::sqrt(1.0 * m * n), 0.25) * std::sqrt(g);
  check(p.at("weight_v"), of_v);
  check(candidates.v, of_v);
  check(p.at("weight_u"), of_u);
  check(candidates.u, of_u);
  const Mat update = p.at("weight_u") * p.at("weight_v").transpose() / 20;
  CHECK(std::sqrt(update.squaredNorm() / (m * n)) ==
        doctest::Approx(where.deviation).epsilon(0.05));
  CHECK(difference(dense_of(*weight), p.at("weight") + update) < 1e-13);
  CHECK(difference(dense_of(*make_it(true)), p.at("weight")) < 1e-13);
}

TEST_CASE("SwitchLoRA: holds moments of the factors, and the candidates") {
  const auto weight = make("switchlora", {{"rank", std::int64_t{3}}}, 9, 14);
  CHECK(Snapshot(*weight).state_size() == 2 * (9 + 14) * 3 + (9 + 14) * (9 - 3));
  // Without candidates nothing is switched.
  const auto full =
      make("switchlora", {{"rank", std::int64_t{9}}, {"interval", std::int64_t{1}}}, 9, 14);
  const auto before = parameters_of(*full);
  full->after_step(step_info(0));
  CHECK(parameters_of(*full) == before);
}
