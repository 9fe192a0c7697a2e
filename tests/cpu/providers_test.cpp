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
    for (const Shape& shape : shapes) {
      const Index m = shape.m, n = shape.n, k = shape.k;
      for (const int orders : {0, 1, 2, 3}) {
        const MatrixProduct<Scalar> product{numbers.operand(m, k, (orders & 1) != 0, 1),
                                            numbers.operand(k, n, (orders & 2) != 0, 2)};
        CAPTURE(threads);
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        CAPTURE(orders);
        numbers.check(product, [&](Result alpha, Result beta, const View<Result>& c) {
          return Case::Provider::gemm(device, alpha, product.left, product.right, beta, c);
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
  for (const Shape& shape : shapes) {
    const Index m = shape.m, n = shape.n, k = shape.k;
    for (const int orders : {0, 1, 2, 3}) {
      const ProductOperand<Scalar> a(m, k, (orders & 1) != 0, 1);
      const ProductOperand<Scalar> b(k, n, (orders & 2) != 0, 2);
      CAPTURE(m);
      CAPTURE(n);
      CAPTURE(k);
      CAPTURE(orders);
      const auto multiply = [&](double alpha, double beta, View<Result> c) {
        const bool flips = !c.is_column_major();
        const MatrixProduct<Scalar> product{a.view(), b.view()};
        const MatrixProduct<Scalar> its = flips ? product.transposed() : product;
        return Case::Provider::gemm(device, static_cast<Factor>(alpha), its.left, its.right,
                                    static_cast<Factor>(beta), flips ? c.transposed() : c);
      };
      // oneDNN's of bfloat16 takes a beta of 0 and 1, where the processor has such products.
      const bool any_beta = sizeof(Scalar) > 2 || std::string(Case::Provider::name) == "amx";
      if (!check_product<Result>(product_of(a, b), a.exact().norm() * b.exact().norm(), k, multiply,
                                 any_beta)) {
        REQUIRE_FALSE(any_beta);
        MESSAGE("skipped: this processor has no bfloat16 products of oneDNN");
        return;
      }
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
  std::vector<Dense<Result>> results;
  for (const int threads : {1, 2, 3, 5, 2, 1}) {
    ac::Device<ac::Cpu> device;
    device.set_threads(threads);
    Dense<Result>& c = results.emplace_back(300, 200);
    REQUIRE(Case::Provider::gemm(device, Factor{1}, a.view(), b.view(), Factor{0}, ac::view_of(c)));
    CHECK(std::memcmp(c.data(), results.front().data(), sizeof(Result) * 300 * 200) == 0);
  }
}

namespace {

/// Computes nothing, and counts how often it is asked.
template <bool usable, bool able>
struct Stub {
  static constexpr const char* name = able ? "able" : "unable";
  template <class Scalar>
  static constexpr bool supports = true;
  static bool is_usable() { return usable; }
  static inline int asked = 0;
  template <class Scalar>
  static bool gemm(ac::Device<ac::Cpu>&, Scalar, const View<const Scalar>&,
                   const View<const Scalar>&, Scalar, const View<Scalar>&) {
    ++asked;
    return able;
  }
};

} // namespace

TEST_CASE("the first provider that is usable and able computes") {
  using Absent = Stub<false, true>;
  using Unable = Stub<true, false>;
  using Able = Stub<true, true>;
  using List = ProviderList<Absent, Unable, Able>;
  ac::Device<ac::Cpu> device;
  const ProductOperand<float> a(3, 3, false, 1);
  Dense<float> c(3, 3);
  CHECK(std::string(List::name()) == Unable::name);
  CHECK(ProviderList<Absent>::name() == nullptr);
  CHECK(List::gemm(device, 1.0F, a.view(), a.view(), 0.0F, ac::view_of(c)));
  CHECK(Absent::asked == 0);
  CHECK(Unable::asked == 1);
  CHECK(Able::asked == 1);
  CHECK_FALSE(ProviderList<Absent>::gemm(device, 1.0F, a.view(), a.view(), 0.0F, ac::view_of(c)));
}

TEST_CASE_TEMPLATE("the table of kernels names who computes", Scalar, float, double) {
  CHECK(std::string(ac::Kernels<ac::Cpu>::product_provider<Scalar>()) ==
        GemmProviders<Scalar>::name());
}
