// SPDX-License-Identifier: MIT
// Compiled with -ffast-math, where std::isfinite may be always true.
#include "model/finite.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

template <class Scalar>
Scalar of_bits(typename accrete::detail::FloatBits<Scalar>::Bits bits) {
  return std::bit_cast<Scalar>(bits);
}

template <class Scalar>
void check_all(Scalar bad) {
  std::vector<Scalar> values(12, std::numeric_limits<Scalar>::max());
  const auto block = [&] {
    return accrete::View<const Scalar>{values.data(), 3, 3, 4, accrete::Order::column_major};
  };
  values[3] = values[7] = values[11] = bad; // between the columns
  CHECK(gpt::all_finite(block()));
  for (const std::size_t place : {0, 5, 10}) {
    values[place] = bad;
    CHECK_FALSE(gpt::all_finite(block()));
    values[place] = 0;
  }
}

} // namespace

TEST_CASE("finite: NaN and infinities are found by their bits") {
  constexpr std::uint64_t exponent = 0x7ffULL << 52U;
  for (const std::uint64_t bits : {exponent, exponent | 1U, ~std::uint64_t{0}, exponent >> 63U}) {
    CHECK(gpt::is_finite(of_bits<double>(bits)) == ((bits & exponent) != exponent));
  }
  CHECK_FALSE(gpt::is_finite(of_bits<float>(0xff800000U)));
  CHECK_FALSE(gpt::is_finite(of_bits<float>(0x7fc00000U)));
  CHECK(gpt::is_finite(of_bits<float>(0x00000001U)));
  CHECK(gpt::is_finite(-std::numeric_limits<float>::max()));
  check_all(of_bits<float>(0x7f800000U));
  check_all(of_bits<double>(exponent | 5U));
}
