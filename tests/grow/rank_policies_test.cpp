// SPDX-License-Identifier: MIT
#include <accrete/grow/rank_policies.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace rank_by = accrete::rank_by;
using accrete::ArgumentError;
using accrete::ExplainedRatio;
using accrete::Index;
using accrete::NumericError;
using accrete::RankError;

namespace {

using Values = std::vector<double>;

// Squares 16, 4, 4, 1; energies of the tails 25, 9, 5, 1, 0.
const Values example{4, 2, 2, 1};
const Values none;
const Values zeros(3, 0.0);
const Values equal(4, 7.0);

template <class Policy>
void check_refuses_bad_spectra(const Policy& policy) {
  static_assert(accrete::RankPolicy<Policy>);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS((void)policy(Values{2, nan, 1}), NumericError);
  CHECK_THROWS_AS((void)policy(Values{nan}), NumericError);
  CHECK_THROWS_AS((void)policy(Values{infinity, 1}), NumericError);
  CHECK_THROWS_AS((void)policy(Values{1, 2}), ArgumentError);
  CHECK_THROWS_AS((void)policy(Values{1, -1}), ArgumentError);
}

Values scaled(double factor) {
  Values values = example;
  for (double& value : values) {
    value *= factor;
  }
  return values;
}

} // namespace

TEST_CASE("a fixed rank is the given one, or all that there is") {
  CHECK(rank_by::fixed(3)(example) == 3);
  CHECK(rank_by::fixed(9)(example) == 4);
  CHECK(rank_by::fixed(0)(example) == 0);
  CHECK(rank_by::fixed(2)(zeros) == 2);
  CHECK(rank_by::fixed(2)(none) == 0);
  CHECK_THROWS_AS((void)rank_by::fixed(-1), RankError);
}

TEST_CASE("the tail norm keeps the least rank whose error is within the tolerance") {
  // Relative errors of ranks 0 to 4: 1, 0.6, sqrt(0.2), 0.2, 0.
  CHECK(rank_by::tail_norm(1)(example) == 0);
  CHECK(rank_by::tail_norm(0.61)(example) == 1);
  CHECK(rank_by::tail_norm(0.59)(example) == 2);
  CHECK(rank_by::tail_norm(0.45)(example) == 2);
  CHECK(rank_by::tail_norm(0.44)(example) == 3);
  CHECK(rank_by::tail_norm(0.21)(example) == 3);
  CHECK(rank_by::tail_norm(0.19)(example) == 4); // without the last value in the tail: 3
  CHECK(rank_by::tail_norm(0)(example) == 4);
  CHECK(rank_by::tail_norm(0)(Values{3, 0, 0}) == 1);
  CHECK(rank_by::tail_norm(0.5)(equal) == 3); // errors 1, sqrt(3)/2, sqrt(1/2), 1/2
  CHECK(rank_by::tail_norm(0.49)(equal) == 4);
  CHECK(rank_by::tail_norm(0.5)(zeros) == 0);
  CHECK(rank_by::tail_norm(0.5)(none) == 0);
}

TEST_CASE("the explained ratio and the tail norm agree on the energy") {
  for (const double threshold : {0.0, 0.3, 0.63, 0.7, 0.81, 0.9, 0.97, 1.0}) {
    CAPTURE(threshold);
    CHECK(rank_by::explained(threshold)(example) ==
          rank_by::tail_norm(std::sqrt(1 - threshold))(example));
  }
  CHECK(rank_by::explained(0.63)(example) == 1);
  CHECK(rank_by::explained(0.65)(example) == 2);
  CHECK(rank_by::explained(0.9)(zeros) == 0);
  CHECK(rank_by::explained(0.9)(none) == 0);
  CHECK(rank_by::explained(0.75)(equal) == 3);
}

TEST_CASE("the variance reading asks for more where the spectrum is flat") {
  const Values flat(354, 0.7);
  const auto energy = rank_by::explained(0.6, ExplainedRatio::energy);
  const auto variance = rank_by::explained(0.6, ExplainedRatio::variance, 768);
  CHECK(energy(flat) == 213);  // 0.6 * 354 = 212.4
  CHECK(variance(flat) > 254); // which explains 0.544
  CHECK_THROWS_AS((void)rank_by::explained(0.6, ExplainedRatio::variance)(flat), ArgumentError);
}

