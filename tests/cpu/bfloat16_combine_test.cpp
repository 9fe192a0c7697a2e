// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/bfloat16.hpp>

#include <bit>
#include <cmath>
#include <cstdint>

namespace ac = accrete;
using ac::bfloat16;
using ac::Index;

TEST_CASE("floats are rounded to bfloat16 as Eigen rounds them") {
  for (std::uint32_t high = 0; high < 0x10000; ++high) {
    for (const std::uint32_t low : {0x0U, 0x1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      const float value = std::bit_cast<float>(high << 16 | low);
      const auto bits = ac::detail::rounded<std::uint16_t>(value);
      if (std::isnan(value)) {
        REQUIRE(std::isnan(ac::detail::to_float(bits)));
      } else {
        REQUIRE(bits == std::bit_cast<std::uint16_t>(static_cast<bfloat16>(value)));
      }
    }
  }
}

TEST_CASE_TEMPLATE("sums of bfloat16 matrices in any order agree with the reference", Result, float,
                   bfloat16) {
  using Cpu = ac::detail::Bfloat16Kernels<ac::Cpu>;
  using Reference = ac::detail::Bfloat16Kernels<ac::Reference>;
  using Matrix = Eigen::MatrixX<bfloat16>;
  using Target = Eigen::MatrixX<Result>;
  ac::Device<ac::Cpu> cpu;
  ac::Device<ac::Reference> reference;
  // The last is shared out to threads.
  for (const auto& [rows, cols] : {std::pair<Index, Index>{1, 5}, {33, 70}, {700, 901}}) {
    const Matrix a = random_matrix<float>(rows, cols, 1).template cast<bfloat16>();
    const Matrix a_transposed = a.transpose();
    const Target before = random_matrix<float>(rows, cols, 2).template cast<Result>();
    for (const float beta : {0.0F, 1.0F, -0.5F}) {
      Target expected = before;
      Reference::combine(reference, 1.5F, ac::view_of(a), beta, ac::view_of(expected));
      Target value = before;
      Cpu::combine(cpu, 1.5F, ac::view_of(a), beta, ac::view_of(value));
      CHECK(value == expected);
      value = before;
      Cpu::combine(cpu, 1.5F, ac::view_of(a_transposed).transposed(), beta, ac::view_of(value));
      CHECK(value == expected);
      Target value_transposed = before.transpose();
      Cpu::combine(cpu, 1.5F, ac::view_of(a), beta, ac::view_of(value_transposed).transposed());
      CHECK(Target(value_transposed.transpose()) == expected);
    }
  }
}
