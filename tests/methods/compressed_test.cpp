// SPDX-License-Identifier: MIT
#include "methods/switch_support.hpp"

using namespace method_test;

namespace {

constexpr double scale = 0.5;

MethodSettings settings() {
  return {{"rank", std::int64_t{3}},
          {"scale", scale},
          {"rate-ratio", 3.0},
          {"gradients", std::int64_t{2}}};
}

} // namespace

TEST_CASE("compressed: 20 steps from the subspaces of the first gradients are the formulas'") {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
    CAPTURE(rows);
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.5;
    const auto weight = make("compressed", settings(), rows, cols, adamw);
    const Mat start = dense_of(*weight);
    CHECK(start.norm() > 0);
    Mat u, core, v, sum = Mat::Zero(rows, cols);
    DenseAdamW of_u(adamw), of_core(adamw), of_v(adamw);
    const double rate = 2e-2;
    for (int i = 0; i < 20; ++i) {
      CAPTURE(i);
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      if (i < 2) {
        CHECK(dense_of(*weight) == start);
        sum += batch.upstream(start * batch.x) * batch.x.transpose();
        train(*weight, batch, step_info(i, rate));
        if (i == 0) {
          continue;
        }
        const auto parts = parameters_of(*weight);
        u = parts.at("weight_u");
        core = parts.at("weight_core");
        v = parts.at("weight_v");
        // Orthonormal up to their scale, and Uᵀ (-G) V the leading singular values.
        const Mat eye = Mat::Identity(3, 3);
        CHECK(difference(u.transpose() * u, scale * scale * eye) < 1e-12);
        CHECK(difference(v.transpose() * v, scale * scale * eye) < 1e-12);
        CHECK(core == scale * eye);
        const Mat values = Eigen::JacobiSVD<Mat>(sum).singularValues().head(3).asDiagonal();
        CHECK(difference(u.transpose() * -sum * v, scale * scale * values) < 1e-12);
        continue;
      }
      const Mat w = u * core * v.transpose();
      const Mat g = batch.upstream(w * batch.x) * batch.x.transpose();
      const Mat du = g * v * core.transpose(), dcore = u.transpose() * g * v,
                dv = g.transpose() * u * core;
      of_u.step(u, du, 3 * rate);
      of_core.step(core, dcore, rate);
      of_v.step(v, dv, 3 * rate);
      train(*weight, batch, step_info(i, rate));
      CHECK(difference(parameters_of(*weight).at("weight_u"), u) < 1e-10);
      CHECK(difference(parameters_of(*weight).at("weight_core"), core) < 1e-10);
      CHECK(difference(parameters_of(*weight).at("weight_v"), v) < 1e-10);
    }
  }
}

TEST_CASE("compressed: memory is that of three factors after the start") {
  const auto weight = make("compressed", settings(), 14, 9);
  const Index of_factors = 2 * ((14 + 9) * 3 + 3 * 3);
  for (int i = 0; i < 4; ++i) {
    CHECK(Snapshot(*weight).state_size() == of_factors + (i < 2 ? 14 * 9 : 0));
    train(*weight, Batch(14, 9, 12, static_cast<unsigned>(i)), step_info(i));
  }
  CHECK(weight->rank().rank == 3);
}

TEST_CASE("compressed: the first gradients add up over batches of a step") {
  const auto once = make("compressed", settings(), 14, 9);
  const auto twice = make("compressed", settings(), 14, 9);
  const Batch batch(14, 9, 12, 1);
  const Mat y = forward(*once, batch.x);
  Stored<double> dx(9, 12);
  once->backward(on_backend(batch.x), on_backend(batch.upstream(y)), dx);
  for (int i = 0; i < 2; ++i) {
    (void)forward(*twice, batch.x);
    twice->backward(on_backend(batch.x), on_backend(Mat(0.5 * batch.upstream(y))), dx);
  }
  for (const auto* weight : {&once, &twice}) {
    (*weight)->step(step_info(1));
    (*weight)->after_step(step_info(1));
  }
  CHECK(difference(dense_of(*once), dense_of(*twice)) < 1e-10);
}

TEST_CASE("compressed: stops and goes on bit for bit, during the start and after it") {
  check_resume("compressed", settings(), {1, 2, 7});
}
