// SPDX-License-Identifier: MIT
#include "product_checks.hpp"
#include "whole_numbers.hpp"

#include <accrete/bfloat16.hpp>

#include <cstring>
#include <string>
#include <vector>

namespace ac = accrete;
using ac::bfloat16;
using ac::Index;
using ac::MatrixProduct;
using ac::View;
using namespace ac::detail;

namespace {

/// A provider, of what it is asked for products.
template <class P, class S, class R = S>
struct Case {
  using Provider = P;
  using Scalar = S;
  using Result = R;
};

#if defined(ACCRETE_USE_ONEDNN)
#define LIBRARY , Case<OnednnGemm, float>
#define BFLOAT16_LIBRARY                                                                           \
  , Case<OnednnBfloat16Gemm, bfloat16, float>, Case<OnednnBfloat16Gemm, bfloat16>
#elif defined(ACCRETE_USE_BLAS)
#define LIBRARY , Case<BlasGemm, float>, Case<BlasGemm, double>
#define BFLOAT16_LIBRARY
#else
#define LIBRARY
#define BFLOAT16_LIBRARY
#endif
#define EVERY_PROVIDER                                                                             \
  Case<EigenGemm, float>, Case<EigenGemm, double>, Case<native::Avx512Gemm, float>,                \
      Case<native::Avx512Gemm, double>, Case<native::AmxGemm, bfloat16, float>,                    \
      Case<native::AmxGemm, bfloat16> LIBRARY BFLOAT16_LIBRARY
#define NATIVE_PROVIDERS                                                                           \
  Case<native::Avx512Gemm, float>, Case<native::Avx512Gemm, double>,                               \
      Case<native::AmxGemm, bfloat16, float>, Case<native::AmxGemm, bfloat16>

template <class Case>
bool is_missing() {
  if (Case::Provider::is_usable()) {
    return false;
  }
  MESSAGE("skipped: this processor has no " << std::string(Case::Provider::name));
  return true;
}

struct Shape {
  Index m, n, k;
};

// Below, at and above the sides of tiles, of panels and of what is packed at a time, whatever the
// scalar; the last are shared out along the rows and along the columns, and in several blocks.
const std::vector<Shape> shapes = {{2, 2, 1},     {8, 8, 8},       {16, 8, 31},     {17, 9, 33},
                                   {32, 32, 64},  {48, 8, 40},     {24, 7, 65},     {49, 70, 100},
                                   {100, 3, 40},  {65, 129, 333},  {48, 31, 1290},  {40, 64, 3000},
                                   {700, 90, 70}, {90, 1100, 515}, {1300, 230, 390}};

} // namespace

TEST_CASE_TEMPLATE("every provider takes in each entry of its operands once", Case,
                   EVERY_PROVIDER) {
  using Scalar = typename Case::Scalar;
  using Result = typename Case::Result;
  if (sizeof(Result) == 2 || is_missing<Case>()) { // bfloat16 rounds whole numbers
    return;
  }
  WholeNumbers<Scalar, Result> numbers(1 << 20);
  for (const int threads : {1, 2, 5}) {
    ac::Device<ac::Cpu> device;
    device.set_threads(threads);
    for (const auto& [m, n, k] : shapes) {
      for (const int orders : {0, 1, 2, 3}) {
        const MatrixProduct<Scalar> product{numbers.operand(m, k, (orders & 1) != 0, 1),
                                            numbers.operand(k, n, (orders & 2) != 0, 2)};
        CAPTURE(threads);
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        CAPTURE(orders);
        numbers.check({product}, [&](Result alpha, Result beta, const View<Result>& c) {
          return Case::Provider::gemm(device, alpha, &product, 1, beta, c);
        });
      }
    }
  }
}

TEST_CASE_TEMPLATE("every provider computes products of any order to the precision of its sums",
                   Case, EVERY_PROVIDER) {
  using Scalar = typename Case::Scalar;
  using Result = typename Case::Result;
  using Factor = accumulator<Scalar>;
  if (is_missing<Case>()) {
    return;
  }
  ac::Device<ac::Cpu> device;
  device.set_threads(2);
  for (const auto& [m, n, k] : shapes) {
    for (const int orders : {0, 1, 2, 3}) {
      const ProductOperand<Scalar> a(m, k, (orders & 1) != 0, 1);
      const ProductOperand<Scalar> b(k, n, (orders & 2) != 0, 2);
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(k);
      CAPTURE(orders);
      check_product<Result>(
          product_of(a, b), a.exact().norm() * b.exact().norm(), k,
          [&](double alpha, double beta, View<Result> c) {
            const MatrixProduct<Scalar> product{a.view(), b.view()};
            const bool flips = !c.is_column_major();
            const MatrixProduct<Scalar> its = flips ? product.transposed() : product;
            return Case::Provider::gemm(device, static_cast<Factor>(alpha), &its, 1,
                                        static_cast<Factor>(beta), flips ? c.transposed() : c);
          });
    }
  }
}

