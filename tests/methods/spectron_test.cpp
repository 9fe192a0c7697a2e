// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

namespace {

MethodSettings settings(const std::string& polar) {
  return {{"rank", std::int64_t{3}}, {"momentum", 0.9}, {"polar", polar}};
}

double spectral_norm(const Mat& a) { return Eigen::JacobiSVD<Mat>(a).singularValues()[0]; }

/// Five steps of Muon's polynomial, or the polar factor itself.
Mat polar(const Mat& m, bool exact) {
  if (exact) {
    const Eigen::JacobiSVD<Mat> svd(m, Eigen::ComputeThinU | Eigen::ComputeThinV);
    return svd.matrixU() * svd.matrixV().transpose();
  }
  Mat x = m / m.norm();
  for (int i = 0; i < 5; ++i) {
    const Mat gram = x.transpose() * x;
    x = (3.4445 * x - 4.7750 * x * gram + 2.0315 * x * gram * gram).eval();
  }
  return x;
}

/// One step of the power iteration from q.
double iterate(const Mat& a, Mat& q) {
  const Mat w = a * q;
  const Mat next = a.transpose() * w;
  q = next / next.norm();
  return next.norm() / w.norm();
}

} // namespace

TEST_CASE("Spectron: 20 steps are those of the dense formulas") {
  for (const std::string kind : {"muon", "exact"}) {
    for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
      accrete::AdamWOptions adamw;
      adamw.weight_decay = 0.1;
      const auto weight = make("spectron", settings(kind), rows, cols, adamw);
      Mat u = parameters_of(*weight).at("weight_u");
      Mat v = parameters_of(*weight).at("weight_v");
      const Snapshot start(*weight);
      Mat q_u = start.at("weight_u.power_iteration"), q_v = start.at("weight_v.power_iteration");
      Mat m_u = Mat::Zero(rows, 3), m_v = Mat::Zero(cols, 3);
      const double rate = 4e-2;
      for (int i = 0; i < 20; ++i) {
        const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
        const Mat g = batch.upstream(u * (v.transpose() * batch.x)) * batch.x.transpose();
        train(*weight, batch, step_info(i, rate));
        m_u = 0.9 * m_u + 0.1 * g * v;
        m_v = 0.9 * m_v + 0.1 * g.transpose() * u;
        const double rho = rate / (iterate(u, q_u) + iterate(v, q_v) + 1);
        u = ((1 - rate * 0.1) * u - rho * polar(m_u, kind == "exact")).eval();
        v = ((1 - rate * 0.1) * v - rho * polar(m_v, kind == "exact")).eval();
        CHECK(difference(parameters_of(*weight).at("weight_u"), u) < 1e-10);
        CHECK(difference(parameters_of(*weight).at("weight_v"), v) < 1e-10);
      }
    }
  }
}

TEST_CASE("Spectron: a step moves the matrix by the learning rate at most, and hardly by less") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0;
  const auto weight = make("spectron", settings("exact"), 24, 30, adamw);
  for (int i = 0; i < 30; ++i) {
    const Mat before = dense_of(*weight);
    const double rate = i < 15 ? 0.05 : 0.5;
    train(*weight, Batch(24, 30, 12, static_cast<unsigned>(i)), step_info(i, rate));
    const double moved = spectral_norm(dense_of(*weight) - before);
    if (i > 3) { // the iteration has found the norms
      CHECK(moved <= rate * (1 + 1e-3));
      CHECK(moved >= 0.1 * rate);
    }
  }
}

TEST_CASE("Spectron: starts with orthogonal columns and the deviation of the place") {
  const auto weight = make("spectron", {{"rank", std::int64_t{5}}}, 24, 30);
  const auto start = parameters_of(*weight);
  for (const char* name : {"weight_u", "weight_v"}) {
    const Mat gram = start.at(name).transpose() * start.at(name);
    CHECK(difference(gram, gram(0, 0) * Mat::Identity(5, 5)) < 1e-13);
  }
  CHECK(std::abs(dense_of(*weight).norm() / std::sqrt(24.0 * 30.0) - 0.3) < 1e-13);
  // One momentum for each weight, and two vectors.
  CHECK(Snapshot(*weight).state_size() == (24 + 30) * 5 + 2 * 5);
}
