// SPDX-License-Identifier: MIT
#include "gemm_checks.hpp"
#include "sparse_operand.hpp"

#include <array>
#include <cmath>
#include <limits>

using accrete::Index;
using accrete::View;

namespace {

using Table = accrete::Kernels<TestBackend>;

constexpr std::array<std::array<Index, 3>, 10> shapes = {{{70, 33, 90},
                                                          {5, 6, 7},
                                                          {1, 50, 60},
                                                          {50, 60, 1},
                                                          {64, 64, 64},
                                                          {129, 1, 65},
                                                          {1, 1, 1},
                                                          {3, 200, 2},
                                                          {2, 1100, 41},
                                                          {9, 300, 3}}};

/// c = 2 a b + 3 c with operands whose leading dimensions are large where `sparse` has a bit, and
/// row-major where `orders` has one. False where the system has no memory of that kind.
template <class Scalar>
bool check_large_strides(const std::array<Index, 3>& shape, Index stride, int sparse, int orders) {
  const auto [m, k, n] = shape;
  const auto step = [&](int bit, Index length) {
    return (sparse & bit) != 0 ? stride : length + 3;
  };
  const auto is_row_major = [&](int bit) { return (orders & bit) != 0; };
  accrete::Device<TestBackend> device;
  const SparseOperand<Scalar> a(m, k, step(1, std::max(m, k)), is_row_major(1), 1);
  const SparseOperand<Scalar> b(k, n, step(2, std::max(k, n)), is_row_major(2), 2);
  const SparseOperand<Scalar> c(m, n, step(4, std::max(m, n)), is_row_major(4), 3);
  if (a.view.data == nullptr || b.view.data == nullptr || c.view.data == nullptr) {
    return false;
  }
  const Exact expected = 2 * a.value() * b.value() + 3 * c.value();
  const long double norms = 2 * a.value().norm() * b.value().norm() + 3 * c.value().norm();
  Table::gemm(device, Scalar{2}, View<const Scalar>(a.view), View<const Scalar>(b.view), Scalar{3},
              c.view);
  CAPTURE(stride);
  CAPTURE(sparse);
  CAPTURE(orders);
  CHECK_CLOSE(c.value(), expected, rounding_bound<Scalar>(k + 3, norms));
  return true;
}

} // namespace

TEST_CASE_TEMPLATE("sizes and leading dimensions may be beyond 32 bits", Scalar, float, double) {
  // With the first, a BLAS of 32-bit integers sees a leading dimension of 64 entries, with the
  // second a negative one. The shapes go to the library, to inner and outer products and to gemv.
  constexpr Index strides[] = {(Index{1} << 32) + 64, (Index{1} << 31) + 64};
  constexpr std::array<Index, 3> some[] = {{64, 40, 40}, {64, 2, 40}, {70, 300, 3},
                                           {3, 530, 41}, {64, 40, 1}, {1, 40, 64}};
  for (const auto& shape : some) {
    for (int bit = 0; bit < 6; ++bit) {
      const int sparse = 1 << (bit / 2);
      if (!check_large_strides<Scalar>(shape, strides[bit % 2], sparse, 0) ||
          !check_large_strides<Scalar>(shape, strides[bit % 2], sparse, sparse)) {
        MESSAGE("skipped: the system reserves no such range of addresses");
        return;
      }
    }
  }
}

TEST_CASE_TEMPLATE("gemm agrees with exact arithmetic for every order, shape, alpha and beta",
                   Scalar, float, double) {
  for (const auto& [m, k, n] : shapes) {
    for (int orders = 0; orders < 8; ++orders) {
      for (const Scalar beta : {Scalar{0}, Scalar{1}, Scalar{-0.5}}) {
        check_gemm(m, k, n, orders, beta);
      }
    }
  }
}

TEST_CASE_TEMPLATE("outer products of more rows than are taken in at a time agree with it", Scalar,
                   float, double) {
  check_gemm(4700, 7, 600, 0, Scalar{1});
  check_gemm(4700, 7, 600, 2, Scalar{-0.5});
  check_gemm(600, 3, 4700, 7, Scalar{1});
}

