// SPDX-License-Identifier: MIT
#include "methods/basis_checks.hpp"

#include <accrete/methods/apollo.hpp>

#include <doctest/doctest.h>

using namespace method_test;
using APOLLO = accrete::APOLLOWeight<double, TestBackend>;

namespace {

constexpr std::int64_t period = 6;

struct Case {
  const char* method;
  Index rows, cols, rank;
  double root_of_scale;
};

} // namespace

TEST_CASE("APOLLO: 20 steps are those of the dense formulas") {
  constexpr Case cases[] = {{"apollo", 9, 14, 3, 2},
                            {"apollo", 14, 9, 3, 2},
                            {"apollo-mini", 10, 10, 1, 11.313708498984761}};
  for (const Case& c : cases) {
    CAPTURE(c.method);
    CAPTURE(c.rows);
    const bool by_column = std::string(c.method) == "apollo";
    const double rate = 1e-2;
    const double growth = 1.05;
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    MethodSettings settings{{"period", period}, {"growth-limit", growth}};
    if (by_column) {
      settings["rank"] = std::int64_t{c.rank};
      settings["scale"] = 4.0;
    }
    const auto weight = make(c.method, settings, c.rows, c.cols, adamw);
    const auto& apollo = dynamic_cast<const APOLLO&>(*weight);
    adamw.weight_decay = 0;
    DenseAdamW optimizer(adamw);
    Mat w = parameters_of(*weight).at("weight");
    double last = 0;
    int limited = 0;
    for (int i = 0; i < 20; ++i) {
      // Batches of different sizes of error, so that the limit binds at some steps.
      Batch batch(c.rows, c.cols, 12, static_cast<unsigned>(i));
      batch.target *= 1 + i % 3;
      const Mat g = wide(batch.upstream(w * batch.x) * batch.x.transpose());
      auto info = step_info(i, rate);
      info.gradient_scale = 0.5;
      train(*weight, batch, info);

      const Mat p = accrete::to_host(apollo.basis(i));
      REQUIRE(p.rows() == g.rows());
      REQUIRE(p.cols() == c.rank);
      CHECK((p == Mat(accrete::to_host(apollo.basis(i - i % period)))));
      CHECK((p != Mat(accrete::to_host(apollo.basis(i + period)))));
      const Mat r = p.transpose() * g;
      const Mat psi = optimizer.direction(0.5 * r);
      Mat s = g;
      for (Index j = 0; j < s.cols(); ++j) {
        s.col(j) *= by_column ? psi.col(j).norm() / (r.col(j).norm() + 1e-8)
                              : psi.norm() / (r.norm() + 1e-8);
      }
      if (i > 0 && s.norm() > growth * last) {
        s *= growth * last / s.norm();
        ++limited;
      }
      last = s.norm();
      w *= 1 - rate * 0.1;
      w -= rate * c.root_of_scale * (c.rows < c.cols ? s : Mat(s.transpose()));
      CHECK(difference(parameters_of(*weight).at("weight"), w) < 1e-10);
    }
    CHECK(limited > 0);
    CHECK(limited < 19);
  }
}

TEST_CASE("APOLLO: projections keep lengths on average") {
  const auto weight = make("apollo", {{"rank", std::int64_t{25}}}, 400, 500);
  const Mat p = accrete::to_host(dynamic_cast<const APOLLO&>(*weight).basis(0));
  // 10^4 normal entries of variance 1/25: mean within 5 of its deviations, and the variance.
  CHECK(std::abs(p.mean()) < 5 * 0.2 / 100);
  CHECK(p.squaredNorm() / 400 == doctest::Approx(1.0).epsilon(5 * std::sqrt(2.0) / 100));
  // Another weight has another one.
  auto elsewhere = place(400, 500);
  elsewhere.seed = 8;
  const auto other = make_at("apollo", {{"rank", std::int64_t{25}}}, elsewhere);
  CHECK((p != Mat(accrete::to_host(dynamic_cast<const APOLLO&>(*other).basis(0)))));
}

TEST_CASE("APOLLO: stores moments alone") {
  const auto weight = make("apollo", {{"rank", std::int64_t{3}}}, 9, 14);
  train(*weight, Batch(9, 14, 12, 1), step_info(0));
  CHECK(Snapshot(*weight).state_size() == 2 * 14 * 3); // 2 n r, and one number
  const auto mini = make("apollo-mini", {}, 9, 14);
  train(*mini, Batch(9, 14, 12, 1), step_info(0));
  CHECK(Snapshot(*mini).state_size() == 2 * 14);
}
