// SPDX-License-Identifier: MIT
#include "methods/switch_support.hpp"

#include <accrete/methods/ffsplit.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

using namespace method_test;

namespace {

using FFSplit = accrete::FFSplitWeight<double, TestBackend>;

struct Case {
  Index rows, cols;
};
constexpr Case cases[] = {{8, 20}, {20, 8}, {10, 10}};

MethodSettings settings(double hitters = 0.3) {
  return {{"dense-share", 0.4}, {"rank", std::int64_t{2}}, {"hitters", hitters}};
}

/// The largest norm that each neuron adds to an output, or has as one.
Eigen::VectorXd norms(const Mat& w, const Mat& x) {
  Eigen::VectorXd result(std::max(w.rows(), w.cols()));
  for (Index i = 0; i < result.size(); ++i) {
    for (Index t = 0; t < x.cols(); ++t) {
      const double norm =
          w.cols() >= w.rows() ? (w.col(i) * x(i, t)).norm() : std::abs(w.row(i).dot(x.col(t)));
      result[i] = std::max(t == 0 ? 0.0 : result[i], norm);
    }
  }
  return result;
}

/// Everything that is not of these neurons becomes zero, or what is.
Mat part(Mat w, const std::vector<Index>& neurons, bool keeps_them) {
  for (Index i = 0; i < std::max(w.rows(), w.cols()); ++i) {
    const bool is_one = std::find(neurons.begin(), neurons.end(), i) != neurons.end();
    if (is_one == keeps_them) {
      continue;
    }
    if (w.cols() >= w.rows()) {
      w.col(i).setZero();
    } else {
      w.row(i).setZero();
    }
  }
  return w;
}

} // namespace

TEST_CASE("ffsplit: 20 steps, before and after the split, are those of the formulas") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0.5;
  const double rate = 2e-2;
  for (const Case& shape : cases) {
    CAPTURE(shape.rows);
    const auto weight = make("ffsplit", settings(), shape.rows, shape.cols, adamw);
    const auto& split = dynamic_cast<const FFSplit&>(*weight);
    Mat w = parameters_of(*weight).at("weight"), u, v, d;
    DenseAdamW of_w(adamw), of_u(adamw), of_v(adamw), of_d(adamw);
    for (int i = 0; i < 20; ++i) {
      const Batch batch(shape.rows, shape.cols, 12, static_cast<unsigned>(i));
      const Eigen::VectorXd weighs = norms(w, batch.x);
      backward(*weight, batch);
      const auto info = step_info(i, rate, 20);
      weight->step(info);
      CHECK(weight->after_step(info).restarted == (i == 7));
      if (i < 8) {
        of_w.step(w, batch.upstream(w * batch.x) * batch.x.transpose(), rate);
      } else {
        const Mat g = batch.upstream((d + u * v.transpose()) * batch.x) * batch.x.transpose();
        const Mat du = g * v, dv = g.transpose() * u;
        of_u.step(u, du, rate);
        of_v.step(v, dv, rate);
        of_d.step(d, part(g, split.hitters(), true), rate);
      }
      if (i == 7) {
        const auto& hitters = split.hitters();
        CHECK(static_cast<Index>(hitters.size()) ==
              std::llround(0.3 * static_cast<double>(std::max(shape.rows, shape.cols))));
        for (Index j = 0; j < weighs.size(); ++j) { // they outweigh all others
          if (std::find(hitters.begin(), hitters.end(), j) == hitters.end()) {
            for (const Index hitter : hitters) {
              CHECK(weighs[hitter] >= weighs[j]);
            }
          }
        }
        d = part(w, hitters, true);
        u = parameters_of(*weight).at("weight_u");
        v = parameters_of(*weight).at("weight_v");
        check_balanced_svd(u, v, part(w, hitters, false));
      }
      CHECK(difference(dense_of(*weight), i < 7 ? w : Mat(d + u * v.transpose())) < 1e-10);
    }
  }
}

TEST_CASE("ffsplit: after the split gradients are those of finite differences") {
  for (const Case& shape : cases) {
    const auto weight = make("ffsplit", settings(), shape.rows, shape.cols);
    for (int i = 0; i < 10; ++i) {
      train(*weight, Batch(shape.rows, shape.cols, 12, static_cast<unsigned>(i)),
            step_info(i, 1e-2, 20));
    }
    const Batch batch(shape.rows, shape.cols, 5, 3);
    Mat dx;
    backward(*weight, batch, &dx);
    for (const auto& [name, gradient] : gradients_of(*weight)) {
      CAPTURE(name);
      const Mat kept = parameters_of(*weight).at(name);
      for (Index k = 0; k < kept.size(); ++k) {
        const auto loss = [&](double offset) {
          Mat moved = kept;
          moved.data()[k] += offset;
          set_parameter(*weight, name, moved);
          return batch.loss(forward(*weight, batch));
        };
        const double h = 1e-5;
        CHECK(gradient.data()[k] == doctest::Approx((loss(h) - loss(-h)) / (2 * h)).epsilon(1e-6));
      }
      set_parameter(*weight, name, kept);
    }
    const Mat w = dense_of(*weight);
    CHECK(difference(dx, w.transpose() * batch.upstream(w * batch.x)) < 1e-12);
  }
}

TEST_CASE("ffsplit: without hitters it is a factorisation, with all of them W stays as it is") {
  for (const double share : {0.0, 1.0}) {
    const auto weight = make("ffsplit", settings(share), 8, 20);
    for (int i = 0; i < 7; ++i) {
      train(*weight, Batch(8, 20, 12, static_cast<unsigned>(i)), step_info(i, 1e-2, 20));
    }
    const Mat w = dense_of(*weight);
    train(*weight, Batch(8, 20, 12, 7), step_info(7, 0.0, 20)); // the step that splits, of rate 0
    CHECK(gradients_of(*weight).size() == (share > 0 ? 3 : 2));
    if (share > 0) {
      CHECK(difference(dense_of(*weight), w) < 1e-14);
    } else {
      check_balanced_svd(parameters_of(*weight).at("weight_u"),
                         parameters_of(*weight).at("weight_v"), w);
    }
  }
}

TEST_CASE("ffsplit: without a dense share the second step is the last dense one") {
  const auto weight = make("ffsplit", {{"dense-share", 0.0}}, 8, 20);
  for (int i = 0; i < 4; ++i) {
    const Batch batch(8, 20, 12, static_cast<unsigned>(i));
    backward(*weight, batch);
    weight->step(step_info(i, 1e-2, 20));
    CHECK(weight->after_step(step_info(i, 1e-2, 20)).restarted == (i == 1));
  }
}

TEST_CASE("ffsplit: stays dense where nobody knows how long the training is") {
  const auto weight = make("ffsplit", settings(), 14, 9);
  for (int i = 0; i < 10; ++i) {
    train(*weight, Batch(14, 9, 12, static_cast<unsigned>(i)), step_info(i, 1e-2, 0));
  }
  CHECK(weight->rank().rank == 0);
}

TEST_CASE("ffsplit: stops and goes on bit for bit, dense, before the split, and split") {
  check_resume("ffsplit", settings(), {3, 7, 8, 11});
}
