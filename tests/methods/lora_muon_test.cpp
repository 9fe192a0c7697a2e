// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

namespace {

MethodSettings settings(double rebalance, double damping = 0) {
  return {{"rank", std::int64_t{3}}, {"rebalance", rebalance}, {"damping", damping}};
}

Mat polar(const Mat& m) {
  const Eigen::JacobiSVD<Mat> svd(m, Eigen::ComputeThinU | Eigen::ComputeThinV);
  return svd.matrixU() * svd.matrixV().transpose();
}

/// (FᵀF)^-1/2, from the singular values of F.
Mat inverse_root(const Mat& f, double damping) {
  const Eigen::JacobiSVD<Mat> svd(f, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Eigen::ArrayXd squares = svd.singularValues().array().square();
  return svd.matrixV() * (squares + damping * squares[0]).rsqrt().matrix().asDiagonal() *
         svd.matrixV().transpose();
}

double spectral_norm(const Mat& a) { return Eigen::JacobiSVD<Mat>(a).singularValues()[0]; }

} // namespace

TEST_CASE("LoRA-Muon: 20 steps are those of the dense formulas") {
  for (const double rebalance : {0.0, 0.6}) {
    for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
      accrete::AdamWOptions adamw;
      adamw.weight_decay = 0.5;
      const double damping = 1e-3;
      const auto weight = make("lora-muon", settings(rebalance, damping), rows, cols, adamw);
      Mat u = 3 * parameters_of(*weight).at("weight_u"); // factors of different sizes
      Mat v = parameters_of(*weight).at("weight_v") / 3;
      set_parameter(*weight, "weight_u", u);
      set_parameter(*weight, "weight_v", v);
      Mat m_u = Mat::Zero(rows, 3), m_v = Mat::Zero(cols, 3);
      const double rate = 0.1;
      for (int i = 0; i < 20; ++i) {
        const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
        const Mat g = batch.upstream(u * (v.transpose() * batch.x)) * batch.x.transpose();
        train(*weight, batch, step_info(i, rate));
        m_u = 0.9 * m_u + 0.1 * g * v;
        m_v = 0.9 * m_v + 0.1 * g.transpose() * u;
        const Mat r_u = inverse_root(u, damping), r_v = inverse_root(v, damping);
        const double c = std::pow(spectral_norm(v) / spectral_norm(u), rebalance / 2);
        const Mat du = -rate / 2 * polar(m_u * r_v) * r_v;
        const Mat dv = -rate / 2 * polar(m_v * r_u) * r_u;
        const double a = std::sqrt(1 - rate * 0.5);
        u = (c * (a * u + du / a)).eval();
        v = ((a * v + dv / a) / c).eval();
        m_u /= c;
        m_v *= c;
        CHECK(difference(parameters_of(*weight).at("weight_u"), u) < 1e-10);
        CHECK(difference(parameters_of(*weight).at("weight_v"), v) < 1e-10);
      }
    }
  }
}

TEST_CASE("LoRA-Muon: the matrix moves alike under each of its factorisations") {
  const auto one = make("lora-muon", settings(0), 9, 14);
  const auto other = make("lora-muon", settings(1), 9, 14);
  const Mat a = random_matrix(3, 3, 5) + 3 * Mat::Identity(3, 3);
  set_parameter(*other, "weight_u", parameters_of(*one).at("weight_u") * a);
  set_parameter(*other, "weight_v", parameters_of(*one).at("weight_v") * a.inverse().transpose());
  for (int i = 0; i < 20; ++i) {
    const Batch batch(9, 14, 12, static_cast<unsigned>(i));
    train(*one, batch, step_info(i, 0.1));
    train(*other, batch, step_info(i, 0.1));
    CHECK(difference(dense_of(*other), dense_of(*one)) < 1e-10);
  }
}

TEST_CASE("LoRA-Muon: steps of half the rate on each side, decay of the product") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 0.5;
  const auto weight = make("lora-muon", settings(0), 9, 14, adamw);
  const Mat u = parameters_of(*weight).at("weight_u"), v = parameters_of(*weight).at("weight_v");
  const double rate = 0.1, a = std::sqrt(1 - rate * 0.5);
  train(*weight, Batch(9, 14, 12, 1), step_info(0, rate));
  const Mat du = a * (parameters_of(*weight).at("weight_u") - a * u);
  const Mat dv = a * (parameters_of(*weight).at("weight_v") - a * v);
  for (const Mat& side : {Mat(du * v.transpose()), Mat(u * dv.transpose())}) {
    const Eigen::VectorXd values = Eigen::JacobiSVD<Mat>(side).singularValues().head(3);
    CHECK((values.array() - rate / 2).abs().maxCoeff() < 1e-12);
  }
  Batch still(9, 14, 12, 2);
  const auto resting = make("lora-muon", settings(0), 9, 14, adamw);
  const Mat w = dense_of(*resting);
  still.target = forward(*resting, still);
  train(*resting, still, step_info(0, rate));
  CHECK(difference(dense_of(*resting), (1 - rate * 0.5) * w) < 1e-12);
}

TEST_CASE("LoRA-Muon: evens the factors out, keeps half of AdamW's state, refuses decay of all") {
  accrete::AdamWOptions adamw;
  adamw.weight_decay = 2;
  const auto weight = make("lora-muon", settings(1), 9, 14, adamw);
  set_parameter(*weight, "weight_u", 100 * parameters_of(*weight).at("weight_u"));
  train(*weight, Batch(9, 14, 12, 1), step_info(0, 1e-3));
  const auto now = parameters_of(*weight);
  const double ratio = spectral_norm(now.at("weight_u")) / spectral_norm(now.at("weight_v"));
  CHECK(std::abs(ratio - 1) < 0.05);
  CHECK(Snapshot(*weight).state_size() == (9 + 14) * 3);
  CHECK_THROWS_AS(train(*weight, Batch(9, 14, 12, 1), step_info(1, 0.5)), accrete::ArgumentError);
}
