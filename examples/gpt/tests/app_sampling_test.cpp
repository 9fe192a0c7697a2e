// SPDX-License-Identifier: MIT
#include "app/sampling.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

TEST_CASE("sampling: temperature 0 takes the likeliest token") {
  const std::vector<double> logits{0.1, 2.0, 1.9};
  CHECK(gpt::choose_token(logits, 0, 0, 0.999) == 1);
}

TEST_CASE("sampling: tokens come with the probabilities of the softmax") {
  const std::vector<double> logits{std::log(1.0), std::log(2.0), std::log(5.0)};
  std::vector<int> counts(3);
  for (int i = 0; i < 8000; ++i) {
    ++counts[static_cast<std::size_t>(gpt::choose_token(logits, 1, 0, (i + 0.5) / 8000))];
  }
  CHECK(counts == std::vector<int>{1000, 2000, 5000});
}

TEST_CASE("sampling: a low temperature sharpens and top-k cuts off") {
  const std::vector<double> logits{std::log(1.0), std::log(2.0), std::log(4.0)};
  int likeliest = 0;
  for (int i = 0; i < 2100; ++i) {
    likeliest += gpt::choose_token(logits, 0.5, 0, (i + 0.5) / 2100) == 2 ? 1 : 0;
    CHECK(gpt::choose_token(logits, 1, 2, (i + 0.5) / 2100) != 0);
  }
  CHECK(likeliest == 1600);
}

TEST_CASE("sampling: logits of any size do not overflow") {
  CHECK(gpt::choose_token(std::vector<double>{-1e30, 1e30}, 1, 0, 0.5) == 1);
}
