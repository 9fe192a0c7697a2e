// SPDX-License-Identifier: MIT
#include "comma_locale.hpp"

#include <accrete/plan/measured_model.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

using accrete::Index;
using accrete::Kernel;
using accrete::KernelCall;
using accrete::MeasuredModel;
using accrete::ScalarType;
constexpr auto column_major = accrete::Order::column_major;
constexpr auto row_major = accrete::Order::row_major;

namespace {

/// Times that are products of powers of the sizes, which the interpolation must hit everywhere.
MeasuredModel::Table power_law(double factor) {
  MeasuredModel::Table table;
  const auto power = [](Index size, double exponent) {
    return std::pow(static_cast<double>(size), exponent);
  };
  constexpr std::size_t points = MeasuredModel::points;
  constexpr std::size_t vector_points = MeasuredModel::vector_points;
  constexpr std::size_t product_points = MeasuredModel::product_points;
  for (std::size_t odd = 0; odd < 2; ++odd) {
    const auto& sides = MeasuredModel::product_sides[odd];
    const auto& vectors = MeasuredModel::vector_sides[odd];
    const double slower = odd == 0 ? factor : 7 * factor;
    for (std::size_t order = 0; order < 3; ++order) {
      for (std::size_t i = 0; i < MeasuredModel::products; ++i) {
        table.gemm[odd][order][i] =
            slower * (1.0 + static_cast<double>(order)) *
            power(sides[i / product_points / product_points], 1.0) *
            power(MeasuredModel::product_columns[i / product_points % product_points], 0.8) *
            power(sides[i % product_points], 0.9);
      }
    }
    for (std::size_t order = 0; order < 2; ++order) {
      for (std::size_t i = 0; i < vector_points * vector_points; ++i) {
        table.gemv[odd][order][i] = slower * (1.0 + static_cast<double>(order)) *
                                    power(vectors[i / vector_points], 1.1) *
                                    power(vectors[i % vector_points], 0.7);
      }
    }
  }
  for (std::size_t i = 0; i < points; ++i) {
    for (std::size_t order = 0; order < 2; ++order) {
      table.combine[order][i] =
          (1.0 + static_cast<double>(order)) * factor * power(MeasuredModel::entry_counts[i], 1.0);
      table.accumulate[order][i] = 2 * table.combine[order][i];
    }
    table.fill[i] = 0.5 * table.combine[0][i];
  }
  for (std::size_t i = 0; i < MeasuredModel::read_bytes.size(); ++i) {
    for (std::size_t j = 0; j < MeasuredModel::working_sets.size(); ++j) {
      table.reads[i][j] =
          factor * power(MeasuredModel::read_bytes[i], 1.0) * (1.0 + static_cast<double>(j));
    }
  }
  table.step = 1000 * factor;
  return table;
}

constexpr ScalarType scalars[] = {ScalarType::bfloat, ScalarType::float32, ScalarType::float64};

/// Of bfloat16, float and double, each with prices of its own.
MeasuredModel three_power_laws() {
  return {power_law(0.25e-12), power_law(1e-12), power_law(3e-12)};
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
  const MeasuredModel model = three_power_laws();
  for (const Index size : {1, 4, 7, 100, 1024, 5000, 20000}) {
    CAPTURE(size);
    const auto n = static_cast<double>(size);
    for (const ScalarType scalar : scalars) {
      const int bytes = accrete::scalar_bytes(scalar);
      const double factor = bytes == 2 ? 0.25e-12 : bytes == 4 ? 1e-12 : 3e-12;
      const double of_sum = bytes == 2 ? 4 : 1; // bfloat16 products are added up in float
      const auto check = [&](const KernelCall& call, double expected) {
        CHECK(model.seconds(call) / factor == doctest::Approx(1000 + expected).epsilon(1e-9));
      };
      const double odd = size * bytes % 64 == 0 ? 1 : 7;
      check({Kernel::gemm, size, 64, 9, false, scalar},
            odd * n * std::pow(64, 0.8) * std::pow(9, 0.9));
      check({Kernel::gemm, 32, size, 50, false, scalar}, 32 * std::pow(n, 0.8) * std::pow(50, 0.9));
      const double product = 64 * std::pow(70, 0.8) * std::pow(n, 0.9);
      check({Kernel::gemm, 64, 70, size, false, scalar}, product);
      check({Kernel::gemm, 64, 70, size, false, scalar, row_major}, odd * 2 * product);
      check({Kernel::gemm, 64, 70, size, false, scalar, column_major, row_major}, 3 * product);
      // No faster than reading and writing the result.
      check({Kernel::gemm, 320, size, 1, true, scalar},
            std::max(320 * std::pow(n, 0.8), of_sum * 2 * 320 * n));
      const double vector = std::pow(n, 1.1) * std::pow(320, 0.7);
      check({Kernel::gemv, size, 1, 320, false, scalar}, odd * vector);
      // The matrix of a row times a matrix is read along its rows; one entry is a column.
      check({Kernel::gemv, 1, size, 320, false, scalar}, (size == 1 ? 7 : 2) * vector);
      check({Kernel::gemv, size, 1, 320, false, scalar, row_major}, 2 * vector);
      check({Kernel::gemv, 1, size, 320, false, scalar, column_major, row_major}, odd * vector);
      check({Kernel::combine, size, 10, 1, false, scalar}, 10 * n);
      check({Kernel::combine, size, 10, 1, true, scalar}, 20 * n);
      check({Kernel::combine, size, 10, 1, false, scalar, row_major}, 20 * n);
      check({Kernel::combine, size, 10, 1, true, scalar, row_major}, 40 * n);
      check({Kernel::fill, 10, size, 1, false, scalar}, 5 * n);
    }
  }
  CHECK(model.seconds({Kernel::gemm, 0, 5, 5}) == 0);
}

TEST_CASE("a call takes longer where its expression displaces its operands from a cache") {
  const MeasuredModel model = three_power_laws();
  // A copy of that many columns of 64 doubles, or 256 of bfloat16; for each byte, the seconds that
  // it takes longer.
  const auto longer = [&](Index columns, bool accumulate, Index working_set,
                          ScalarType scalar = ScalarType::float64) {
    const KernelCall alone{
        Kernel::combine, 512 / accrete::scalar_bytes(scalar), columns, 1, accumulate, scalar};
    KernelCall call = alone;
    call.working_set = working_set;
    return (model.seconds(call) - model.seconds(alone)) /
           (scalar == ScalarType::float64 ? 3e-12 : 0.25e-12) / (2 * 512.0 * columns);
  };
  const auto near = [](double value) { return doctest::Approx(value).epsilon(1e-6); };
  for (const bool accumulate : {false, true}) {
    CHECK(longer(64, accumulate, 64 << 10) == 0); // nothing else
    CHECK(longer(64, accumulate, 256 << 10) == 0);
    CHECK(longer(64, accumulate, 4 << 20) == near(4));
    CHECK(longer(64, accumulate, Index{1} << 40) == near(8));
    CHECK(longer(64, accumulate, 4 << 20, ScalarType::bfloat) == near(4));
    CHECK(longer(1024, accumulate, 4 << 20) == near(2)); // alone it needs 1 MiB itself
    CHECK(longer(512, accumulate, 4 << 20) == near(3));  // between 256 KiB and 1 MiB
    CHECK(longer(1, accumulate, 1 << 20) == near(2));    // below the least size
  }
}

TEST_CASE("the text of a model gives the model back") {
  const MeasuredModel model = three_power_laws();
  const MeasuredModel copy = MeasuredModel::parse(model.text());
  CHECK(copy.text() == model.text());
  for (const ScalarType scalar : scalars) {
    const KernelCall call{Kernel::gemm, 300, 200, 100, false, scalar};
    CHECK(copy.seconds(call) / model.seconds(call) == doctest::Approx(1).epsilon(1e-3));
  }
}

TEST_CASE("texts and times that are no cost model are refused") {
  const std::string text = three_power_laws().text();
  CHECK(refusal("").find("begin") != std::string::npos);
  CHECK(refusal("accrete cost model 1\n1\n").find("another version") != std::string::npos);
  CHECK(refusal(text.substr(0, text.size() / 2)).find("ends too early") != std::string::npos);
  CHECK(refusal(text.substr(0, 40) + "x" + text.substr(40)).find("number") != std::string::npos);
  CHECK(refusal(text + "1e-6\n").find("goes on") != std::string::npos);
  const MeasuredModel::Table good = power_law(1e-12);
  for (const double time : {0.0, -1e-6, std::nan("")}) {
    MeasuredModel::Table bad = good;
    bad.gemv[0][1][3] = time;
    CHECK_THROWS_AS(MeasuredModel(bad, good, good), accrete::ArgumentError);
    CHECK_THROWS_AS(MeasuredModel(good, bad, good), accrete::ArgumentError);
    CHECK_THROWS_AS(MeasuredModel(good, good, bad), accrete::ArgumentError);
  }
}

TEST_CASE("the text of a model does not depend on the locale") {
  const MeasuredModel model = three_power_laws();
  const std::string text = model.text();
  const CommaLocale locale;
  CHECK(model.text() == text);
  CHECK(MeasuredModel::parse(text).text() == text);
  const MeasuredModel::Table good = power_law(1e-12);
  MeasuredModel::Table bad = good;
  bad.step = -1.0000001;
  CHECK_THROWS_WITH_AS(
      MeasuredModel(good, bad, good),
      "accrete: MeasuredModel: a time of -1.0000001 s is not positive; calibrate anew",
      accrete::ArgumentError);
}
