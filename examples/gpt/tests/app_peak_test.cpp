// SPDX-License-Identifier: MIT
#include "app/peak.hpp"

#include <doctest/doctest.h>

#include <array>
#include <vector>

using accrete::Index;

namespace {

using Shape = std::array<Index, 3>;

/// The shapes whose rates are asked for.
std::vector<Shape> shapes_of(Index width, Index tokens) {
  std::vector<Shape> shapes;
  (void)gpt::gemm_peak(width, tokens, [&](Index m, Index k, Index n) {
    shapes.push_back({m, k, n});
    return 1.0;
  });
  return shapes;
}

} // namespace

TEST_CASE("peak: no product that is tried is above it, whichever is the fastest") {
  const std::vector<Shape> shapes = shapes_of(384, 1024);
  CHECK(shapes.size() == 5);
  for (const Shape& fastest : shapes) {
    const double peak = gpt::gemm_peak(384, 1024, [&](Index m, Index k, Index n) {
      return Shape{m, k, n} == fastest ? 62.0 : 50.6;
    });
    CHECK(peak == 62.0);
  }
}

TEST_CASE("peak: the model's largest product is tried, as far as longer ones are faster") {
  CHECK(shapes_of(384, 1024).back() == Shape{1536, 384, 1024});
  CHECK(shapes_of(768, 16384).back() == Shape{2048, 768, 2048});
  CHECK(shapes_of(4096, 8).back() == Shape{2048, 2048, 8});
}