TEST_CASE("the relative threshold compares with the largest value") {
  CHECK(rank_by::relative_threshold(0.1)(example) == 4);
  CHECK(rank_by::relative_threshold(0.25)(example) == 4);
  CHECK(rank_by::relative_threshold(0.3)(example) == 3);
  CHECK(rank_by::relative_threshold(0.5)(example) == 3);
  CHECK(rank_by::relative_threshold(0.6)(example) == 1);
  CHECK(rank_by::relative_threshold(1)(example) == 1);
  CHECK(rank_by::relative_threshold(1)(equal) == 4);
  CHECK(rank_by::relative_threshold(0)(Values{2, 1, 0}) == 2);
  CHECK(rank_by::relative_threshold(0.1)(zeros) == 0);
  CHECK(rank_by::relative_threshold(0)(zeros) == 0);
  CHECK(rank_by::relative_threshold(0.1)(none) == 0);
}

TEST_CASE("the normalised threshold compares with the range of the values") {
  // (σ - 1) / 3: 1, 1/3, 1/3, 0.
  CHECK(rank_by::normalized_threshold(0.1)(example) == 3);
  CHECK(rank_by::normalized_threshold(0.33)(example) == 3);
  CHECK(rank_by::normalized_threshold(0.34)(example) == 1);
  CHECK(rank_by::normalized_threshold(0)(example) == 4);
  CHECK(rank_by::normalized_threshold(1)(example) == 1);
  CHECK(rank_by::normalized_threshold(0.5)(equal) == 4);
  CHECK(rank_by::normalized_threshold(0.5)(zeros) == 0);
  CHECK(rank_by::normalized_threshold(0.5)(none) == 0);
  // With the zeros of the whole matrix the smallest given value is no longer the smallest.
  CHECK(rank_by::normalized_threshold(0.1)(Values{4, 2, 2, 1, 0}) == 4);
}

TEST_CASE("bounds hold whatever the policy says") {
  CHECK(rank_by::bounded(rank_by::relative_threshold(1), 2, 3)(example) == 2);
  CHECK(rank_by::bounded(rank_by::relative_threshold(0), 2, 3)(example) == 3);
  CHECK(rank_by::bounded(rank_by::relative_threshold(0.5), 0, 9)(example) == 3);
  CHECK(rank_by::bounded(rank_by::tail_norm(0.1), 2, 9)(Values{1}) == 1);
  CHECK(rank_by::bounded(rank_by::tail_norm(0.1), 2, 9)(zeros) == 2);
  const auto every_other = [](std::span<const double> values) {
    return static_cast<Index>(values.size() / 2);
  };
  CHECK(rank_by::bounded(every_other, 0, 9)(example) == 2);
  CHECK_THROWS_AS((void)rank_by::bounded(every_other, 3, 2), RankError);
  CHECK_THROWS_AS((void)rank_by::bounded(every_other, -1, 2), RankError);
}

TEST_CASE("the unit of the values does not matter") {
  for (const double factor : {1e-200, 1.0, 1e200}) {
    CAPTURE(factor);
    CHECK(rank_by::tail_norm(0.44)(scaled(factor)) == 3);
    CHECK(rank_by::explained(0.65)(scaled(factor)) == 2);
    CHECK(rank_by::relative_threshold(0.3)(scaled(factor)) == 3);
    CHECK(rank_by::normalized_threshold(0.1)(scaled(factor)) == 3);
  }
}

TEST_CASE("every policy refuses values that are not a spectrum") {
  check_refuses_bad_spectra(rank_by::fixed(2));
  check_refuses_bad_spectra(rank_by::explained(0.5));
  check_refuses_bad_spectra(rank_by::tail_norm(0.5));
  check_refuses_bad_spectra(rank_by::relative_threshold(0.5));
  check_refuses_bad_spectra(rank_by::normalized_threshold(0.5));
}

TEST_CASE("parameters outside [0, 1] are refused") {
  for (const double bad : {-0.1, 1.1, std::nan("")}) {
    CHECK_THROWS_AS((void)rank_by::explained(bad), ArgumentError);
    CHECK_THROWS_AS((void)rank_by::tail_norm(bad), ArgumentError);
    CHECK_THROWS_AS((void)rank_by::relative_threshold(bad), ArgumentError);
    CHECK_THROWS_AS((void)rank_by::normalized_threshold(bad), ArgumentError);
  }
}
