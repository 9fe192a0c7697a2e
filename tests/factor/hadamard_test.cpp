// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/hadamard.hpp>

#include <cmath>
#include <limits>

using accrete::ArgumentError;
using accrete::Context;
using accrete::hadamard;
using accrete::hadamard_power;
using accrete::Index;
using accrete::LowRankMatrix;
using accrete::NumericError;
using accrete::Order;
using accrete::ScopedContext;
using accrete::ShapeError;
using accrete::view_of;

namespace {

template <class S>
LowRankMatrix<S, TestBackend> low_rank(Index rows, Index cols, Index rank, unsigned seed) {
  return {on_backend(random_matrix<S>(rows, rank, seed)),
          on_backend(random_matrix<S>(cols, rank, seed + 100))};
}

template <class S>
Exact formed(const LowRankMatrix<S, TestBackend>& a) {
  return exact(a.U()) * exact(a.V()).transpose();
}

} // namespace

TEST_CASE_TEMPLATE("the kernel takes any order and reads the target only where beta is not 0", S,
                   TEST_SCALARS) {
  auto& device = Context<TestBackend>::current().device();
  const Stored<S> a = on_backend(random_matrix<S>(37, 11, 1));
  const Dense<S> b = random_matrix<S>(37, 11, 2);
  const Dense<S> c = random_matrix<S>(37, 11, 3);
  const Exact product = exact(a).cwiseProduct(exact(b));
  // Row-major is the transposed view of a stored transpose.
  const Stored<S> b_rows = on_backend(b.transpose());
  const auto run = [&](const Dense<S>& start, Order order, S beta) {
    const bool in_rows = order == Order::row_major;
    Stored<S> target = on_backend(in_rows ? Dense<S>(start.transpose()) : start);
    const auto view = in_rows ? view_of(target).transposed() : view_of(target);
    accrete::Kernels<TestBackend>::hadamard(device, S{2}, view_of(a), view_of(b_rows).transposed(),
                                            beta, view);
    return exact(view);
  };
  const Dense<S> nan = Dense<S>::Constant(37, 11, std::numeric_limits<S>::quiet_NaN());
  const long double bound = rounding_bound<S>(4, product.norm() + c.norm());
  CHECK_CLOSE(run(nan, Order::column_major, S{0}), 2 * product, bound);
  CHECK_CLOSE(run(nan, Order::row_major, S{0}), 2 * product, bound);
  CHECK_CLOSE(run(c, Order::column_major, S(-0.5)), 2 * product - 0.5L * exact(c), bound);
  CHECK_CLOSE(run(c, Order::row_major, S(-0.5)), 2 * product - 0.5L * exact(c), bound);
}

TEST_CASE_TEMPLATE("entrywise products of low-rank matrices multiply ranks", S, TEST_SCALARS) {
  const auto a = low_rank<S>(9, 6, 2, 1);
  const auto b = low_rank<S>(9, 6, 3, 2);
  const LowRankMatrix<S, TestBackend> product = hadamard(a, b);
  CHECK(product.rank() == 6);
  const Exact expected = formed(a).cwiseProduct(formed(b));
  CHECK_CLOSE(formed(product), expected, rounding_bound<S>(8, formed(a).norm() * formed(b).norm()));
  const auto sum = hadamard(S{2} * a - b, b);
  CHECK(sum.rank() == 15);
  const Exact sums = (2 * formed(a) - formed(b)).cwiseProduct(formed(b));
  CHECK_CLOSE(formed(sum), sums, rounding_bound<S>(20, formed(a).norm() * formed(b).norm()));
  CHECK(hadamard(a, LowRankMatrix<S, TestBackend>(9, 6)).rank() == 0);
}

TEST_CASE_TEMPLATE("entrywise powers agree with the powers of the entries", S, TEST_SCALARS) {
  const auto a = low_rank<S>(14, 11, 2, 1);
  const Exact value = formed(a);
  for (const Index exponent : {0, 1, 2, 3, 4, 5, 6, 7}) {
    CAPTURE(exponent);
    const auto power = hadamard_power(a, exponent, {});
    // A symmetric tensor power of two directions.
    CHECK(power.rank() == exponent + 1);
    const Exact expected = value.array().pow(static_cast<long double>(exponent)).matrix();
    const long double size = std::pow(value.norm(), static_cast<long double>(exponent));
    CHECK_CLOSE(formed(power), expected, rounding_bound<S>(100, size));
  }
}

TEST_CASE_TEMPLATE("powers are recompressed on the way", S, TEST_SCALARS) {
  // Entries near 1: one direction dominates, and a loose tolerance keeps little more.
  Dense<S> u = Dense<S>::Ones(20, 4);
  Dense<S> v = Dense<S>::Ones(16, 4);
  u.rightCols(3) = S(0.01) * random_matrix<S>(20, 3, 3);
  v.rightCols(3) = random_matrix<S>(16, 3, 4);
  const LowRankMatrix<S, TestBackend> a(on_backend(u), on_backend(v));
  const auto power = hadamard_power(a, 6, {.tolerance = 1e-3});
  CHECK(power.rank() < 10);
  const Exact expected = formed(a).array().pow(6.0L).matrix();
  CHECK((formed(power) - expected).norm() <= 1e-2L * expected.norm());
  CHECK(hadamard_power(a, 6, {.max_rank = 2}).rank() == 2);
}

TEST_CASE_TEMPLATE("products of a low-rank matrix with itself keep its rank", S, TEST_SCALARS) {
  const auto a = low_rank<S>(12, 12, 3, 5);
  LowRankMatrix<S, TestBackend> power = a;
  Exact expected = formed(a);
  for (int exponent = 2; exponent <= 4; ++exponent) {
    power = power * a;
    expected = expected * formed(a);
    CHECK(power.rank() == 3);
    CHECK_CLOSE(formed(power), expected,
                rounding_bound<S>(200, std::pow(formed(a).norm(), (long double)exponent)));
  }
}

TEST_CASE_TEMPLATE("entrywise products form nothing", S, TEST_SCALARS) {
  const Index m = 1500;
  const Index n = 1200;
  Context<TestBackend> context;
  const ScopedContext<TestBackend> use(context);
  const auto a = low_rank<S>(m, n, 2, 1);
  (void)hadamard(a + a, a);
  (void)hadamard_power(a, 3, {.max_rank = 2});
  CHECK(context.device().workspace().capacity() < std::size_t(m * n) * sizeof(S) / 8);
}

TEST_CASE("entrywise products refuse what they cannot use") {
  const auto a = low_rank<double>(5, 4, 2, 1);
  CHECK_THROWS_AS((void)hadamard(a, a.transpose()), ShapeError);
  CHECK_THROWS_AS((void)hadamard_power(a, -1, {}), ArgumentError);
  CHECK_THROWS_AS((void)hadamard_power(a, 2, {.tolerance = 2}), ArgumentError);
  Eigen::MatrixXd nan = random_matrix<double>(5, 2, 1);
  nan(3, 1) = std::nan("");
  const Stored<double> u = on_backend(nan);
  CHECK_THROWS_AS((void)hadamard_power(accrete::outer<TestBackend>(u, u), 2, {}), NumericError);
}
