// SPDX-License-Identifier: MIT
#include "product_checks.hpp"

#include <cstring>
#include <string>
#include <vector>

namespace ac = accrete;
using ac::Index;

namespace {

using Table = ac::Kernels<ac::Cpu>;

struct Shape {
  Index m, n, k;
};

// Below, at and above the sides of tiles, of panels and of what is packed at a time, for float and
// double; the last are shared out along the rows and along the columns, and in several blocks.
const std::vector<Shape> shapes = {{1, 1, 1},       {8, 8, 8},        {16, 8, 31},    {17, 9, 33},
                                   {48, 8, 40},     {24, 7, 65},      {49, 70, 100},  {100, 3, 40},
                                   {65, 129, 333},  {48, 31, 1290},   {40, 64, 3000}, {700, 90, 70},
                                   {90, 1100, 515}, {1300, 230, 390}, {611, 413, 801}};

} // namespace

TEST_CASE_TEMPLATE("products with vectors of 512 bits, of every order and shape", Scalar, float,
                   double) {
  ac::Device<ac::Cpu> device;
  device.set_threads(2);
  for (const Shape& shape : shapes) {
    const auto [m, n, k] = shape;
    for (const int orders : {0, 1, 2, 3}) {
      const ProductOperand<Scalar> a(m, k, (orders & 1) != 0, 1);
      const ProductOperand<Scalar> b(k, n, (orders & 2) != 0, 2);
      const ac::MatrixProduct<Scalar> product{a.view(), b.view()};
      CAPTURE(shape.m);
      CAPTURE(shape.n);
      CAPTURE(shape.k);
      CAPTURE(orders);
      const auto multiply = [&](double alpha, double beta, auto c) {
        return ac::detail::avx512_products(device, static_cast<Scalar>(alpha), &product, 1,
                                           static_cast<Scalar>(beta), c);
      };
      const long double size = a.exact().norm() * b.exact().norm();
      if (!check_product<Scalar>(product_of(a, b), size, k, multiply)) {
        MESSAGE("skipped: no vectors of 512 bits here");
        return;
      }
    }
  }
}

TEST_CASE_TEMPLATE("products of one result are added up with vectors of 512 bits", Scalar, float,
                   double) {
  ac::Device<ac::Cpu> device;
  for (const Shape& shape : shapes) {
    const auto [m, n, k] = shape;
    for (const Index r : {Index{1}, Index{20}, Index{290}}) {
      // Each product in orders of its own; one has no inner index.
      const ProductOperand<Scalar> w(m, k, r == 20, 1);
      const ProductOperand<Scalar> x(k, n, false, 2);
      const ProductOperand<Scalar> u(m, r, r == 290, 3);
      const ProductOperand<Scalar> z(r, n, r != 1, 4);
      const ProductOperand<Scalar> nothing_left(m, 0, false, 5);
      const ProductOperand<Scalar> nothing_right(0, n, false, 6);
      const ac::MatrixProduct<Scalar> products[] = {
          {w.view(), x.view()}, {nothing_left.view(), nothing_right.view()}, {u.view(), z.view()}};
      CAPTURE(shape.m);
      CAPTURE(shape.n);
      CAPTURE(shape.k);
      CAPTURE(r);
      const long double size =
          w.exact().norm() * x.exact().norm() + u.exact().norm() * z.exact().norm();
      const auto multiply = [&](double alpha, double beta, auto c) {
        return ac::detail::avx512_products(device, static_cast<Scalar>(alpha), products, 3,
                                           static_cast<Scalar>(beta), c);
      };
      if (!check_product<Scalar>(product_of(w, x) + product_of(u, z), size, k + r, multiply)) {
        MESSAGE("skipped: no sums of products with vectors of 512 bits here");
        return;
      }
    }
  }
}

TEST_CASE("a block of a larger matrix is multiplied without touching what lies around it") {
  ac::Device<ac::Cpu> device;
  const ProductOperand<float> a(90, 77, false, 1);
  const ProductOperand<float> b(77, 50, false, 2);
  const ac::MatrixProduct<float> product{a.view(), b.view()};
  Eigen::MatrixXf around = Eigen::MatrixXf::Constant(140, 80, 7.0F);
  const auto target = ac::view_of(around).block(20, 10, 90, 50);
  if (!ac::detail::avx512_products(device, 1.0F, &product, 1, 0.0F, target)) {
    MESSAGE("skipped: no vectors of 512 bits here");
    return;
  }
  CHECK((exact(around.block(20, 10, 90, 50)) - product_of(a, b)).norm() <=
        product_bound<float>(77, a.exact().norm() * b.exact().norm()));
  around.block(20, 10, 90, 50).setConstant(7.0F);
  CHECK((around.array() == 7.0F).all());
}

TEST_CASE("products are the same bits whatever the number of threads") {
  const ProductOperand<float> a(300, 1500, false, 1);
  const ProductOperand<float> b(1500, 200, false, 2);
  const ac::MatrixProduct<float> product{a.view(), b.view()};
  std::vector<Eigen::MatrixXf> results;
  for (const int threads : {1, 2, 3, 5, 2, 1}) {
    ac::Device<ac::Cpu> device;
    device.set_threads(threads);
    results.emplace_back(300, 200);
    if (!ac::detail::avx512_products(device, 1.0F, &product, 1, 0.0F,
                                     ac::view_of(results.back()))) {
      MESSAGE("skipped: no vectors of 512 bits here, for any number of threads");
      return;
    }
    CHECK(std::memcmp(results.back().data(), results.front().data(), sizeof(float) * 300 * 200) ==
          0);
  }
}

#if defined(ACCRETE_HAS_AVX512)
TEST_CASE("products are cut by which operand all tasks would read") {
  using Cut = ac::detail::Avx512Cut<float>;
  const Cut tall(4096, 64, 1024, 2);
  CHECK(tall.row_parts == 2);
  CHECK(tall.col_parts == 1);
  CHECK(tall.depth == 512);
  CHECK(tall.left_rows == 48); // the columns stay, the rows pass by
  CHECK(tall.right_cols == 64);
  const Cut wide(64, 4096, 1024, 2);
  CHECK(wide.col_parts == 2);
  CHECK(wide.row_parts == 1);
  const Cut large(4096, 4096, 1088, 2);
  CHECK(large.row_parts == 2);
  CHECK(large.depth == 544);
  CHECK(large.left_rows * large.depth <= Cut::held);
  CHECK(large.left_rows > 48);
  CHECK(Cut(32, 4096, 32, 16).col_parts == 16);
  CHECK(Cut(4096, 32, 32, 16).row_parts == 16);
}
#endif

TEST_CASE_TEMPLATE("who computes products is decided when the program runs", Scalar, float,
                   double) {
  const bool own = ac::detail::GemmProvider<Scalar>::is_native && ac::detail::has_avx512();
  const std::string provider = Table::product_provider<Scalar>();
  CHECK(provider == (own ? "avx512" : ac::detail::GemmProvider<Scalar>::name));
  CHECK_FALSE(Table::sums_products<Scalar>(1024, 8));
  CHECK_FALSE(Table::sums_products<Scalar>(8, 1024));
  CHECK(Table::sums_products<Scalar>(1024, 1024) == own);
}
