// SPDX-License-Identifier: MIT
#include "model/attention.hpp"
#include "model/cross_entropy.hpp"
#include "model/embedding.hpp"
#include "model/layer_norm.hpp"
#include "model/operations/gelu.hpp"
#include "model_support.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace gpt;
using gpt::test::gradient_error;
using gpt::test::random_matrix;
using gpt::test::random_tokens;

TEST_CASE("LayerNorm: output has mean zero and variance one before scale and shift") {
  LayerNorm<double> norm(24, true);
  const Matrix<double> x = (random_matrix(24, 7, 1).array() * 3.0 + 5.0).matrix();

  Matrix<double> y;
  norm.forward(x, y);

  for (Index t = 0; t < x.cols(); ++t) {
    CHECK(y.col(t).mean() == doctest::Approx(0).epsilon(1e-12));
    const double variance = (x.col(t).array() - x.col(t).mean()).square().mean();
    CHECK(y.col(t).squaredNorm() / 24 == doctest::Approx(variance / (variance + 1e-5)));
  }
}

TEST_CASE("LayerNorm: the fused residual sum is the plain layer applied to the sum") {
  LayerNorm<float> norm(20, false);
  const auto stream = random_matrix<float>(20, 9, 1);
  const auto branch = random_matrix<float>(20, 9, 2);
  const Matrix<float> sum = stream + branch;

  Matrix<float> x, fused, plain;
  norm.forward(stream, branch, x, fused);
  norm.forward(sum, plain);

  CHECK(x == sum);
  CHECK(fused == plain);
}

TEST_CASE("LayerNorm: gradients agree with finite differences") {
  const Index width = 10, tokens = 70; // more than one piece of the sums over tokens
  for (const bool with_bias : {false, true}) {
    LayerNorm<double> norm(width, with_bias);
    norm.weight = random_matrix(width, 1, 3);
    if (with_bias) {
      norm.bias = random_matrix(width, 1, 4);
    }
    Matrix<double> x = random_matrix(width, tokens, 1);
    const Matrix<double> dy = random_matrix(width, tokens, 2);
    Matrix<double> y, dx = Matrix<double>::Constant(width, tokens, 7.0);

    norm.forward(x, y);
    norm.backward(x, dy, dx, true);
    Matrix<double> twice = dx;
    norm.backward(x, dy, twice);

    const auto loss = [&] {
      norm.forward(x, y);
      return y.cwiseProduct(dy).sum();
    };
    CHECK(twice.isApprox(2 * dx, 1e-14));
    CHECK(gradient_error(x, dx, loss) < 1e-9);
    CHECK(gradient_error(norm.weight, norm.weight_gradient / 2, loss) < 1e-9);
    if (with_bias) {
      CHECK(gradient_error(norm.bias, norm.bias_gradient / 2, loss) < 1e-9);
    }
  }
}

TEST_CASE("GELU: float follows the exact function within its rounding") {
  const Index count = 200001;
  Matrix<float> x(count, 1);
  for (Index i = 0; i < count; ++i) {
    x(i) = static_cast<float>(i - 100000) * 1.4e-4F;
  }

  Matrix<float> y;
  gelu_forward(x, y);
  Matrix<float> slope = Matrix<float>::Ones(count, 1);
  gelu_backward(x, slope);

  double worst = 0, worst_slope = 0, worst_tail = 0;
  for (Index i = 0; i < count; ++i) {
    const double v = x(i);
    const double phi = 0.5 * std::erfc(-v * std::sqrt(0.5));
    const double density = std::exp(-0.5 * v * v) / std::sqrt(2 * M_PI);
    worst = std::max(worst, std::abs(y(i) - v * phi) / std::max(1.0, std::abs(v)));
    worst_slope = std::max(worst_slope, std::abs(slope(i) - (phi + v * density)));
    if (v < 0 && v > -5) {
      worst_tail = std::max(worst_tail, std::abs(y(i) / (v * phi) - 1));
    }
  }
  CHECK(worst < 1.5e-7);
  CHECK(worst_slope < 2.5e-7);
  CHECK(worst_tail < 2e-6); // relative, where 1 + erf would have lost every digit
}

TEST_CASE("GELU: gradient agrees with finite differences") {
  Matrix<double> x = 2 * random_matrix(300, 2, 1); // more than one chunk
  const Matrix<double> dy = random_matrix(300, 2, 2);
  Matrix<double> dx = dy, y;

  gelu_backward(x, dx);

  CHECK(gradient_error(x, dx, [&] {
          gelu_forward(x, y);
          return y.cwiseProduct(dy).sum();
        }) < 1e-9);
}

namespace {

/// Attention as written in a textbook, one query at a time.
Matrix<double> textbook_attention(const Matrix<double>& qkv, Index heads, Index length) {
  const Index width = qkv.rows() / 3, head = width / heads;
  Matrix<double> y = Matrix<double>::Zero(width, qkv.cols());
  for (Index n = 0; n < qkv.cols(); ++n) {
    const Index first = n / length * length;
    for (Index h = 0; h < heads; ++h) {
      const auto query = qkv.col(n).segment(h * head, head);
      Vector<double> weights(n - first + 1);
      for (Index k = first; k <= n; ++k) {
        weights[k - first] =
            std::exp(query.dot(qkv.col(k).segment(width + h * head, head)) / std::sqrt(head));
      }
      weights /= weights.sum();
      for (Index k = first; k <= n; ++k) {
        y.col(n).segment(h * head, head) +=
            weights[k - first] * qkv.col(k).segment(2 * width + h * head, head);
      }
    }
  }
  return y;
}

} // namespace

