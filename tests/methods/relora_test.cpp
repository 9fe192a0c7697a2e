// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

namespace {

constexpr std::int64_t dense_steps = 5, interval = 6;

std::unique_ptr<Weight> relora(double pruned, const accrete::AdamWOptions& adamw = {}) {
  return make(
      "relora",
      {{"rank", std::int64_t{3}}, {"interval", interval}, {"warm-start", 0.25}, {"pruned", pruned}},
      9, 14, adamw);
}
/// 20 steps in all: dense for five, then a restart every six.
accrete::StepInfo info_of(int step) { return step_info(step, 2e-2, 20); }
bool is_restart(int step) {
  return step + 1 >= dense_steps && (step + 1 - dense_steps) % interval == 0;
}

/// AdamW's moments by name, from a snapshot.
class Moments : public accrete::StateVisitor<double, TestBackend> {
 public:
  explicit Moments(Weight& weight) { weight.visit_state(*this); }
  void tensor(const std::string& name, StoredView<double> values) override {
    all[name] = Mat(accrete::to_host(values.as_const()));
  }
  void counts(const std::string& name, std::span<std::int64_t> values) override {
    steps[name] = {values.begin(), values.end()};
  }
  void number(const std::string&, double&) override {}

  std::map<std::string, Mat> all;
  std::map<std::string, std::vector<std::int64_t>> steps;
};

} // namespace

TEST_CASE("ReLoRA: 20 steps are those of the dense formulas") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0.1;
  const auto weight = relora(1.0, adamw); // all moments are cleared at a restart
  const double s = 0.25, rate = 2e-2;
  Mat w = parameters_of(*weight).at("weight");
  Mat u, v;
  DenseAdamW of_w(adamw), of_u(adamw), of_v(adamw);
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    const bool is_dense = i < dense_steps;
    const Batch batch(9, 14, 12, static_cast<unsigned>(i));
    const Mat whole = is_dense ? w : Mat(w + s * u * v.transpose());
    const Mat g = batch.upstream(whole * batch.x) * batch.x.transpose();
    backward(*weight, batch);
    weight->step(info_of(i));
    if (is_dense) {
      of_w.step(w, g, rate);
    } else {
      const Mat du = s * g * v;
      const Mat dv = s * g.transpose() * u;
      of_u.step(u, du, rate);
      of_v.step(v, dv, rate);
    }
    const Mat before = dense_of(*weight);
    CHECK(difference(before, is_dense ? w : Mat(w + s * u * v.transpose())) < 1e-10);

    const bool restarted = weight->after_step(info_of(i)).restarted;

    CHECK(restarted == is_restart(i));
    if (restarted) {
      CHECK(difference(dense_of(*weight), before) < 1e-13); // the map stays as it is
      const auto now = parameters_of(*weight);
      w = now.at("weight");
      u = now.at("weight_u");
      v = now.at("weight_v");
      CHECK(difference(w, before) < 1e-13);
      CHECK(u.norm() == 0);
      CHECK(v.norm() > 0);
      // Moments are gone, counts go on.
      const int steps = is_dense ? 0 : of_u.steps;
      of_u = of_v = DenseAdamW(adamw);
      of_u.first = of_u.second = Mat::Zero(9, 3);
      of_v.first = of_v.second = Mat::Zero(14, 3);
      of_u.steps = of_v.steps = steps;
    }
  }
}

TEST_CASE("ReLoRA: each restart draws other columns") {
  const auto weight = relora(0.99);
  std::vector<Mat> drawn;
  for (int i = 0; i < 20; ++i) {
    train(*weight, Batch(9, 14, 12, static_cast<unsigned>(i)), info_of(i));
    if (is_restart(i)) {
      drawn.push_back(parameters_of(*weight).at("weight_v"));
    }
  }
  REQUIRE(drawn.size() == 3);
  CHECK(drawn[0] != drawn[1]);
  CHECK(drawn[1] != drawn[2]);
}

TEST_CASE("ReLoRA: a restart clears the share of the moments that it is to, the smallest ones") {
  const auto weight = relora(0.9);
  for (int i = 0; i < dense_steps + interval - 1; ++i) {
    train(*weight, Batch(9, 14, 12, static_cast<unsigned>(i)), info_of(i));
  }
  const int last = static_cast<int>(dense_steps + interval) - 1;
  backward(*weight, Batch(9, 14, 12, 99));
  weight->step(info_of(last));
  const Moments before(*weight);
  weight->after_step(info_of(last));
  const Moments after(*weight);
  for (const char* name : {"weight_u.first_moment", "weight_v.first_moment"}) {
    CAPTURE(std::string(name));
    const Mat& old = before.all.at(name);
    const Mat& kept = after.all.at(name);
    const Index zeros = (kept.array() == 0).count();
    CHECK(zeros == std::lround(0.9 * static_cast<double>(old.size())));
    double least_kept = 1e9, most_cleared = 0;
    for (Index i = 0; i < old.size(); ++i) {
      const double size = std::abs(old.data()[i]);
      if (kept.data()[i] != 0) {
        CHECK(kept.data()[i] == old.data()[i]);
        least_kept = std::min(least_kept, size);
      } else {
        most_cleared = std::max(most_cleared, size);
      }
    }
    CHECK(most_cleared <= least_kept);
  }
  CHECK(after.steps == before.steps);
}
