// SPDX-License-Identifier: MIT
#include "placed.hpp"

#include <limits>

using accrete::Index;
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

TEST_CASE_TEMPLATE("map computes a function of every entry of the view and no other", S, float,
                   double) {
  using accrete::Function;
  using Long = long double;
  Mat<S> a = S{4} * Mat<S>::Random(300, 3);
  a(0, 0) = 0;
  a(1, 0) = S{100};
  a(2, 0) = S{-800}; // exp(800) is infinity in float
  const auto sigmoid = [](Long x) { return 1 / (1 + std::exp(-x)); };
  const auto expected = [&](Function function, Long x) {
    switch (function) {
    case Function::silu:
      return x * sigmoid(x);
    case Function::silu_slope:
      return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
    case Function::reciprocal:
      return x == 0 ? Long{0} : 1 / x;
    default:
      return x < 0 ? Long{-1} : Long{1};
    }
  };
  for (const Function function :
       {Function::silu, Function::silu_slope, Function::reciprocal, Function::sign}) {
    CAPTURE(static_cast<int>(function));
    for (const Layout from : {Layout::columns, Layout::rows}) {
      for (const Layout to : {Layout::columns, Layout::rows}) {
        Placed<S> source(a, from), target(Mat<S>::Zero(300, 3), to);
        Kernels::map(test_device(), function, source.view().as_const(), target.view());
        const Mat<S> values = target.value();
        double worst = 0;
        for (Index i = 0; i < a.size(); ++i) {
          const Long exact = expected(function, a.data()[i]);
          // A few roundings of numbers up to 1 + |x|, which cancel where the slope is zero.
          const Long size =
              (std::max)({std::abs(exact), Long{1}, std::abs(static_cast<Long>(a.data()[i]))});
          worst = (std::max)(worst, double(std::abs(Long{values.data()[i]} - exact) / size));
        }
        CHECK(worst <= 8 * double{std::numeric_limits<S>::epsilon()});
      }
    }
  }
  Stored<S> stored = on_backend(a);
  const auto part = view_of(stored).block(3, 1, 10, 2);
  Kernels::map(test_device(), Function::sign, part.as_const(), part);
  Mat<S> after = to_host(stored);
  CHECK(Mat<S>(after.block(3, 1, 10, 2)).cwiseAbs() == Mat<S>::Ones(10, 2));
  after.block(3, 1, 10, 2) = a.block(3, 1, 10, 2);
  CHECK(after == a);
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