TEST_CASE_TEMPLATE("with beta zero the old result is not read", Scalar, float, double) {
  accrete::Device<TestBackend> device;
  // Rows, inner dimension and columns: one shape for each way of the cpu backend.
  constexpr std::array<std::array<Index, 3>, 8> ways = {{{20, 30, 1},
                                                         {20, 30, 4},
                                                         {20, 30, 80},
                                                         {150, 1, 40},
                                                         {150, 6, 40},
                                                         {700, 150, 1},
                                                         {7, 30, 1},
                                                         {90, 1100, 5}}};
  for (const auto& [m, k, n] : ways) {
    for (int orders = 0; orders < 4; ++orders) {
      const Padded<Scalar> a(m, k, (orders & 1) != 0, 1);
      const Padded<Scalar> b(k, n, (orders & 2) != 0, 2);
      Dense<Scalar> c = Dense<Scalar>::Constant(m, n, std::numeric_limits<Scalar>::quiet_NaN());
      Table::gemm(device, Scalar{1}, View<const Scalar>(a.view), View<const Scalar>(b.view),
                  Scalar{0}, accrete::view_of(c));
      CHECK(c.allFinite());
    }
  }
}

TEST_CASE_TEMPLATE("a product changes nothing around its result", Scalar, float, double) {
  accrete::Device<TestBackend> device;
  for (const Index k : {Index{1}, Index{5}, Index{300}}) {
    const Dense<Scalar> a = random_matrix<Scalar>(139, k, 1);
    const Dense<Scalar> b = random_matrix<Scalar>(k, 45, 2);
    const Dense<Scalar> before = random_matrix<Scalar>(150, 60, 3);
    Dense<Scalar> around = before;
    Table::gemm(device, Scalar{1}, accrete::view_of(a), accrete::view_of(b), Scalar{1},
                accrete::view_of(around).block(5, 7, 139, 45));
    CHECK(around.block(5, 7, 139, 45) != before.block(5, 7, 139, 45));
    around.block(5, 7, 139, 45) = before.block(5, 7, 139, 45);
    CHECK(around == before);
  }
}

TEST_CASE_TEMPLATE("an inner dimension of zero scales the result by beta", Scalar, float, double) {
  accrete::Device<TestBackend> device;
  const Dense<Scalar> a(4, 0);
  const Dense<Scalar> b(0, 5);
  Dense<Scalar> c = Dense<Scalar>::Constant(4, 5, 3);
  Table::gemm(device, Scalar{1}, accrete::view_of(a), accrete::view_of(b), Scalar{0.5},
              accrete::view_of(c));
  CHECK(c == Dense<Scalar>::Constant(4, 5, Scalar{1.5}));
}

TEST_CASE_TEMPLATE("gemv takes strided vectors", Scalar, float, double) {
  accrete::Device<TestBackend> device;
  const Dense<Scalar> a = random_matrix<Scalar>(300, 200, 1);
  const Dense<Scalar> x = random_matrix<Scalar>(4, 200, 2);
  Dense<Scalar> y = random_matrix<Scalar>(3, 300, 3);
  const Exact expected = exact(a) * exact(x.row(1).transpose()) + 2 * exact(y.row(2).transpose());
  const Dense<Scalar> before = y;
  Table::gemv(device, Scalar{1}, accrete::view_of(a), accrete::view_of(x.row(1).transpose()),
              Scalar{2}, accrete::view_of(y).block(2, 0, 1, 300).transposed());
  CHECK_CLOSE(y.row(2).transpose(), expected,
              rounding_bound<Scalar>(203, exact(a).norm() * exact(x).norm() + expected.norm()));
  CHECK(y.topRows(2) == before.topRows(2));
}

