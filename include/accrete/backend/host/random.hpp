// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

/// Philox4x32-10 (Salmon et al., SC 2011): four random words from a counter and a key.
inline std::array<std::uint32_t, 4> philox(std::uint64_t counter, std::uint64_t seed) noexcept {
  std::array<std::uint32_t, 4> x{static_cast<std::uint32_t>(counter),
                                 static_cast<std::uint32_t>(counter >> 32), 0U, 0U};
  auto key0 = static_cast<std::uint32_t>(seed);
  auto key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * x[2];
    x = {static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ key0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ key1, static_cast<std::uint32_t>(p0)};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return x;
}

/// Two uniform numbers in (0, 1) with 53 random bits each.
inline std::array<double, 2> uniform_pair(std::uint64_t counter, std::uint64_t seed) noexcept {
  const auto words = philox(counter, seed);
  const auto to_unit = [](std::uint32_t high, std::uint32_t low) {
    const std::uint64_t bits = (std::uint64_t{high} << 32 | low) >> 11;
    return (static_cast<double>(bits) + 0.5) * 0x1.0p-53;
  };
  return {to_unit(words[0], words[1]), to_unit(words[2], words[3])};
}

/// Random fills of the host backends. Entry (i, j) depends on the seed and on i + j * rows alone,
/// so the numbers are the same for every thread count, stride and storage order.
struct HostRandom {
  /// c ~ N(0, stddev^2), by Box and Muller's transform.
  template <class Device, class Scalar>
  static void fill_normal(Device&, std::uint64_t seed, double stddev, View<Scalar> c) {
    fill_pairs(c, [=](std::uint64_t counter) {
      const auto [u, v] = uniform_pair(counter, seed);
      const double radius = stddev * std::sqrt(-2.0 * std::log(u));
      const double angle = 2.0 * std::numbers::pi * v;
      return std::array{radius * std::cos(angle), radius * std::sin(angle)};
    });
  }

  /// c uniform in (low, high).
  template <class Device, class Scalar>
  static void fill_uniform(Device&, std::uint64_t seed, double low, double high, View<Scalar> c) {
    fill_pairs(c, [=](std::uint64_t counter) {
      const auto [u, v] = uniform_pair(counter, seed);
      return std::array{low + (high - low) * u, low + (high - low) * v};
    });
  }

 private:
  template <class Scalar, class Generate>
  static void fill_pairs(View<Scalar> c, Generate generate) {
    const Index count = c.size();
    for (Index k = 0; k < count; k += 2) {
      const auto pair = generate(static_cast<std::uint64_t>(k / 2));
      c(k % c.rows, k / c.rows) = static_cast<Scalar>(pair[0]);
      if (k + 1 < count) {
        c((k + 1) % c.rows, (k + 1) / c.rows) = static_cast<Scalar>(pair[1]);
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
