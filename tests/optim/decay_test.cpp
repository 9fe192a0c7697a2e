// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/optim/decay.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using accrete::FactorDecay;
using accrete::Index;
using accrete::to_host;
using accrete::view_of;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using LowRank = accrete::LowRankMatrix<S, TestBackend>;
using Penalty = FactorDecay::Penalty;

// The penalty from the explicit product.
double penalty_of(Penalty penalty, double strength, const Eigen::MatrixXd& u,
                  const Eigen::MatrixXd& v) {
  const double squares = penalty == Penalty::frobenius ? (u * v.transpose()).squaredNorm()
                                                       : u.squaredNorm() + v.squaredNorm();
  return strength / 2 * squares;
}

// Its derivative by `factor`, which is u or v, from central differences.
Eigen::MatrixXd difference_quotient(Penalty penalty, double strength, Eigen::MatrixXd u,
                                    Eigen::MatrixXd v, bool by_u) {
  Eigen::MatrixXd& factor = by_u ? u : v;
  Eigen::MatrixXd result(factor.rows(), factor.cols());
  const double h = 1e-4; // penalties are of degree 4: the error is h² times a third derivative
  for (Index k = 0; k < factor.size(); ++k) {
    const double value = factor.data()[k];
    factor.data()[k] = value + h;
    const double above = penalty_of(penalty, strength, u, v);
    factor.data()[k] = value - h;
    const double below = penalty_of(penalty, strength, u, v);
    factor.data()[k] = value;
    result.data()[k] = (above - below) / (2 * h);
  }
  return result;
}

} // namespace

TEST_CASE_TEMPLATE("gradients agree with difference quotients of the explicit penalty", S,
                   TEST_SCALARS) {
  for (const Penalty penalty : {Penalty::frobenius, Penalty::factors}) {
    const FactorDecay decay{.strength = 0.3, .penalty = penalty};
    const Mat<S> u = Mat<S>::Random(9, 3);
    const Mat<S> v = Mat<S>::Random(6, 3);
    const LowRank<S> matrix(on_backend(u), on_backend(v));
    const Eigen::MatrixXd wide_u = u.template cast<double>();
    const Eigen::MatrixXd wide_v = v.template cast<double>();
    CHECK(accrete::decay_penalty(decay, matrix) ==
          doctest::Approx(penalty_of(penalty, 0.3, wide_u, wide_v))
              .epsilon(50 * static_cast<double>(std::numeric_limits<S>::epsilon())));

    const Mat<S> start_u = Mat<S>::Random(9, 3);
    const Mat<S> start_v = Mat<S>::Random(6, 3);
    Stored<S> du = on_backend(start_u);
    Stored<S> dv = on_backend(start_v);
    accrete::add_decay_gradient(decay, matrix, view_of(du), view_of(dv));
    const double bound = 1e-6 + 100 * static_cast<double>(std::numeric_limits<S>::epsilon());
    CHECK(((to_host(du) - start_u).template cast<double>() -
           difference_quotient(penalty, 0.3, wide_u, wide_v, true))
              .norm() <= bound);
    CHECK(((to_host(dv) - start_v).template cast<double>() -
           difference_quotient(penalty, 0.3, wide_u, wide_v, false))
              .norm() <= bound);
  }
}

TEST_CASE_TEMPLATE("decoupled decay is one step down that gradient, both factors at once", S,
                   TEST_SCALARS) {
  for (const Penalty penalty : {Penalty::frobenius, Penalty::factors}) {
    const FactorDecay decay{.strength = 0.2, .penalty = penalty};
    const Mat<S> u = Mat<S>::Random(10, 4);
    const Mat<S> v = Mat<S>::Random(7, 4);
    LowRank<S> matrix(on_backend(u), on_backend(v));
    Stored<S> du = on_backend(Mat<S>::Zero(10, 4));
    Stored<S> dv = on_backend(Mat<S>::Zero(7, 4));
    accrete::add_decay_gradient(decay, matrix, view_of(du), view_of(dv));
    const double before = accrete::decay_penalty(decay, matrix);
    accrete::apply_decay(decay, matrix, 0.5);
    const S small = 20 * std::numeric_limits<S>::epsilon();
    CHECK((to_host(matrix.U()) - (u - S{0.5} * to_host(du))).norm() <= small * u.norm());
    CHECK((to_host(matrix.V()) - (v - S{0.5} * to_host(dv))).norm() <= small * v.norm());
    CHECK(accrete::decay_penalty(decay, matrix) < before);
  }
}

TEST_CASE_TEMPLATE("the Frobenius penalty does not depend on how the product is split", S,
                   TEST_SCALARS) {
  const FactorDecay decay{.strength = 1};
  const LowRank<S> even(on_backend(Mat<S>::Random(8, 2)), on_backend(Mat<S>::Random(5, 2)));
  const LowRank<S> uneven(on_backend(to_host(even.U()) * S{4}),
                          on_backend(to_host(even.V()) * S{0.25}));
  const double small = 50 * static_cast<double>(std::numeric_limits<S>::epsilon());
  CHECK(accrete::decay_penalty(decay, uneven) ==
        doctest::Approx(accrete::decay_penalty(decay, even)).epsilon(small));
  const FactorDecay factors{.strength = 1, .penalty = Penalty::factors};
  CHECK(accrete::decay_penalty(factors, uneven) > 2 * accrete::decay_penalty(factors, even));
}

TEST_CASE("strength 0 and rank 0 change nothing") {
  LowRank<double> matrix(on_backend(Mat<double>::Random(6, 2)),
                         on_backend(Mat<double>::Random(5, 2)));
  const Mat<double> u = to_host(matrix.U());
  accrete::apply_decay({}, matrix, 0.1);
  CHECK(to_host(matrix.U()) == u);
  LowRank<double> empty(6, 5);
  CHECK(accrete::decay_penalty({.strength = 1}, empty) == 0);
  CHECK_NOTHROW(accrete::apply_decay({.strength = 1}, empty, 0.1));
}

TEST_CASE("strengths, rates and shapes outside their domain are refused") {
  LowRank<double> matrix(on_backend(Mat<double>::Random(6, 2)),
                         on_backend(Mat<double>::Random(5, 2)));
  Stored<double> du = on_backend(Mat<double>::Zero(6, 2));
  Stored<double> dv = on_backend(Mat<double>::Zero(5, 2));
  CHECK_THROWS_AS((void)accrete::decay_penalty({.strength = -1}, matrix), accrete::ArgumentError);
  CHECK_THROWS_AS(accrete::apply_decay({.strength = std::nan("")}, matrix, 0.1),
                  accrete::ArgumentError);
  CHECK_THROWS_AS(accrete::apply_decay({.strength = 1}, matrix, std::nan("")),
                  accrete::ArgumentError);
  CHECK_THROWS_AS(accrete::add_decay_gradient({.strength = 1}, matrix, view_of(dv), view_of(dv)),
                  accrete::ShapeError);
  CHECK_THROWS_AS(accrete::add_decay_gradient({.strength = 1}, matrix, view_of(du), view_of(du)),
                  accrete::ShapeError);
  CHECK(to_host(du).isZero(0.0));
}