TEST_CASE_TEMPLATE("an infinite entry reaches its own result alone", Scalar, float, double) {
  accrete::Device<TestBackend> device;
  const Index n = 597;
  const Dense<Scalar> ones = Dense<Scalar>::Ones(n, 3);
  for (const Index cols : {Index{1}, Index{3}}) {
    Dense<Scalar> c(11, cols);
    for (Index k = n - 37; k < n; ++k) {
      Dense<Scalar> a = random_matrix<Scalar>(n, 11, 1);
      a(k, 9) = std::numeric_limits<Scalar>::infinity();
      const View<const Scalar> b = View<const Scalar>(accrete::view_of(ones)).columns(0, cols);
      Table::gemm(device, Scalar{1}, View<const Scalar>(accrete::view_of(a)).transposed(), b,
                  Scalar{0}, accrete::view_of(c));
      CHECK(c.row(9) == Dense<Scalar>::Constant(1, cols, a(k, 9)));
      CHECK(c.topRows(9).allFinite());
      CHECK(c.row(10).allFinite());
    }
  }
}

TEST_CASE_TEMPLATE("combine, fill, dot and norms agree with exact arithmetic", Scalar, float,
                   double) {
  accrete::Device<TestBackend> device;
  for (int orders = 0; orders < 4; ++orders) {
    const Padded<Scalar> a(300, 311, (orders & 1) != 0, 1);
    Padded<Scalar> c(300, 311, (orders & 2) != 0, 2);
    const long double products = a.value().cwiseProduct(c.value()).sum();
    CHECK(Table::dot(device, View<const Scalar>(a.view), View<const Scalar>(c.view)) ==
          doctest::Approx(static_cast<double>(products)).epsilon(1e-10));
    CHECK(Table::squared_norm(device, View<const Scalar>(a.view)) ==
          doctest::Approx(static_cast<double>(a.value().squaredNorm())).epsilon(1e-12));
    const Exact expected = 3 * a.value() - 2 * c.value();
    Table::combine(device, Scalar{3}, View<const Scalar>(a.view), Scalar{-2}, c.view);
    CHECK((c.value() - expected).norm() <= rounding_bound<Scalar>(3, expected.norm() + 500));
    Table::combine(device, Scalar{1}, View<const Scalar>(a.view), Scalar{0}, c.view);
    CHECK(c.value() == a.value());
    Table::fill(device, Scalar{7}, c.view);
    CHECK(c.value() == Exact::Constant(300, 311, 7));
  }
}

TEST_CASE_TEMPLATE("all_finite finds one NaN or infinity anywhere", Scalar, float, double) {
  accrete::Device<TestBackend> device;
  for (const Scalar bad :
       {std::numeric_limits<Scalar>::quiet_NaN(), std::numeric_limits<Scalar>::infinity()}) {
    Dense<Scalar> a = random_matrix<Scalar>(37, 53, 1);
    CHECK(Table::all_finite(device, View<const Scalar>(accrete::view_of(a))));
    a(36, 52) = bad;
    CHECK_FALSE(Table::all_finite(device, View<const Scalar>(accrete::view_of(a))));
  }
}

TEST_CASE_TEMPLATE("random fills depend on the seed and the position alone", Scalar, float,
                   double) {
  accrete::Device<TestBackend> device;
  Dense<Scalar> dense(101, 77);
  Table::fill_normal(device, 42, 0.5, accrete::view_of(dense));
  Padded<Scalar> strided(101, 77, true, 1);
  Table::fill_normal(device, 42, 0.5, strided.view);
  CHECK(strided.value() == exact(dense));
  Table::fill_normal(device, 43, 0.5, strided.view);
  CHECK(strided.value() != exact(dense));

  const double count = static_cast<double>(dense.size());
  const double mean = dense.template cast<double>().mean();
  const double variance = dense.template cast<double>().squaredNorm() / count - mean * mean;
  CHECK(std::abs(mean) < 5 * 0.5 / std::sqrt(count));
  CHECK(std::abs(variance - 0.25) < 5 * 0.25 * std::sqrt(2 / count));

  Table::fill_uniform(device, 42, -2.0, 3.0, accrete::view_of(dense));
  CHECK(dense.minCoeff() >= Scalar{-2});
  CHECK(dense.maxCoeff() <= Scalar{3});
  CHECK(std::abs(dense.template cast<double>().mean() - 0.5) < 5 * 5 / std::sqrt(12 * count));
}
