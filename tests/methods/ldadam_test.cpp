// SPDX-License-Identifier: MIT
#include "methods/basis_checks.hpp"

#include <accrete/methods/ldadam.hpp>

#include <doctest/doctest.h>

using namespace method_test;
using LDAdam = accrete::LDAdamWeight<double, TestBackend>;

namespace {

Mat orthonormal(const Mat& a) {
  return Eigen::HouseholderQR<Mat>(a).householderQ() * Mat::Identity(a.rows(), a.cols());
}

/// The error buffer, which no parameter shows.
class Error : public accrete::StateVisitor<double, TestBackend> {
 public:
  explicit Error(Weight& weight) { weight.visit_state(*this); }
  void tensor(const std::string& name, StoredView<double> values) override {
    if (name == "weight.error") {
      value = Mat(accrete::to_host(values.as_const()));
    }
  }
  void counts(const std::string& /*name*/, std::span<std::int64_t> /*values*/) override {}
  void number(const std::string& /*name*/, double& /*value*/) override {}

  Mat value;
};

} // namespace

TEST_CASE("LDAdam: 20 steps are those of the dense formulas") {
  const double rho = 0.8;
  const double rate = 1e-2;
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}, {10, 10}}) {
    CAPTURE(rows);
    accrete::AdamWOptions adamw;
    adamw.beta1 = 0.85;
    adamw.beta2 = 0.97;
    adamw.weight_decay = 0.1;
    const auto weight =
        make("ldadam", {{"rank", std::int64_t{3}}, {"rho", rho}}, rows, cols, adamw);
    const auto& ldadam = dynamic_cast<const LDAdam&>(*weight);
    Mat w = parameters_of(*weight).at("weight");
    Mat p;
    Mat e = Mat::Zero(std::min(rows, cols), std::max(rows, cols));
    Mat m = Mat::Zero(3, e.cols());
    Mat v = m;
    for (int i = 0; i < 20; ++i) {
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat g = wide(batch.upstream(w * batch.x) * batch.x.transpose());
      auto info = step_info(i, rate);
      info.gradient_scale = 0.5;
      train(*weight, batch, info);

      const Mat a = 0.5 * g + e;
      const Mat basis = accrete::to_host(ldadam.basis());
      if (i == 0) {
        check_leading(basis, a, 1e-12);
        p = basis;
      } else {
        const double c1 = 1 - std::pow(adamw.beta1, i);
        const double c2 = 1 - std::pow(adamw.beta2, i);
        const Mat b = rho * p * m / c1 + (1 - rho) * a;
        const Mat signs = orthonormal(b * b.transpose() * p).transpose() * basis;
        CHECK((signs.cwiseAbs() - Mat::Identity(3, 3)).norm() < 1e-9);
        CHECK((basis.transpose() * basis - Mat::Identity(3, 3)).norm() < 1e-13);

        const Mat c = basis.transpose() * p;
        const Mat lost = p * m - basis * c * m;
        const Mat mean = c * m / c1;
        v = c2 * (c.cwiseAbs2() * (v / c2 - (m / c1).cwiseAbs2()) + mean.cwiseAbs2()).cwiseAbs();
        m = c * m;
        p = basis;
        e = adamw.beta1 / (1 - adamw.beta1) * lost;
      }
      const Mat r = p.transpose() * a;
      e += a - p * r;
      m = adamw.beta1 * m + (1 - adamw.beta1) * r;
      v = adamw.beta2 * v + (1 - adamw.beta2) * r.cwiseAbs2();
      const Mat first = m / (1 - std::pow(adamw.beta1, i + 1));
      const Mat second = v / (1 - std::pow(adamw.beta2, i + 1));
      const Mat update = p * (first.array() / (second.array().sqrt() + adamw.epsilon)).matrix();
      w *= 1 - rate * 0.1;
      w -= rate * (rows < cols ? update : Mat(update.transpose()));
      CHECK(difference(parameters_of(*weight).at("weight"), w) < 1e-10);
      CHECK(difference(wide(Error(*weight).value), e) < 1e-10);
    }
  }
}

TEST_CASE("LDAdam: stores the basis, its moments and the error") {
  const auto weight = make("ldadam", {{"rank", std::int64_t{3}}}, 9, 14);
  train(*weight, Batch(9, 14, 12, 1), step_info(0));
  train(*weight, Batch(9, 14, 12, 2), step_info(1));
  CHECK(Snapshot(*weight).state_size() == 9 * 14 + 9 * 3 + 2 * 14 * 3);
}
