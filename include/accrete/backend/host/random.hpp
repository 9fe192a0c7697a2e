// SPDX-License-Identifier: MIT
#pragma once

#include <accrete/backend/view.hpp>

#include <cmath>
#include <cstdint>
#include <numbers>

ACCRETE_BEGIN_NAMESPACE

namespace detail {

struct RandomWords {
  std::uint32_t word[4];
};
struct RandomPair {
  double first;
  double second;
};

/// Philox4x32-10 (Salmon et al., SC 2011): four random words from a counter and a key.
ACCRETE_DEVICE_TOO inline RandomWords philox(std::uint64_t counter, std::uint64_t seed) noexcept {
  RandomWords x{
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0U, 0U}};
  auto key0 = static_cast<std::uint32_t>(seed);
  auto key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x.word[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * x.word[2];
    x = {{static_cast<std::uint32_t>(p1 >> 32) ^ x.word[1] ^ key0, static_cast<std::uint32_t>(p1),
          static_cast<std::uint32_t>(p0 >> 32) ^ x.word[3] ^ key1, static_cast<std::uint32_t>(p0)}};
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return x;
}

/// 53 random bits as a number in (0, 1).
ACCRETE_DEVICE_TOO inline double unit_uniform(std::uint32_t high, std::uint32_t low) noexcept {
  const std::uint64_t bits = (std::uint64_t{high} << 32 | low) >> 11;
  return (static_cast<double>(bits) + 0.5) * 0x1.0p-53;
}

/// Two uniform numbers in (0, 1).
ACCRETE_DEVICE_TOO inline RandomPair uniform_pair(std::uint64_t counter,
                                                  std::uint64_t seed) noexcept {
  const RandomWords words = philox(counter, seed);
  return {unit_uniform(words.word[0], words.word[1]), unit_uniform(words.word[2], words.word[3])};
}

/// Two normal numbers, by Box and Muller's transform.
ACCRETE_DEVICE_TOO inline RandomPair normal_pair(std::uint64_t counter, std::uint64_t seed,
                                                 double stddev) noexcept {
  const RandomPair uniform = uniform_pair(counter, seed);
  const double radius = stddev * std::sqrt(-2.0 * std::log(uniform.first));
  const double angle = 2.0 * std::numbers::pi * uniform.second;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// Random fills of the host backends. Entry (i, j) depends on the seed and on i + j * rows alone,
/// so the numbers are the same for every thread count, stride and storage order.
struct HostRandom {
  /// c ~ N(0, stddev^2).
  template <class Device, class Scalar>
  static void fill_normal(Device&, std::uint64_t seed, double stddev, View<Scalar> c) {
    fill_pairs(c, [=](std::uint64_t counter) { return normal_pair(counter, seed, stddev); });
  }

  /// c uniform in (low, high).
  template <class Device, class Scalar>
  static void fill_uniform(Device&, std::uint64_t seed, double low, double high, View<Scalar> c) {
    fill_pairs(c, [=](std::uint64_t counter) {
      const RandomPair pair = uniform_pair(counter, seed);
      return RandomPair{low + (high - low) * pair.first, low + (high - low) * pair.second};
    });
  }

 private:
  template <class Scalar, class Generate>
  static void fill_pairs(View<Scalar> c, Generate generate) {
    const Index count = c.size();
    for (Index k = 0; k < count; k += 2) {
      const RandomPair pair = generate(static_cast<std::uint64_t>(k / 2));
      c(k % c.rows, k / c.rows) = static_cast<Scalar>(pair.first);
      if (k + 1 < count) {
        c((k + 1) % c.rows, (k + 1) / c.rows) = static_cast<Scalar>(pair.second);
      }
    }
  }
};

} // namespace detail

ACCRETE_END_NAMESPACE
