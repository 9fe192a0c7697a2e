// SPDX-License-Identifier: MIT
#include "bfloat16_numerics.hpp"
#include "product_checks.hpp"
#include "sparse_operand.hpp"
#include "test_backend.hpp"

#include <cstring>
#include <vector>

namespace ac = accrete;
using ac::bfloat16;
using ac::Index;

namespace {

using Cpu = ac::detail::CpuBfloat16;
using Operand = ProductOperand<bfloat16>;
using Input = ac::View<const bfloat16>;

struct Shape {
  Index m, n, k;
};

// Below, at and above the sides of tiles, of panels and of what is packed at a time; the last are
// shared out along the rows and along the columns, and so large that right panels are packed once
// for all.
const std::vector<Shape> shapes = {{2, 2, 1},      {16, 16, 32},    {17, 33, 31},
                                   {32, 32, 64},   {5, 70, 100},    {100, 3, 40},
                                   {65, 129, 333}, {48, 31, 1290},  {40, 64, 3000},
                                   {700, 90, 70},  {90, 1100, 515}, {1700, 230, 1270}};

/// The two ways of one product on the cpu, the first where somebody computes it.
enum class Way { provider, converted };

template <class Result>
bool multiply(Way way, ac::Device<ac::Cpu>& device, float alpha, const Input& a, const Input& b,
              float beta, ac::View<Result> c) {
  if (!c.is_column_major()) {
    return multiply(way, device, alpha, b.transposed(), a.transposed(), beta, c.transposed());
  }
  if (way == Way::provider) {
    return ac::detail::Bfloat16Providers::gemm(device, alpha, a, b, beta, c);
  }
  Cpu::converted_gemm(device, alpha, a, b, beta, c);
  return true;
}

} // namespace

TEST_CASE_TEMPLATE("bfloat16 products of every order and shape, by each way there is", Result,
                   float, bfloat16) {
  ac::Device<ac::Cpu> device;
  device.set_threads(2);
  for (const Way way : {Way::provider, Way::converted}) {
    bool is_there = true;
    for (const Shape& shape : shapes) {
      const auto [m, n, k] = shape;
      for (const int orders : {0, 1, 2, 3}) {
        const Operand a(m, k, (orders & 1) != 0, 1);
        const Operand b(k, n, (orders & 2) != 0, 2);
        CAPTURE(static_cast<int>(way));
        CAPTURE(shape.m);
        CAPTURE(shape.n);
        CAPTURE(shape.k);
        CAPTURE(orders);
        const auto by_way = [&](double alpha, double beta, auto c) {
          return multiply(way, device, static_cast<float>(alpha), a.view(), b.view(),
                          static_cast<float>(beta), c);
        };
        // oneDNN takes a beta of 0 and 1.
        const bool any_beta = way == Way::converted || ac::detail::native::AmxGemm::is_usable();
        is_there = check_product<Result>(product_of(a, b), a.exact().norm() * b.exact().norm(), k,
                                         by_way, any_beta) &&
                   is_there;
      }
    }
    if (!is_there) {
      REQUIRE(way == Way::provider);
      MESSAGE("skipped: nobody multiplies bfloat16 here");
    }
  }
}

TEST_CASE("a block of a larger matrix is multiplied without touching what lies around it") {
  ac::Device<ac::Cpu> device;
  const Operand a(90, 77, false, 1);
  const Operand b(77, 50, false, 2);
  Eigen::MatrixXf around = Eigen::MatrixXf::Constant(140, 80, 7.0F);
  const auto target = ac::view_of(around).block(20, 10, 90, 50);
  Cpu::gemm(device, 1.0F, a.view(), b.view(), 0.0F, target);
  const Exact expected = product_of(a, b);
  CHECK((wide(around.block(20, 10, 90, 50)) - expected).norm() <=
        product_bound<float>(77, a.exact().norm() * b.exact().norm()));
  around.block(20, 10, 90, 50).setConstant(7.0F);
  CHECK((around.array() == 7.0F).all());
}

TEST_CASE("infinities and NaNs go through") {
  ac::Device<ac::Cpu> device;
  Stored<bfloat16> a = Stored<bfloat16>::Constant(40, 40, bfloat16(1));
  const Stored<bfloat16> b = Stored<bfloat16>::Constant(40, 40, bfloat16(1));
  a(3, 5) = std::numeric_limits<bfloat16>::infinity();
  a(37, 2) = std::numeric_limits<bfloat16>::quiet_NaN();
  Eigen::MatrixXf c(40, 40);
  Cpu::gemm(device, 1.0F, ac::view_of(a), ac::view_of(b), 0.0F, ac::view_of(c));
  CHECK(std::isinf(c(3, 7)));
  CHECK(std::isnan(c(37, 39)));
  CHECK(c(4, 7) == 40.0F);
}

TEST_CASE("leading dimensions of bfloat16 operands may be beyond 32 bits, by each way there is") {
  constexpr Index m = 64, k = 40, n = 96;
  ac::Device<ac::Cpu> device;
  device.set_threads(2);
  for (const Way way : {Way::converted, Way::provider}) {
    for (const Index stride : {(Index{1} << 32) + 64, (Index{1} << 31) + 64}) {
      for (const int large : {1, 2, 4}) {
        for (const int orders : {0, 1, 2, 4}) {
          const auto step = [&](int bit) { return (large & bit) != 0 ? stride : Index{100}; };
          const SparseOperand<bfloat16> a(m, k, step(1), (orders & 1) != 0, 1);
          const SparseOperand<bfloat16> b(k, n, step(2), (orders & 2) != 0, 2);
          const SparseOperand<float> c(m, n, step(4), (orders & 4) != 0, 3);
          if (a.view.data == nullptr || b.view.data == nullptr || c.view.data == nullptr) {
            MESSAGE("skipped: the system reserves no such range of addresses");
            return;
          }
          CAPTURE(static_cast<int>(way));
          CAPTURE(stride);
          CAPTURE(large);
          CAPTURE(orders);
          if (!multiply(way, device, 1.0F, a.view, b.view, 0.0F, c.view)) {
            REQUIRE(way == Way::provider);
            MESSAGE("skipped: nobody multiplies bfloat16 here");
            return;
          }
          CHECK_CLOSE(c.value(), a.value() * b.value(),
                      rounding_bound<float>(k, a.value().norm() * b.value().norm()));
        }
      }
    }
  }
}
