// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <accrete/methods/dlrt.hpp>

#include <doctest/doctest.h>

using namespace method_test;

namespace {

struct Truncated {
  Mat u, s, v;
  [[nodiscard]] Mat value() const { return u * s * v.transpose(); }
};

/// The least rank within the tolerance, of a core in bases.
Truncated truncated(const Mat& u, const Mat& core, const Mat& v, double tolerance, Index least,
                    Index most) {
  const Eigen::JacobiSVD<Mat> svd(core, Eigen::ComputeFullU | Eigen::ComputeFullV);
  const Eigen::VectorXd sigma = svd.singularValues();
  Index r = sigma.size();
  while (r > least &&
         (r > most || sigma.tail(sigma.size() - r + 1).norm() <= tolerance * sigma.norm())) {
    --r;
  }
  return {u * svd.matrixU().leftCols(r), sigma.head(r).asDiagonal(), v * svd.matrixV().leftCols(r)};
}

/// What the gradient adds to the space of a basis.
Mat added(const Mat& basis, const Mat& gradient) {
  Mat both(basis.rows(), basis.cols() + gradient.cols());
  both << basis, gradient;
  const Mat q =
      Eigen::HouseholderQR<Mat>(both).householderQ() * Mat::Identity(both.rows(), both.cols());
  return q.rightCols(gradient.cols());
}

Mat joined(const Mat& a, const Mat& b) {
  Mat result(a.rows(), a.cols() + b.cols());
  result << a, b;
  return result;
}
Mat blocks(const Mat& a, const Mat& b, const Mat& c, const Mat& d) {
  Mat result(a.rows() + c.rows(), a.cols() + b.cols());
  result << a, b, c, d;
  return result;
}

Truncated factors_of(Weight& weight) {
  auto p = parameters_of(weight);
  return {p.at("weight_u"), p.at("weight_s"), p.at("weight_v")};
}

void check_orthonormal(const Mat& q) {
  CHECK((q.transpose() * q - Mat::Identity(q.cols(), q.cols())).norm() < 1e-13);
}

constexpr double tolerance = 0.1, rate = 0.3, decay = 0.1;

MethodSettings settings(const std::string& integrator, const std::string& optimizer) {
  return {{"rank", std::int64_t{3}},  {"max-rank", std::int64_t{4}}, {"tolerance", tolerance},
          {"integrator", integrator}, {"optimizer", optimizer},      {"rate-ratio", 2.0}};
}

accrete::AdamWOptions decayed() {
  accrete::AdamWOptions options;
  options.weight_decay = decay;
  return options;
}

constexpr std::pair<Index, Index> shapes[] = {{9, 11}, {11, 9}};

} // namespace

TEST_CASE("DLRT: 20 steps of the parallel integrator are those of the dense formulas") {
  for (const auto& shape : shapes) {
    const Index rows = shape.first, cols = shape.second;
    const auto weight = make("dlrt", settings("parallel", "sgd"), rows, cols, decayed());
    Truncated own = factors_of(*weight);
    double asymmetry = 0;
    std::vector<Index> ranks;
    for (int i = 0; i < 20; ++i) {
      CAPTURE(i);
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat g = batch.upstream(own.value() * batch.x) * batch.x.transpose();
      const Truncated before = factors_of(*weight);
      auto info = step_info(i, rate / 2);
      info.gradient_scale = 0.5;
      train(*weight, batch, info);
      const auto gradients = gradients_of(*weight);

      const Mat u1 = added(own.u, g * own.v), v1 = added(own.v, g.transpose() * own.u);
      const double eta = rate * 0.5;
      const double keep = 1 - rate * decay;
      const Mat core = blocks(keep * own.s - eta * own.u.transpose() * g * own.v,
                              -eta * own.u.transpose() * g * v1, -eta * u1.transpose() * g * own.v,
                              Mat::Zero(u1.cols(), v1.cols()));
      asymmetry = std::max(asymmetry, (core - core.transpose()).norm() / core.norm());
      own = truncated(joined(own.u, u1), core, joined(own.v, v1), tolerance, 2, 4);

      const Truncated now = factors_of(*weight);
      CHECK(now.s.rows() == own.s.rows());
      CHECK(difference(now.value(), own.value()) < 1e-10);
      CHECK(difference(now.s, own.s) < 1e-10);
      check_orthonormal(now.u);
      check_orthonormal(now.v);
      ranks.push_back(now.s.rows());
    }
    CHECK(asymmetry > 0.1);
    CHECK(*std::ranges::max_element(ranks) > *std::ranges::min_element(ranks));
  }
}

TEST_CASE("DLRT: 20 steps of the augmented integrator take the core's gradient of the next batch") {
  for (const auto& shape : shapes) {
    const Index rows = shape.first, cols = shape.second;
    const auto weight = make("dlrt", settings("augmented", "sgd"), rows, cols, decayed());
    Truncated own = factors_of(*weight);
    Mat u, v, core;
    for (int i = 0; i < 20; ++i) {
      CAPTURE(i);
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat g = batch.upstream(own.value() * batch.x) * batch.x.transpose();
      train(*weight, batch, step_info(i, rate));
      const Index r = own.s.rows();
      if (i % 2 == 0) {
        u = joined(own.u, added(own.u, g * own.v));
        v = joined(own.v, added(own.v, g.transpose() * own.u));
        core = Mat::Zero(2 * r, 2 * r);
        core.topLeftCorner(r, r) = own.s;
        CHECK(weight->rank().rank == r);
        CHECK(weight->rank().columns == 2 * r);
      } else {
        const double eta = 2 * rate;
        own = truncated(u, (1 - eta * decay) * core - eta * u.transpose() * g * v, v, tolerance, 2,
                        4);
        CHECK(weight->rank().columns == own.s.rows());
      }
      const Truncated now = factors_of(*weight);
      CHECK(difference(now.value(), own.value()) < 1e-10);
      check_orthonormal(now.u);
      check_orthonormal(now.v);
    }
  }
}

