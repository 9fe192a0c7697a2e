// SPDX-License-Identifier: MIT
// Each operation on the GPU of the tests, against the host's.
#include "cuda_support.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace gpt;
using namespace gpt::test;

namespace {

using Host = Operations<accrete::Cpu>;
using Device = Operations<Cuda>;
using OnHost = Matrix<float>;
using OnDevice = Matrix<float, Cuda>;

struct Shape {
  Index width, heads, length, batch;
  [[nodiscard]] Index tokens() const { return length * batch; }
};
/// Odd sizes, single heads and tokens, lengths around the blocks of queries, more heads than
/// sequences and fewer.
constexpr Shape shapes[] = {{1, 1, 1, 1},  {6, 1, 1, 3},    {8, 2, 5, 3},    {7, 7, 3, 2},
                            {33, 3, 9, 1}, {12, 3, 130, 2}, {10, 2, 129, 3}, {4, 1, 300, 1}};

OnDevice on_device(const OnHost& matrix) { return accrete::from_host<Cuda>(matrix); }

/// The device's result differs from the host's by rounding: `terms` are added for an entry.
template <class Expected>
void check_close(const OnDevice& result, const Expected& expected, Index terms) {
  const double epsilon = std::numeric_limits<float>::epsilon();
  const OnHost value = accrete::to_host(result);
  REQUIRE(value.rows() == expected.rows());
  REQUIRE(value.cols() == expected.cols());
  CHECK((value - expected).norm() <=
        epsilon * static_cast<double>(16 + terms) * (expected.norm() + 1e-3));
}

template <class Function>
void for_each_shape(const Function& function) {
  for (unsigned seed = 0; seed < 4; ++seed) {
    fake_cuda::seed(seed);
    for (const Shape& shape : shapes) {
      CAPTURE(seed);
      CAPTURE(shape.width);
      CAPTURE(shape.heads);
      CAPTURE(shape.length);
      CAPTURE(shape.batch);
      function(shape);
    }
  }
}

} // namespace

TEST_CASE("cuda operations: embedding and its gradient, to the last bit") {
  for_each_shape([](const Shape& s) {
    const Index vocabulary = 5;
    const OnHost tokens = random_matrix<float>(s.width, vocabulary, 1);
    const OnHost positions = random_matrix<float>(s.width, s.length + 2, 2);
    const auto ids = random_tokens(s.tokens(), vocabulary, 3);
    OnHost x;
    OnDevice device_x;
    Host::embed<float>(tokens, positions, ids, s.length, x);
    Device::embed<float>(on_device(tokens), on_device(positions), ids, s.length, device_x);
    CHECK(accrete::to_host(device_x) == x);

    const OnHost dx = random_matrix<float>(s.width, s.tokens(), 4);
    OnHost dtokens = tokens;
    OnHost dpositions = positions;
    OnDevice device_dtokens = on_device(tokens);
    OnDevice device_dpositions = on_device(positions);
    Host::embed_gradient<float>(ids, s.length, dx, dtokens, dpositions);
    Device::embed_gradient<float>(ids, s.length, on_device(dx), device_dtokens, device_dpositions);
    CHECK(accrete::to_host(device_dtokens) == dtokens);
    CHECK(accrete::to_host(device_dpositions) == dpositions);
  });
}

TEST_CASE("cuda operations: LayerNorm with and without shifts, of a sum, and its gradient") {
  for_each_shape([](const Shape& s) {
    const OnHost stream = random_matrix<float>(s.width, s.tokens(), 1);
    const OnHost branch = random_matrix<float>(s.width, s.tokens(), 2);
    const OnHost dy = random_matrix<float>(s.width, s.tokens(), 3);
    const OnHost start = random_matrix<float>(s.width, s.tokens(), 4);
    for (const bool with_bias : {false, true}) {
      Norm<float, accrete::Cpu> norm;
      norm.weight = random_matrix<float>(s.width, 1, 5);
      norm.weight_gradient = random_matrix<float>(s.width, 1, 6);
      norm.bias = random_matrix<float>(with_bias ? s.width : 0, 1, 7);
      norm.bias_gradient = norm.bias;
      Norm<float, Cuda> device_norm;
      device_norm.weight = on_device(norm.weight);
      device_norm.weight_gradient = on_device(norm.weight_gradient);
      device_norm.bias = on_device(norm.bias);
      device_norm.bias_gradient = on_device(norm.bias_gradient);

      OnHost x, y;
      OnDevice device_x, device_y;
      Host::add_and_normalise<float>(norm, stream, branch, x, y);
      Device::add_and_normalise<float>(device_norm, on_device(stream), on_device(branch), device_x,
                                       device_y);
      CHECK(accrete::to_host(device_x) == x);
      // A deviation near zero, of one channel, multiplies the rounding of the mean.
      const Index terms = s.width == 1 ? 1000 : 8 * s.width;
      check_close(device_y, y, terms);

      for (const bool overwrite : {true, false}) {
        OnHost dx = start;
        OnDevice device_dx = on_device(start);
        Host::normalise_gradient<float>(norm, x, dy, overwrite, dx);
        Device::normalise_gradient<float>(device_norm, device_x, on_device(dy), overwrite,
                                          device_dx);
        check_close(device_dx, dx, 8 * terms);
      }
      check_close(device_norm.weight_gradient, norm.weight_gradient, terms + s.tokens());
      check_close(device_norm.bias_gradient, norm.bias_gradient, s.tokens());
    }
  });
}