TEST_CASE("Attention: equals the textbook's formula for lengths around the block") {
  for (const Index length : {1, 2, 7, 63, 64, 65, 130}) {
    CAPTURE(length);
    const Index heads = 2, width = 8, batch = 2;
    const auto qkv = random_matrix(3 * width, batch * length, 5);
    CausalAttention<double> attention(heads);

    Matrix<double> y, scratch;
    attention.forward(qkv, length, y, scratch);

    const auto expected = textbook_attention(qkv, heads, length);
    CHECK((y - expected).norm() < 1e-13 * expected.norm());

    Matrix<float> single, single_scratch;
    CausalAttention<float> single_attention(heads);
    single_attention.forward(qkv.cast<float>(), length, single, single_scratch);
    CHECK((single.cast<double>() - expected).norm() < 1e-6 * expected.norm());
  }
}

TEST_CASE("Attention: gradient agrees with finite differences") {
  for (const Index length : {5, 70}) {
    CAPTURE(length);
    const Index heads = 2, width = 4, batch = 2;
    Matrix<double> qkv = random_matrix(3 * width, batch * length, 6);
    const auto dy = random_matrix(width, batch * length, 7);
    CausalAttention<double> attention(heads);
    Matrix<double> y, dqkv, scratch;

    attention.forward(qkv, length, y, scratch);
    attention.backward(qkv, y, dy, length, dqkv, scratch);

    CHECK(gradient_error(qkv, dqkv, [&] {
            attention.forward(qkv, length, y, scratch);
            return y.cwiseProduct(dy).sum();
          }) < 1e-9);
  }
}

TEST_CASE("Attention: large scores do not overflow") {
  const Index length = 20;
  Matrix<float> qkv = random_matrix<float>(12, length, 8);
  qkv.topRows(8) *= 200.0F;
  CausalAttention<float> attention(1);

  Matrix<float> y, dqkv, scratch;
  attention.forward(qkv, length, y, scratch);
  attention.backward(qkv, y, y, length, dqkv, scratch);

  CHECK(y.allFinite());
  CHECK(dqkv.allFinite());
}

TEST_CASE("Cross-entropy: uniform logits give log V") {
  CrossEntropy<double> loss;
  const Matrix<double> logits = Matrix<double>::Constant(65, 12, 3.5);

  Matrix<double> gradient;
  CHECK(loss.forward(logits, random_tokens(12, 65, 1), gradient) ==
        doctest::Approx(std::log(65.0)).epsilon(1e-14));
  CHECK(gradient.colwise().sum().norm() < 1e-15);
}

TEST_CASE("Cross-entropy: gradient agrees with finite differences") {
  CrossEntropy<double> loss;
  Matrix<double> logits = 3 * random_matrix(11, 9, 1), gradient, ignored;
  const auto targets = random_tokens(9, 11, 2);

  loss.forward(logits, targets, gradient);

  CHECK(gradient_error(logits, gradient, [&] { return loss.forward(logits, targets, ignored); }) <
        1e-9);
}

TEST_CASE("Cross-entropy: against smoothed targets the gradient is that of their loss") {
  const double smoothing = 0.3;
  const Index V = 11, N = 9;
  CrossEntropy<double> loss;
  Matrix<double> logits = 3 * random_matrix(V, N, 1), gradient, ignored;
  const auto targets = random_tokens(N, V, 2);
  const double plain = loss.forward(logits, targets, ignored);
  CHECK(loss.forward(logits, targets, gradient, smoothing) == plain);
  const auto smoothed = [&] { // (1 - δ) of each target and δ of the mean over all of them
    double sum = (1 - smoothing) * loss.forward(logits, targets, ignored);
    for (int i = 0; i < V; ++i) {
      sum += smoothing / V * loss.forward(logits, std::vector<int>(N, i), ignored);
    }
    return sum;
  };
  CHECK(gradient_error(logits, gradient, smoothed) < 1e-9);
}

TEST_CASE("Embedding: backward adds a token's gradients wherever it stands") {
  const Index width = 5, length = 4, batch = 2;
  Embedding<double> embedding(width, 3, length);
  const std::vector<int> ids{0, 1, 0, 2, 2, 2, 1, 0};
  const auto dx = random_matrix(width, batch * length, 1);

  embedding.backward(ids, length, dx);

  CHECK((embedding.tokens_gradient.col(0) - (dx.col(0) + dx.col(2) + dx.col(7))).norm() < 1e-14);
  CHECK((embedding.tokens_gradient.col(1) - (dx.col(1) + dx.col(6))).norm() < 1e-14);
  CHECK((embedding.positions_gradient.col(3) - (dx.col(3) + dx.col(7))).norm() < 1e-14);
}
