// SPDX-License-Identifier: MIT
#include "methods/method_support.hpp"

#include <doctest/doctest.h>

using namespace method_test;

namespace {

constexpr std::int64_t period = 6;

MethodSettings settings(std::int64_t rank) { return {{"rank", rank}, {"period", period}}; }

Mat best_of_rank(const Mat& a, Index r) {
  const Eigen::JacobiSVD<Mat> svd(a, Eigen::ComputeThinU | Eigen::ComputeThinV);
  return svd.matrixU().leftCols(r) * svd.singularValues().head(r).asDiagonal() *
         svd.matrixV().leftCols(r).transpose();
}

/// An orthonormal basis and the coordinates in it.
struct Qr {
  Mat q, r;
  explicit Qr(const Mat& a) {
    const Eigen::HouseholderQR<Mat> qr(a);
    q = qr.householderQ() * Mat::Identity(a.rows(), a.cols());
    r = q.transpose() * a;
  }
};

/// W - rate P with the projection of the gradient on the tangent space, all matrices formed.
Mat descend(const Mat& m, const Mat& n, const Mat& dm, const Mat& dn, double rate) {
  const Qr of_m(m), of_n(n);
  const Mat& u = of_m.q;
  const Mat& v = of_n.q;
  const Mat gv = dm * of_n.r.inverse();                          // G V
  const Mat utg = of_m.r.transpose().inverse() * dn.transpose(); // Uᵀ G
  const Mat in = Mat::Identity(m.rows(), m.rows()) - u * u.transpose();
  const Mat jn = Mat::Identity(n.rows(), n.rows()) - v * v.transpose();
  const Mat k0 = utg * v;
  return m * n.transpose() -
         rate * (u * k0 * v.transpose() + in * gv * v.transpose() + u * utg * jn);
}

} // namespace

TEST_CASE("LORO: 20 steps are those of the dense formulas") {
  for (const auto& [rows, cols] : {std::pair<Index, Index>{9, 14}, {14, 9}}) {
    CAPTURE(rows);
    accrete::AdamWOptions adamw;
    adamw.weight_decay = 0.1;
    const auto weight = make("loro", settings(3), rows, cols, adamw);
    Mat m = parameters_of(*weight).at("weight_u");
    Mat n = parameters_of(*weight).at("weight_v");
    adamw.weight_decay = 0;
    DenseAdamW of_m(adamw), of_n(adamw);
    const double rate = 5e-2;
    int restarts = 0;
    for (int i = 0; i < 20; ++i) {
      const Batch batch(rows, cols, 12, static_cast<unsigned>(i));
      const Mat g = batch.upstream(m * (n.transpose() * batch.x)) * batch.x.transpose();
      backward(*weight, batch);
      weight->step(step_info(i, rate));
      const bool restarted = weight->after_step(step_info(i, rate)).restarted;

      const Mat dm = of_m.direction(g * n), dn = of_n.direction(g.transpose() * m);
      m *= 1 - rate * 0.1;
      n *= 1 - rate * 0.1;
      const bool exact = (i + 1) % period == 0;
      CHECK(restarted == exact);
      const auto now = parameters_of(*weight);
      if (exact) {
        const Mat w = best_of_rank(descend(m, n, dm, dn, rate), 3);
        m = now.at("weight_u"); // the signs of the columns are free
        n = now.at("weight_v");
        CHECK(difference(m * n.transpose(), w) < 1e-10);
        const Mat gram = m.transpose() * m;
        CHECK(difference(gram, n.transpose() * n) < 1e-10); // balanced
        CHECK(difference(gram, Mat(gram.diagonal().asDiagonal())) < 1e-10);
        of_m = DenseAdamW(adamw);
        of_n = DenseAdamW(adamw);
        ++restarts;
      } else {
        m -= rate * 3 / 9 * dm;
        n -= rate * 3 / 9 * dn;
        CHECK(difference(now.at("weight_u"), m) < 1e-10);
        CHECK(difference(now.at("weight_v"), n) < 1e-10);
      }
    }
    CHECK(restarts == 3);
  }
}

TEST_CASE("LORO: the exact step is that of a dense gradient where Adam leaves it alone") {
  // With beta1 = beta2 = 0 and a large epsilon Adam's direction is the gradient / epsilon.
  accrete::AdamWOptions adamw;
  adamw.beta1 = adamw.beta2 = adamw.weight_decay = 0;
  adamw.epsilon = 1e12;
  const auto weight =
      make("loro", {{"rank", std::int64_t{3}}, {"period", std::int64_t{1}}}, 9, 14, adamw);
  const auto start = parameters_of(*weight);
  const Mat w = dense_of(*weight);
  const Batch batch(9, 14, 12, 1);
  const Mat g = batch.upstream(w * batch.x) * batch.x.transpose();
  const double rate = 0.5;
  train(*weight, batch, step_info(0, rate * 1e12));
  const Mat u = Qr(start.at("weight_u")).q, v = Qr(start.at("weight_v")).q;
  const Mat pu = u * u.transpose(), pv = v * v.transpose();
  const Mat tangent = pu * g + g * pv - pu * g * pv;
  CHECK(difference(dense_of(*weight), best_of_rank(w - rate * tangent, 3)) < 1e-9);
}

TEST_CASE("LORO: works where the rank is more than half of a side, and where rank is lost") {
  for (const std::int64_t rank : {6, 9}) {
    const auto weight = make("loro", settings(rank), 9, 14);
    Mat m = parameters_of(*weight).at("weight_u");
    m.col(1) = m.col(0);
    set_parameter(*weight, "weight_u", m);
    for (int i = 0; i < 13; ++i) {
      train(*weight, Batch(9, 14, 12, static_cast<unsigned>(i)), step_info(i));
    }
    CHECK(parameters_of(*weight).at("weight_u").allFinite());
    CHECK(dense_of(*weight).norm() < 10);
  }
  const auto weight = make("loro", settings(3), 9, 14);
  CHECK(Snapshot(*weight).state_size() == 2 * (9 + 14) * 3);
}
