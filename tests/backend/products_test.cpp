// SPDX-License-Identifier: MIT
#include "gemm_checks.hpp"

#include <array>
#include <cmath>
#include <limits>

using accrete::Index;
using accrete::to_host;
using accrete::view_of;

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

} // namespace

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
      Stored<Scalar> c =
          on_backend(Dense<Scalar>::Constant(m, n, std::numeric_limits<Scalar>::quiet_NaN()));
      Table::gemm(test_device(), Scalar{1}, a.view.as_const(), b.view.as_const(), Scalar{0},
                  view_of(c));
      CHECK(to_host(c).allFinite());
    }
  }
}

TEST_CASE_TEMPLATE("a product changes nothing around its result", Scalar, float, double) {
  for (const Index k : {Index{1}, Index{5}, Index{300}}) {
    const Stored<Scalar> a = on_backend(random_matrix<Scalar>(139, k, 1));
    const Stored<Scalar> b = on_backend(random_matrix<Scalar>(k, 45, 2));
    const Dense<Scalar> before = random_matrix<Scalar>(150, 60, 3);
    Stored<Scalar> c = on_backend(before);
    Table::gemm(test_device(), Scalar{1}, view_of(a), view_of(b), Scalar{1},
                view_of(c).block(5, 7, 139, 45));
    Dense<Scalar> around = to_host(c);
    CHECK(around.block(5, 7, 139, 45) != before.block(5, 7, 139, 45));
    around.block(5, 7, 139, 45) = before.block(5, 7, 139, 45);
    CHECK(around == before);
  }
}

TEST_CASE_TEMPLATE("an inner dimension of zero scales the result by beta", Scalar, float, double) {
  const Stored<Scalar> a(4, 0);
  const Stored<Scalar> b(0, 5);
  Stored<Scalar> c = on_backend(Dense<Scalar>::Constant(4, 5, 3));
  Table::gemm(test_device(), Scalar{1}, view_of(a), view_of(b), Scalar{0.5}, view_of(c));
  CHECK(to_host(c) == Dense<Scalar>::Constant(4, 5, Scalar{1.5}));
}

TEST_CASE_TEMPLATE("gemv takes strided vectors", Scalar, float, double) {
  const Stored<Scalar> a = on_backend(random_matrix<Scalar>(300, 200, 1));
  const Dense<Scalar> rows = random_matrix<Scalar>(4, 200, 2);
  const Dense<Scalar> before = random_matrix<Scalar>(3, 300, 3);
  const Stored<Scalar> x = on_backend(rows);
  Stored<Scalar> y = on_backend(before);
  const Exact expected =
      exact(a) * exact(rows.row(1).transpose()) + 2 * exact(before.row(2).transpose());
  Table::gemv(test_device(), Scalar{1}, view_of(a), view_of(x).block(1, 0, 1, 200).transposed(),
              Scalar{2}, view_of(y).block(2, 0, 1, 300).transposed());
  const Dense<Scalar> after = to_host(y);
  CHECK_CLOSE(after.row(2).transpose(), expected,
              rounding_bound<Scalar>(203, exact(a).norm() * exact(x).norm() + expected.norm()));
  CHECK(after.topRows(2) == before.topRows(2));
}

TEST_CASE_TEMPLATE("an infinite entry reaches its own result alone", Scalar, float, double) {
  const Index n = 597;
  const Stored<Scalar> ones = on_backend(Dense<Scalar>::Ones(n, 3));
  for (const Index cols : {Index{1}, Index{3}}) {
    Stored<Scalar> product(11, cols);
    for (Index k = n - 37; k < n; ++k) {
      Dense<Scalar> entries = random_matrix<Scalar>(n, 11, 1);
      entries(k, 9) = std::numeric_limits<Scalar>::infinity();
      const Stored<Scalar> a = on_backend(entries);
      Table::gemm(test_device(), Scalar{1}, view_of(a).transposed(),
                  view_of(ones).left_columns(cols), Scalar{0}, view_of(product));
      const Dense<Scalar> c = to_host(product);
      CHECK(c.row(9) == Dense<Scalar>::Constant(1, cols, entries(k, 9)));
      CHECK(c.topRows(9).allFinite());
      CHECK(c.row(10).allFinite());
    }
  }
}

TEST_CASE_TEMPLATE("combine, fill, dot and norms agree with exact arithmetic", Scalar, float,
                   double) {
  for (int orders = 0; orders < 4; ++orders) {
    const Padded<Scalar> a(300, 311, (orders & 1) != 0, 1);
    Padded<Scalar> c(300, 311, (orders & 2) != 0, 2);
    const long double products = a.value().cwiseProduct(c.value()).sum();
    CHECK(Table::dot(test_device(), a.view.as_const(), c.view.as_const()) ==
          doctest::Approx(static_cast<double>(products)).epsilon(1e-10));
    CHECK(Table::squared_norm(test_device(), a.view.as_const()) ==
          doctest::Approx(static_cast<double>(a.value().squaredNorm())).epsilon(1e-12));
    const Exact expected = 3 * a.value() - 2 * c.value();
    Table::combine(test_device(), Scalar{3}, a.view.as_const(), Scalar{-2}, c.view);
    CHECK((c.value() - expected).norm() <= rounding_bound<Scalar>(3, expected.norm() + 500));
    Table::combine(test_device(), Scalar{1}, a.view.as_const(), Scalar{0}, c.view);
    CHECK(c.value() == a.value());
    Table::fill(test_device(), Scalar{7}, c.view);
    CHECK(c.value() == Exact::Constant(300, 311, 7));
  }
}

TEST_CASE_TEMPLATE("all_finite finds one NaN or infinity anywhere", Scalar, float, double) {
  for (const Scalar bad :
       {std::numeric_limits<Scalar>::quiet_NaN(), std::numeric_limits<Scalar>::infinity()}) {
    Dense<Scalar> entries = random_matrix<Scalar>(37, 53, 1);
    const Stored<Scalar> finite = on_backend(entries);
    CHECK(Table::all_finite(test_device(), view_of(finite)));
    entries(36, 52) = bad;
    const Stored<Scalar> a = on_backend(entries);
    CHECK_FALSE(Table::all_finite(test_device(), view_of(a)));
  }
}

TEST_CASE_TEMPLATE("random fills depend on the seed and the position alone", Scalar, float,
                   double) {
  Stored<Scalar> filled(101, 77);
  Table::fill_normal(test_device(), 42, 0.5, view_of(filled));
  Dense<Scalar> dense = to_host(filled);
  Padded<Scalar> strided(101, 77, true, 1);
  Table::fill_normal(test_device(), 42, 0.5, strided.view);
  CHECK(strided.value() == exact(dense));
  Table::fill_normal(test_device(), 43, 0.5, strided.view);
  CHECK(strided.value() != exact(dense));

  const double count = static_cast<double>(dense.size());
  const double mean = dense.template cast<double>().mean();
  const double variance = dense.template cast<double>().squaredNorm() / count - mean * mean;
  CHECK(std::abs(mean) < 5 * 0.5 / std::sqrt(count));
  CHECK(std::abs(variance - 0.25) < 5 * 0.25 * std::sqrt(2 / count));

  Table::fill_uniform(test_device(), 42, -2.0, 3.0, view_of(filled));
  dense = to_host(filled);
  CHECK(dense.minCoeff() >= Scalar{-2});
  CHECK(dense.maxCoeff() <= Scalar{3});
  CHECK(std::abs(dense.template cast<double>().mean() - 0.5) < 5 * 5 / std::sqrt(12 * count));
}
