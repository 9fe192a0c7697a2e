// SPDX-License-Identifier: MIT
#include "test_backend.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/plan/context.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <limits>

using accrete::Context;
using accrete::Index;
using accrete::view_of;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using RowMat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Kernels = accrete::Kernels<TestBackend>;

accrete::Device<TestBackend>& device() { return Context<TestBackend>::current().device(); }

} // namespace

TEST_CASE_TEMPLATE("hadamard multiplies entry by entry in any order and stride", S, float, double) {
  const Mat<S> a = Mat<S>::Random(19, 7);
  const Mat<S> b = Mat<S>::Random(19, 7);
  const RowMat<S> b_rows = b;
  const Mat<S> c = Mat<S>::Random(19, 7);
  const Mat<S> expected = S{2} * a.cwiseProduct(b) + S{0.5} * c;
  const S small = 4 * std::numeric_limits<S>::epsilon() * expected.norm();

  Mat<S> flat = c;
  Kernels::hadamard(device(), S{2}, view_of(a), view_of(b), S{0.5}, view_of(flat));
  CHECK((flat - expected).norm() <= small);

  RowMat<S> rows = c;
  Kernels::hadamard(device(), S{2}, view_of(a), view_of(b_rows), S{0.5}, view_of(rows));
  CHECK((Mat<S>(rows) - expected).norm() <= small);

  Mat<S> wide = Mat<S>::Constant(25, 9, S{3});
  wide.block(2, 1, 19, 7) = c;
  Kernels::hadamard(device(), S{2}, view_of(a), view_of(b_rows), S{0.5},
                    view_of(wide).block(2, 1, 19, 7));
  CHECK((wide.block(2, 1, 19, 7) - expected).norm() <= small);
  CHECK(wide.col(0) == Mat<S>::Constant(25, 1, S{3}));
  CHECK(wide.topRows(2) == Mat<S>::Constant(2, 9, S{3}));
  CHECK(wide.bottomRows(4) == Mat<S>::Constant(4, 9, S{3}));

  Mat<S> unread = Mat<S>::Constant(19, 7, std::numeric_limits<S>::quiet_NaN());
  Kernels::hadamard(device(), S{1}, view_of(a), view_of(a), S{0}, view_of(unread));
  CHECK((unread - a.cwiseAbs2()).norm() <= small);
}

TEST_CASE_TEMPLATE("absolute takes the sign from every entry of the view and no other", S, float,
                   double) {
  const Mat<S> a = Mat<S>::Random(21, 5);
  Mat<S> flat = a;
  Kernels::absolute(device(), view_of(flat));
  CHECK(flat == a.cwiseAbs());
  RowMat<S> rows = a;
  Kernels::absolute(device(), view_of(rows));
  CHECK(Mat<S>(rows) == a.cwiseAbs());
  Mat<S> part = a;
  Kernels::absolute(device(), view_of(part).block(3, 1, 10, 2));
  CHECK(Mat<S>(part.block(3, 1, 10, 2)) == a.block(3, 1, 10, 2).cwiseAbs());
  part.block(3, 1, 10, 2) = a.block(3, 1, 10, 2);
  CHECK(part == a);
}