TEST_CASE("cuda operations: GELU and its gradient") {
  for_each_shape([](const Shape& s) {
    const OnHost x = 3 * random_matrix<float>(s.width, s.tokens(), 1);
    OnHost y;
    OnDevice device_y;
    Host::gelu<float>(x, y);
    Device::gelu<float>(on_device(x), device_y);
    check_close(device_y, y, 0);

    OnHost dy = random_matrix<float>(s.width, s.tokens(), 2);
    OnDevice device_dy = on_device(dy);
    Host::gelu_gradient<float>(x, dy);
    Device::gelu_gradient<float>(on_device(x), device_dy);
    check_close(device_dy, dy, 0);
  });
}

TEST_CASE("cuda operations: attention and its gradient") {
  for_each_shape([](const Shape& s) {
    const OnHost qkv = random_matrix<float>(3 * s.width, s.tokens(), 1);
    const OnHost dy = random_matrix<float>(s.width, s.tokens(), 2);
    OnHost y, log_sum, dqkv, scratch;
    OnDevice device_y, device_log_sum, device_dqkv, device_scratch;
    const OnDevice device_qkv = on_device(qkv);
    Host::attention<float>(qkv, s.heads, s.length, y, log_sum, scratch);
    Device::attention<float>(device_qkv, s.heads, s.length, device_y, device_log_sum,
                             device_scratch);
    const Index terms = s.length + s.width / s.heads;
    check_close(device_y, y, terms);
    check_close(device_log_sum, log_sum, terms);

    Host::attention_gradient<float>(qkv, y, dy, s.heads, s.length, log_sum, dqkv, scratch);
    Device::attention_gradient<float>(device_qkv, device_y, on_device(dy), s.heads, s.length,
                                      device_log_sum, device_dqkv, device_scratch);
    check_close(device_dqkv, dqkv, 4 * terms);
  });
}

TEST_CASE("cuda operations: scores as large as floats of two digits do not overflow") {
  const Index length = 20;
  OnHost qkv = random_matrix<float>(12, length, 8);
  qkv.topRows(8) *= 200.0F;
  OnDevice y, log_sum, dqkv, scratch;
  Device::attention<float>(on_device(qkv), 1, length, y, log_sum, scratch);
  Device::attention_gradient<float>(on_device(qkv), y, y, 1, length, log_sum, dqkv, scratch);
  CHECK(accrete::to_host(y).allFinite());
  CHECK(accrete::to_host(dqkv).allFinite());
}

TEST_CASE("cuda operations: cross-entropy, its gradient, and the norm of many tensors") {
  for_each_shape([](const Shape& s) {
    const OnHost logits = 4 * random_matrix<float>(s.width, s.tokens(), 1);
    const auto targets = random_tokens(s.tokens(), s.width, 2);
    OnHost gradient;
    OnDevice device_gradient;
    const double expected = Host::cross_entropy<float>(logits, targets, 0.3, gradient);
    const double loss =
        Device::cross_entropy<float>(on_device(logits), targets, 0.3, device_gradient);
    CHECK(loss == doctest::Approx(expected).epsilon(1e-5));
    check_close(device_gradient, gradient, s.width);

    const OnDevice a = on_device(logits);
    const std::vector<accrete::View<const float, Cuda>> views{
        a.view(), device_gradient.view(),
        accrete::View<const float, Cuda>(a.view()).left_columns(1)};
    const double sum = logits.cast<double>().squaredNorm() + gradient.cast<double>().squaredNorm() +
                       logits.col(0).cast<double>().squaredNorm();
    CHECK(Device::squared_norm<float>(views) == doctest::Approx(sum).epsilon(1e-5));
  });
}
