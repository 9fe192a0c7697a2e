// SPDX-License-Identifier: MIT
// Compiled with -ffast-math, under which comparisons and std::isfinite take no notice of NaN.
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/symmetric.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace ac = accrete;
using ac::Index;

namespace {

/// Read from memory, so that the compiler does not know the value.
template <class Scalar>
Scalar volatile_copy(Scalar value) {
  volatile Scalar memory = value;
  return memory;
}
template <class Scalar>
std::vector<Scalar> not_finite() {
  using Limits = std::numeric_limits<Scalar>;
  return {volatile_copy(Limits::quiet_NaN()), volatile_copy(Limits::infinity()),
          volatile_copy(-Limits::infinity())};
}

} // namespace

TEST_CASE_TEMPLATE("matrices with NaN or infinity are found anywhere", Scalar, float, double) {
  for (const Scalar bad : not_finite<Scalar>()) {
    for (const Index rows : {1, 7, 64, 1500}) {
      Dense<Scalar> a = random_matrix<Scalar>(rows, 3, 1);
      accrete::Device<TestBackend> device;
      const auto finite = [&] {
        return ac::Kernels<TestBackend>::all_finite(device, ac::view_of(std::as_const(a))) &&
               ac::Kernels<TestBackend>::all_finite(device,
                                                    ac::view_of(std::as_const(a)).transposed());
      };
      CHECK(finite());
      a(rows - 1, 2) = bad;
      CHECK_FALSE(finite());
      CHECK_THROWS_AS((void)ac::svd(a), ac::NumericError);
      CHECK_THROWS_AS((void)ac::thin_qr(Dense<Scalar>(a.rightCols(1))), ac::NumericError);
      CHECK_THROWS_AS((void)ac::frobenius_norm(a), ac::NumericError);
      CHECK_THROWS_AS((void)ac::polar_factor(a), ac::NumericError);
      CHECK_THROWS_AS((void)ac::truncate(ac::outer(a, a), {}), ac::NumericError);
      ac::IncrementalSVD<Scalar> svd(rows);
      CHECK_THROWS_AS(svd.append_columns(a), ac::NumericError);
      ac::IncrementalPCA<Scalar> pca(rows);
      CHECK_THROWS_AS(pca.append(a), ac::NumericError);
    }
  }
}

TEST_CASE("options and rates that are NaN or infinite are refused") {
  for (const double bad : not_finite<double>()) {
    CAPTURE(bad);
    Dense<float> p = random_matrix<float>(3, 3, 1);
    const Dense<float> g = random_matrix<float>(3, 3, 2);
    const Dense<float> before = p;
    const auto step = [&](auto state) { state.step(ac::view_of(p), ac::view_of(g), bad); };
    CHECK_THROWS_AS(step(ac::AdamW<float>(3, 3)), ac::ArgumentError);
    CHECK_THROWS_AS(step(ac::SGD<float>(3, 3)), ac::ArgumentError);
    CHECK_THROWS_AS(step(ac::Muon<float>(3, 3)), ac::ArgumentError);
    CHECK(p == before);
    CHECK_THROWS_AS(ac::AdamWOptions{.beta1 = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::AdamWOptions{.epsilon = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::AdamWOptions{.weight_decay = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::SGDOptions{.momentum = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::SGDOptions{.dampening = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::MuonOptions{.momentum = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::Pruning{.fraction = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::FactorDecay{.strength = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::TruncationOptions{.tolerance = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::IncrementalSVDOptions{.tolerance = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS(ac::InRankOptions{.threshold = bad}.validate(), ac::ArgumentError);
    CHECK_THROWS_AS((void)ac::rank_by::tail_norm(bad), ac::ArgumentError);
    CHECK_THROWS_AS((void)ac::rank_by::tail_norm(0.1)(std::vector<double>{2.0, bad, 1.0}),
                    ac::NumericError);
    CHECK_THROWS_AS((void)ac::init::normal(bad), ac::ArgumentError);
    CHECK_THROWS_AS((void)ac::inverse_sqrt(Dense<double>::Identity(2, 2), bad), ac::ArgumentError);
    ac::IncrementalSVD<double> svd(3);
    CHECK_THROWS_AS(svd.forget(bad), ac::ArgumentError);
    svd.append_columns(random_matrix<double>(3, 2, 1));
    auto state = svd.state();
    state.settled_error = bad;
    CHECK_THROWS_AS(state.validate(), ac::NumericError);
    ac::CumulativeUpdate<double> W(random_matrix<double>(4, 3, 1));
    const auto principal = ac::svd(W.base());
    W.set_scale(bad);
    CHECK_THROWS_AS(ac::init::pissa(W, principal, 1), ac::ArgumentError);
  }
  CHECK_THROWS_AS(ac::TruncationOptions{.absolute_tolerance = not_finite<double>()[0]}.validate(),
                  ac::ArgumentError);
}

TEST_CASE("results hold: products, norms and factors out of the range of squares") {
  const Dense<double> u = random_matrix<double>(60, 4, 1);
  const Dense<double> v = random_matrix<double>(50, 4, 2);
  const Dense<double> X = random_matrix<double>(50, 7, 3);
  const Dense<double> Y = ac::outer(u, v) * X;
  CHECK_CLOSE(Y, exact(u) * exact(v).transpose() * exact(X), rounding_bound<double>(60, 1000));
  for (const int exponent : {-530, 530}) {
    const double unit = std::ldexp(1.0, exponent);
    CHECK(ac::frobenius_norm(Dense<double>(u * unit)) / unit ==
          doctest::Approx(u.norm()).epsilon(1e-13));
    const auto qr = ac::thin_qr(Dense<double>(u * unit));
    CHECK((qr.Q.transpose() * qr.Q - Dense<double>::Identity(4, 4)).norm() < 1e-13);
    const Dense<double> polar = ac::polar_factor(Dense<double>(u * unit));
    CHECK((polar.transpose() * polar - Dense<double>::Identity(4, 4)).norm() < 1e-12);
  }
}