TEST_CASE_TEMPLATE("products of one result are added up before it is stored", Case,
                   NATIVE_PROVIDERS) {
  using Scalar = typename Case::Scalar;
  using Result = typename Case::Result;
  using Factor = accumulator<Scalar>;
  if (is_missing<Case>()) {
    return;
  }
  ac::Device<ac::Cpu> device;
  for (const auto& [m, n, k] : shapes) {
    for (const Index r : {Index{1}, Index{20}, Index{290}}) {
      // Each product in orders of its own; one has no inner index.
      const ProductOperand<Scalar> w(m, k, r == 20, 1);
      const ProductOperand<Scalar> x(k, n, false, 2);
      const ProductOperand<Scalar> u(m, r, r == 290, 3);
      const ProductOperand<Scalar> z(r, n, r != 1, 4);
      const ProductOperand<Scalar> nothing_left(m, 0, false, 5);
      const ProductOperand<Scalar> nothing_right(0, n, false, 6);
      const MatrixProduct<Scalar> products[] = {
          {w.view(), x.view()}, {nothing_left.view(), nothing_right.view()}, {u.view(), z.view()}};
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(k);
      CAPTURE(r);
      const long double size =
          w.exact().norm() * x.exact().norm() + u.exact().norm() * z.exact().norm();
      check_product<Result>(product_of(w, x) + product_of(u, z), size, k + r,
                            [&](double alpha, double beta, View<Result> c) {
                              return ProviderList<typename Case::Provider>::gemm_sum(
                                  device, static_cast<Factor>(alpha), products, 3,
                                  static_cast<Factor>(beta), c);
                            });
    }
  }
}

TEST_CASE_TEMPLATE("products of our own are the same bits whatever the number of threads", Case,
                   NATIVE_PROVIDERS) {
  using Scalar = typename Case::Scalar;
  using Result = typename Case::Result;
  using Factor = accumulator<Scalar>;
  if (is_missing<Case>()) {
    return;
  }
  const ProductOperand<Scalar> a(300, 1500, false, 1);
  const ProductOperand<Scalar> b(1500, 200, false, 2);
  const MatrixProduct<Scalar> product{a.view(), b.view()};
  std::vector<Dense<Result>> results;
  for (const int threads : {1, 2, 3, 5, 2, 1}) {
    ac::Device<ac::Cpu> device;
    device.set_threads(threads);
    Dense<Result>& c = results.emplace_back(300, 200);
    REQUIRE(Case::Provider::gemm(device, Factor{1}, &product, 1, Factor{0}, ac::view_of(c)));
    CHECK(std::memcmp(c.data(), results.front().data(), sizeof(Result) * 300 * 200) == 0);
  }
}

namespace {

/// Computes nothing, and counts how often it is asked.
template <bool usable, bool sums, bool able>
struct Stub {
  static constexpr const char* name = sums ? "adds up" : "one by one";
  static constexpr bool adds_up = sums;
  template <class Scalar>
  static constexpr bool supports = true;
  static bool is_usable() { return usable; }
  static inline int asked = 0;
  template <class Scalar>
  static bool gemm(ac::Device<ac::Cpu>&, Scalar, const MatrixProduct<Scalar>*, int count, Scalar,
                   const View<Scalar>&) {
    asked += count;
    return able;
  }
};

} // namespace

TEST_CASE("the first provider that is usable and able computes; only those that add up, sums") {
  using Absent = Stub<false, true, true>;
  using Unable = Stub<true, false, false>;
  using Able = Stub<true, true, true>;
  using List = ProviderList<Absent, Unable, Able>;
  ac::Device<ac::Cpu> device;
  const ProductOperand<float> a(3, 3, false, 1);
  Dense<float> c(3, 3);
  CHECK(std::string(List::name()) == Unable::name);
  CHECK_FALSE(List::adds_up());
  CHECK(ProviderList<Absent, Able>::adds_up());
  CHECK(ProviderList<Absent>::name() == nullptr);
  CHECK(List::gemm(device, 1.0F, a.view(), a.view(), 0.0F, ac::view_of(c)));
  CHECK(Absent::asked == 0);
  CHECK(Unable::asked == 1);
  CHECK(Able::asked == 1);
  const MatrixProduct<float> products[] = {{a.view(), a.view()}, {a.view(), a.view()}};
  CHECK(List::gemm_sum(device, 1.0F, products, 2, 0.0F, ac::view_of(c)));
  CHECK(Unable::asked == 1);
  CHECK(Able::asked == 3);
  CHECK_FALSE(ProviderList<Absent>::gemm(device, 1.0F, a.view(), a.view(), 0.0F, ac::view_of(c)));
}

TEST_CASE_TEMPLATE("the table of kernels names who computes, and adds up from one side on", Scalar,
                   float, double) {
  using Table = ac::Kernels<ac::Cpu>;
  const Index side = thresholds::sum_side.value;
  const bool adds_up = GemmProviders<Scalar>::adds_up();
  CHECK(std::string(Table::product_provider<Scalar>()) == GemmProviders<Scalar>::name());
  CHECK(adds_up == (product_library<Scalar> == Library::none && native::Avx512Gemm::is_usable()));
  CHECK_FALSE(Table::sums_products<Scalar>(side, side - 1));
  CHECK_FALSE(Table::sums_products<Scalar>(side - 1, side));
  CHECK(Table::sums_products<Scalar>(side, side) == adds_up);
}
