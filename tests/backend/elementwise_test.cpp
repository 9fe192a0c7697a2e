// SPDX-License-Identifier: MIT
#include "placed.hpp"

#include <limits>

using accrete::to_host;
using accrete::view_of;

namespace {

template <class S>
using Mat = Dense<S>;
using Kernels = accrete::Kernels<TestBackend>;

} // namespace

TEST_CASE_TEMPLATE("hadamard multiplies entry by entry in any order and stride", S, float, double) {
  const Mat<S> a = Mat<S>::Random(19, 7);
  const Mat<S> b = Mat<S>::Random(19, 7);
  const Mat<S> c = Mat<S>::Random(19, 7);
  const Mat<S> expected = S{2} * a.cwiseProduct(b) + S{0.5} * c;
  const S small = 4 * std::numeric_limits<S>::epsilon() * expected.norm();
  const Stored<S> left = on_backend(a);
  const Placed<S> right(b, Layout::columns);
  const Placed<S> right_rows(b, Layout::rows);

  Placed<S> flat(c, Layout::columns);
  Kernels::hadamard(test_device(), S{2}, view_of(left), right.view(), S{0.5}, flat.view());
  CHECK((flat.value() - expected).norm() <= small);

  Placed<S> rows(c, Layout::rows);
  Kernels::hadamard(test_device(), S{2}, view_of(left), right_rows.view(), S{0.5}, rows.view());
  CHECK((rows.value() - expected).norm() <= small);

  Mat<S> around = Mat<S>::Constant(25, 9, S{3});
  around.block(2, 1, 19, 7) = c;
  Stored<S> wide = on_backend(around);
  Kernels::hadamard(test_device(), S{2}, view_of(left), right_rows.view(), S{0.5},
                    view_of(wide).block(2, 1, 19, 7));
  around = to_host(wide);
  CHECK((around.block(2, 1, 19, 7) - expected).norm() <= small);
  CHECK(around.col(0) == Mat<S>::Constant(25, 1, S{3}));
  CHECK(around.topRows(2) == Mat<S>::Constant(2, 9, S{3}));
  CHECK(around.bottomRows(4) == Mat<S>::Constant(4, 9, S{3}));

  Stored<S> unread = on_backend(Mat<S>::Constant(19, 7, std::numeric_limits<S>::quiet_NaN()));
  Kernels::hadamard(test_device(), S{1}, view_of(left), view_of(left), S{0}, view_of(unread));
  CHECK((to_host(unread) - a.cwiseAbs2()).norm() <= small);
}

TEST_CASE_TEMPLATE("absolute takes the sign from every entry of the view and no other", S, float,
                   double) {
  const Mat<S> a = Mat<S>::Random(21, 5);
  for (const Layout layout : {Layout::columns, Layout::rows}) {
    Placed<S> whole(a, layout);
    Kernels::absolute(test_device(), whole.view());
    CHECK(whole.value() == a.cwiseAbs());
  }
  Stored<S> stored = on_backend(a);
  Kernels::absolute(test_device(), view_of(stored).block(3, 1, 10, 2));
  Mat<S> part = to_host(stored);
  CHECK(Mat<S>(part.block(3, 1, 10, 2)) == a.block(3, 1, 10, 2).cwiseAbs());
  part.block(3, 1, 10, 2) = a.block(3, 1, 10, 2);
  CHECK(part == a);
}
