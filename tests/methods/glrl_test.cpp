// SPDX-License-Identifier: MIT
#include "methods/switch_support.hpp"

#include <algorithm>

using namespace method_test;

namespace {

constexpr double new_value = 1e-2;

MethodSettings settings(const std::string& direction = "exact") {
  return {{"rank", std::int64_t{3}},
          {"interval", std::int64_t{5}},
          {"new-value", new_value},
          {"direction", direction}};
}

/// [a, b]
Mat joined(const Mat& a, const Mat& b) {
  Mat result(a.rows(), a.cols() + b.cols());
  result << a, b;
  return result;
}

/// Textbook AdamW of a factor each of whose columns counts its own steps.
struct ColumnAdamW {
  accrete::AdamWOptions options;
  std::vector<DenseAdamW> columns;

  void step(Mat& factor, const Mat& gradient, double rate) {
    columns.resize(static_cast<std::size_t>(factor.cols()), DenseAdamW(options));
    for (Index j = 0; j < factor.cols(); ++j) {
      Mat column = factor.col(j);
      columns[static_cast<std::size_t>(j)].step(column, gradient.col(j), rate);
      factor.col(j) = column;
    }
  }
};

} // namespace

TEST_CASE("glrl: 20 steps are those of the formulas, the rank grows along the leading direction") {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
    CAPTURE(rows);
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.5;
    const auto weight = make("glrl", settings(), rows, cols, adamw);
    Mat u = parameters_of(*weight).at("weight_u"), v = parameters_of(*weight).at("weight_v");
    REQUIRE(u.cols() == 1);
    ColumnAdamW of_u{adamw, {}}, of_v{adamw, {}};
    const double rate = 2e-2;
    for (int i = 0; i < 20; ++i) {
      CAPTURE(i);
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat g = batch.upstream(u * (v.transpose() * batch.x)) * batch.x.transpose();
      const Mat du = g * v, dv = g.transpose() * u;
      of_u.step(u, du, rate);
      of_v.step(v, dv, rate);
      train(*weight, batch, step_info(i, rate));
      if (i == 5 || i == 10) { // after the steps 4 and 9 it had converged
        REQUIRE(weight->rank().rank == u.cols() + 1);
        const Mat p = parameters_of(*weight).at("weight_u").rightCols(1);
        const Mat q = parameters_of(*weight).at("weight_v").rightCols(1);
        const double largest = Eigen::JacobiSVD<Mat>(g).singularValues()[0];
        CHECK(p.squaredNorm() == doctest::Approx(new_value).epsilon(1e-12));
        CHECK(q.squaredNorm() == doctest::Approx(new_value).epsilon(1e-12));
        CHECK((p.transpose() * g * q).value() ==
              doctest::Approx(-new_value * largest).epsilon(1e-12));
        u = joined(u, p);
        v = joined(v, q);
      }
      CHECK(difference(parameters_of(*weight).at("weight_u"), u) < 1e-10);
      CHECK(difference(parameters_of(*weight).at("weight_v"), v) < 1e-10);
    }
    CHECK(Snapshot(*weight).state_size() == 2 * (rows + cols) * 3);
  }
}

TEST_CASE("glrl: the direction from products alone is nearly the best one") {
  const auto weight = make("glrl", settings("randomized"), 40, 30);
  for (int i = 0; i < 6; ++i) {
    const Batch batch(40, 30, 60, static_cast<unsigned>(i));
    const Mat g = batch.upstream(forward(*weight, batch.x)) * batch.x.transpose();
    train(*weight, batch, step_info(i));
    if (i == 5) {
      const Mat p = parameters_of(*weight).at("weight_u").rightCols(1);
      const Mat q = parameters_of(*weight).at("weight_v").rightCols(1);
      const double largest = Eigen::JacobiSVD<Mat>(g).singularValues()[0];
      CHECK((p.transpose() * g * q).value() < -0.98 * new_value * largest);
    }
  }
}

TEST_CASE("glrl: the rank grows where the gradient has become small since the last growth") {
  MethodSettings given = settings();
  given["converged"] = std::string("gradient");
  given["tolerance"] = 0.2;
  const auto weight = make("glrl", given, 9, 14);
  const Batch batch(9, 14, 40, 3);
  double largest = 0;
  bool due = false;
  int growths = 0;
  for (int i = 0; i < 400; ++i) {
    CAPTURE(i);
    backward(*weight, batch);
    const auto gradients = gradients_of(*weight);
    const double norm =
        std::sqrt(gradients.at("weight_u").squaredNorm() + gradients.at("weight_v").squaredNorm());
    const Index before = weight->rank().rank;
    weight->step(step_info(i, 2e-2));
    weight->after_step(step_info(i, 2e-2));
    const bool grown = weight->rank().rank > before;
    REQUIRE(grown == (due && before < 3));
    growths += grown ? 1 : 0;
    largest = grown ? 0 : std::max(largest, norm);
    due = !grown && norm <= 0.2 * largest;
  }
  CHECK(growths == 2);
}

TEST_CASE("glrl: without a gradient nothing grows") {
  const auto weight = make("glrl", settings(), 9, 14);
  Batch batch(9, 14, 12, 3);
  for (int i = 0; i < 12; ++i) {
    batch.target = forward(*weight, batch.x);
    train(*weight, batch, step_info(i, 0));
  }
  CHECK(weight->rank().rank == 1);
}

TEST_CASE("glrl: stops and goes on bit for bit") {
  check_resume("glrl", settings(), {3, 5, 6, 10, 11});
  MethodSettings given = settings("randomized");
  given["converged"] = std::string("gradient");
  given["tolerance"] = 0.98;
  check_resume("glrl", given, {2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("glrl: a start above the rank is refused") {
  MethodSettings given = settings();
  given["initial-rank"] = std::int64_t{4};
  CHECK_THROWS_AS((void)make("glrl", given, 9, 14), accrete::ArgumentError);
}