TEST_CASE("DLRT: AdamW's moments of the core follow its bases") {
  for (const auto& shape : shapes) {
    const Index rows = shape.first, cols = shape.second;
    for (const bool parallel : {true, false}) {
      CAPTURE(parallel);
      const auto weight = make("dlrt", settings(parallel ? "parallel" : "augmented", "adam"), rows,
                               cols, decayed());
      accrete::AdamWOptions options;
      DenseAdamW adam(options);
      Truncated basis = factors_of(*weight);
      Mat u, v;
      for (int i = 0; i < 20; ++i) {
        CAPTURE(i);
        const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
        const Mat g = batch.upstream(basis.value() * batch.x) * batch.x.transpose();
        train(*weight, batch, step_info(i, 1e-2));
        if (parallel || i % 2 == 0) {
          u = added(basis.u, g * basis.v);
          v = added(basis.v, g.transpose() * basis.u);
        }
        if (!parallel && i % 2 == 0) {
          CHECK(difference(factors_of(*weight).value(), basis.value()) < 1e-12);
          continue;
        }
        const Mat leading = basis.u.transpose() * g * basis.v;
        const Mat direction = adam.direction(leading);
        const double eta = 2e-2;
        const double others = eta * direction.norm() / leading.norm();
        const Mat corner =
            parallel ? Mat(Mat::Zero(u.cols(), v.cols())) : Mat(-others * u.transpose() * g * v);
        const Mat core = blocks((1 - eta * decay) * basis.s - eta * direction,
                                -others * basis.u.transpose() * g * v,
                                -others * u.transpose() * g * basis.v, corner);
        const Truncated own =
            truncated(joined(basis.u, u), core, joined(basis.v, v), tolerance, 2, 4);
        const Truncated now = factors_of(*weight);
        CHECK(difference(now.value(), own.value()) < 1e-10);
        check_orthonormal(now.u);
        check_orthonormal(now.v);

        // M <- C_u M C_vᵀ; the variances apart from the squared means.
        const Mat cu = now.u.transpose() * basis.u, cv = now.v.transpose() * basis.v;
        const double mean = 1 - std::pow(options.beta1, adam.steps);
        const double square = 1 - std::pow(options.beta2, adam.steps);
        const Mat m = adam.first / mean;
        const Mat half = m * cv.transpose(), rotated = cu * half;
        const Mat variance = adam.second / square - m.cwiseAbs2();
        const Mat once = (variance * cv.cwiseAbs2().transpose() + half.cwiseAbs2()).cwiseAbs();
        adam.first = mean * rotated;
        adam.second =
            square * (cu.cwiseAbs2() * (once - half.cwiseAbs2()) + rotated.cwiseAbs2()).cwiseAbs();
        basis = now;
      }
    }
  }
}

TEST_CASE("DLRT: gradients are K', L' and that of the core, and the memory is theirs") {
  const auto weight = make("dlrt", settings("parallel", "sgd"), 12, 9);
  const Truncated f = factors_of(*weight);
  const Batch batch(12, 9, 7, 1);
  const Mat g = batch.upstream(f.value() * batch.x) * batch.x.transpose();
  backward(*weight, batch);
  const auto gradients = gradients_of(*weight);
  CHECK(difference(gradients.at("weight_u"), g * f.v) < 1e-12);
  CHECK(difference(gradients.at("weight_v"), g.transpose() * f.u) < 1e-12);
  CHECK(difference(gradients.at("weight_s"), f.u.transpose() * g * f.v) < 1e-12);
  CHECK(Snapshot(*weight).state_size() == 0);
  const auto adam = make("dlrt", settings("parallel", "adam"), 12, 9);
  CHECK(Snapshot(*adam).state_size() == 2 * 3 * 3);
}

TEST_CASE("DLRT: the rank falls to that of a target, and the target is found") {
  // T = W* X without noise, W* of rank 2: the flow ends there.
  const Mat target = random_matrix(12, 2, 1) * random_matrix(2, 10, 2);
  for (const char* integrator : {"parallel", "augmented"}) {
    CAPTURE(integrator);
    auto options = settings(integrator, "sgd");
    options["tolerance"] = 0.02;
    accrete::AdamWOptions undecayed;
    undecayed.weight_decay = 0;
    const auto weight = make("dlrt", options, 12, 10, undecayed);
    for (int i = 0; i < 400; ++i) {
      Batch batch(12, 10, 40, static_cast<unsigned>(i));
      batch.target = target * batch.x;
      train(*weight, batch, step_info(i, rate));
    }
    CHECK(weight->rank().rank == 2);
    CHECK(difference(factors_of(*weight).value(), target) < 1e-3);
    check_orthonormal(factors_of(*weight).u);
  }
}

TEST_CASE("DLRT: ranks that a doubled basis has no room for are refused") {
  CHECK_THROWS_AS((void)make("dlrt", {{"rank", std::int64_t{5}}}, 12, 8), accrete::RankError);
  CHECK_THROWS_AS((void)make("dlrt", {{"max-rank", std::int64_t{5}}}, 12, 8), accrete::RankError);
  CHECK_THROWS_AS((void)make("dlrt", {}, 12, 1), accrete::RankError);
  CHECK(make("dlrt", {}, 3, 2)->rank().rank == 1);
}
