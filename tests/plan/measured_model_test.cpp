// SPDX-License-Identifier: MIT
#include <accrete/plan/measured_model.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>

using accrete::Index;
using accrete::Kernel;
using accrete::KernelCall;
using accrete::MeasuredModel;

namespace {

/// Times that are products of powers of the sizes, which the interpolation must hit everywhere.
MeasuredModel::Table power_law(double factor) {
  MeasuredModel::Table table;
  const auto power = [](Index size, double exponent) {
    return std::pow(static_cast<double>(size), exponent);
  };
  constexpr std::size_t points = MeasuredModel::points;
  for (std::size_t i = 0; i < points; ++i) {
    for (std::size_t j = 0; j < points; ++j) {
      for (std::size_t l = 0; l < points; ++l) {
        table.gemm[(i * points + j) * points + l] = factor *
                                                    power(MeasuredModel::product_sides[i], 1.0) *
                                                    power(MeasuredModel::product_sides[j], 0.8) *
                                                    power(MeasuredModel::product_sides[l], 0.9);
      }
      table.gemv[i * points + j] = factor * power(MeasuredModel::vector_sides[i], 1.1) *
                                   power(MeasuredModel::vector_sides[j], 0.7);
    }
    table.combine[i] = factor * power(MeasuredModel::entry_counts[i], 1.0);
    table.accumulate[i] = 2 * table.combine[i];
    table.fill[i] = 0.5 * table.combine[i];
  }
  return table;
}

std::string refusal(const std::string& text) {
  try {
    static_cast<void>(MeasuredModel::parse(text));
  } catch (const accrete::ArgumentError& error) {
    return error.what();
  }
  return "";
}

} // namespace

TEST_CASE("between and beyond the measured sizes, times follow a power law") {
  const MeasuredModel model(power_law(1e-12), power_law(3e-12));
  for (const Index size : {1, 4, 7, 100, 1024, 5000, 20000}) {
    CAPTURE(size);
    const auto n = static_cast<double>(size);
    for (const int bytes : {4, 8}) {
      const double factor = bytes == 4 ? 1e-12 : 3e-12;
      const auto check = [&](const KernelCall& call, double expected) {
        CHECK(model.seconds(call) == doctest::Approx(factor * expected).epsilon(1e-9));
      };
      check({Kernel::gemm, size, 64, 9, false, bytes}, n * std::pow(64, 0.8) * std::pow(9, 0.9));
      check({Kernel::gemm, 30, size, 50, false, bytes}, 30 * std::pow(n, 0.8) * std::pow(50, 0.9));
      check({Kernel::gemm, 3, 70, size, false, bytes}, 3 * std::pow(70, 0.8) * std::pow(n, 0.9));
      const double vector = std::pow(n, 1.1) * std::pow(300, 0.7);
      check({Kernel::gemv, size, 1, 300, false, bytes}, vector);
      check({Kernel::gemv, 1, size, 300, false, bytes}, vector);
      check({Kernel::combine, size, 10, 1, false, bytes}, 10 * n);
      check({Kernel::combine, size, 10, 1, true, bytes}, 20 * n);
      check({Kernel::fill, 10, size, 1, false, bytes}, 5 * n);
    }
  }
  CHECK(model.seconds({Kernel::gemm, 0, 5, 5}) == 0);
}

TEST_CASE("the text of a model gives the model back") {
  const MeasuredModel model(power_law(1e-12), power_law(3e-12));
  const MeasuredModel copy = MeasuredModel::parse(model.text());
  CHECK(copy.text() == model.text());
  const KernelCall call{Kernel::gemm, 300, 200, 100, false, 8};
  CHECK(copy.seconds(call) == doctest::Approx(model.seconds(call)).epsilon(1e-3));
}

TEST_CASE("texts and times that are no cost model are refused") {
  const std::string text = MeasuredModel(power_law(1e-12), power_law(3e-12)).text();
  CHECK(refusal("").find("begin") != std::string::npos);
  CHECK(refusal("accrete cost model 2\n1\n").find("another version") != std::string::npos);
  CHECK(refusal(text.substr(0, text.size() / 2)).find("ends too early") != std::string::npos);
  CHECK(refusal(text.substr(0, 40) + "x" + text.substr(40)).find("number") != std::string::npos);
  MeasuredModel::Table bad = power_law(1e-12);
  bad.gemv[3] = 0;
  CHECK_THROWS_AS(MeasuredModel(bad, bad), accrete::ArgumentError);
  bad.gemv[3] = std::nan("");
  CHECK_THROWS_AS(MeasuredModel(bad, bad), accrete::ArgumentError);
}
