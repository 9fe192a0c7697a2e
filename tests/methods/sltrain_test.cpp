// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <accrete/methods/sltrain.hpp>

#include <doctest/doctest.h>

#include <algorithm>

using namespace method_test;
using SLTrainWeight = accrete::SLTrainWeight<double, TestBackend>;

namespace {

const MethodSettings settings{{"rank", std::int64_t{3}}, {"alpha", 6.0}, {"density", 0.1}};

std::vector<Index> support_of(const Weight& weight) {
  return dynamic_cast<const SLTrainWeight&>(weight).support();
}
/// S as a dense matrix.
Mat sparse(const std::vector<Index>& support, const Mat& values, Index rows, Index cols) {
  Mat result = Mat::Zero(rows, cols);
  for (std::size_t k = 0; k < support.size(); ++k) {
    result.data()[support[k]] = values(static_cast<Index>(k), 0);
  }
  return result;
}
Mat at(const std::vector<Index>& support, const Mat& dense) {
  Mat result(static_cast<Index>(support.size()), 1);
  for (std::size_t k = 0; k < support.size(); ++k) {
    result(static_cast<Index>(k), 0) = dense.data()[support[k]];
  }
  return result;
}

} // namespace

TEST_CASE("SLTrain: 20 steps are those of the dense formulas") {
  // The last has more than one piece.
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}, {9000, 20}}) {
    CAPTURE(rows);
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight = make("sltrain", settings, rows, cols, adamw);
    const std::vector<Index> support = support_of(*weight);
    const auto start = parameters_of(*weight);
    Mat u = start.at("weight_u"), v = start.at("weight_v"), s = start.at("weight_s");
    CHECK(u.isZero(0));
    DenseAdamW of_u(adamw), of_v(adamw), of_s(adamw);
    for (int i = 0; i < 20; ++i) {
      const Batch batch(rows, cols, 5, static_cast<unsigned>(i));
      const Mat w = 2 * u * v.transpose() + sparse(support, s, rows, cols);
      const Mat dy = batch.upstream(w * batch.x);
      const Mat g = dy * batch.x.transpose();
      Mat dx;
      const double loss = backward(*weight, batch, &dx);
      CHECK(std::abs(loss - batch.loss(w * batch.x)) < 1e-10 * loss);
      CHECK(difference(dx, w.transpose() * dy) < 1e-10);
      weight->step(step_info(i, 2e-2));
      const Mat du = 2 * g * v, dv = 2 * g.transpose() * u;
      of_u.step(u, du, 2e-2);
      of_v.step(v, dv, 2e-2);
      of_s.step(s, at(support, g), 2e-2);
      const auto now = parameters_of(*weight);
      CHECK(difference(now.at("weight_u"), u) < 1e-10);
      CHECK(difference(now.at("weight_v"), v) < 1e-10);
      CHECK(difference(now.at("weight_s"), s) < 1e-10);
    }
  }
}

TEST_CASE("SLTrain: the support is a random set of the wanted size, the same for the same seed") {
  const auto support = support_of(*make("sltrain", {{"density", 0.05}}, 80, 120));
  CHECK(support.size() == 480);
  CHECK(std::is_sorted(support.begin(), support.end()));
  CHECK(std::adjacent_find(support.begin(), support.end()) == support.end());
  CHECK(support.front() >= 0);
  CHECK(support.back() < 80 * 120);
  CHECK(support == support_of(*make("sltrain", {{"density", 0.05}}, 80, 120)));
  auto elsewhere = place(80, 120);
  elsewhere.seed = 8;
  const auto other = make_at("sltrain", {{"density", 0.05}}, elsewhere);
  CHECK(support != support_of(*other));
  // A quarter of the entries lies in each quarter of the columns: deviation sqrt(480 3/16) = 9.5.
  for (Index quarter = 0; quarter < 4; ++quarter) {
    const auto inside = std::count_if(support.begin(), support.end(), [&](Index position) {
      return position / (80 * 30) == quarter;
    });
    CHECK(std::abs(static_cast<double>(inside) - 120) < 5 * 9.5);
  }
  CHECK(support_of(*make("sltrain", {{"density", 0.0}}, 9, 14)).size() == 1);
  CHECK(support_of(*make("sltrain", {{"density", 1.0}}, 9, 14)).size() == 9 * 14);
}

TEST_CASE("SLTrain: memory is that of the factors and of the support") {
  const auto weight = make("sltrain", settings, 9, 14);
  const Index entries = 13; // a tenth of 126
  CHECK(parameters_of(*weight).at("weight_s").size() == entries);
  CHECK(Snapshot(*weight).state_size() == 2 * ((9 + 14) * 3 + entries));
}
