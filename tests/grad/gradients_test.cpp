// SPDX-License-Identifier: MIT
#include "../plan/function_model.hpp"
#include "stored.hpp"

#include <array>

namespace ac = accrete;

namespace {

template <class Scalar>
struct Fixture {
  Stored<Scalar> W0 = random_stored<Scalar>(13, 9, 1);
  Stored<Scalar> U = random_stored<Scalar>(13, 3, 2);
  Stored<Scalar> V = random_stored<Scalar>(9, 3, 3);
  Stored<Scalar> X = random_stored<Scalar>(9, 5, 4);
  Stored<Scalar> dY = random_stored<Scalar>(13, 5, 5);
  Scalar s{0.75};
  Exact G = exact(dY) * exact(X).transpose();
  Exact weight = exact(W0) + static_cast<long double>(s) * exact(U) * exact(V).transpose();
  long double bound = rounding_bound<Scalar>(30, 500);
};

template <class Scalar, class Gradients>
void check_factor_gradients(const Fixture<Scalar>& f, const Gradients& g) {
  const auto s = static_cast<long double>(f.s);
  Stored<Scalar> dU = on_backend(Dense<Scalar>::Ones(13, 3));
  Stored<Scalar> dV = on_backend(Dense<Scalar>::Ones(9, 3));
  dU += g.U;
  dV += g.V;
  CHECK_CLOSE(dU, Exact::Ones(13, 3) + s * f.G * exact(f.V), f.bound);
  CHECK_CLOSE(dV, Exact::Ones(9, 3) + s * f.G.transpose() * exact(f.U), f.bound);
  const Scalar ds = g.scale;
  CHECK(std::abs(static_cast<long double>(ds) -
                 f.G.cwiseProduct(exact(f.U) * exact(f.V).transpose()).sum()) <= f.bound);
}

} // namespace

TEST_CASE_TEMPLATE("gradients of (W0 + s U Vᵀ) X equal their formulas", Scalar, TEST_SCALARS) {
  const Fixture<Scalar> f;
  const auto forward = (f.W0 + f.s * ac::outer<TestBackend>(f.U, f.V)) * f.X;
  const auto check_all = [&](const auto& g) {
    check_factor_gradients(f, g);
    CHECK_CLOSE(Stored<Scalar>(g.X), f.weight.transpose() * exact(f.dY), f.bound);
    CHECK_CLOSE(Stored<Scalar>(g.base), f.G, f.bound);
  };
  check_all(ac::gradients(forward, f.dY));
  ac::CumulativeUpdate<Scalar, TestBackend> W(f.W0,
                                              ac::LowRankMatrix<Scalar, TestBackend>(f.U, f.V));
  W.set_scale(f.s);
  check_all(ac::gradients(W * f.X, f.dY));
  check_all(ac::gradients((f.s * ac::outer<TestBackend>(f.U, f.V) + f.W0) * f.X, f.dY));
}

TEST_CASE_TEMPLATE("gradients of s U Vᵀ X and of W X", Scalar, TEST_SCALARS) {
  const Fixture<Scalar> f;
  const auto g = ac::gradients(f.s * ac::outer<TestBackend>(f.U, f.V) * f.X, f.dY);
  check_factor_gradients(f, g);
  CHECK_CLOSE(Stored<Scalar>(g.X),
              static_cast<long double>(f.s) * exact(f.V) * exact(f.U).transpose() * exact(f.dY),
              f.bound);
  const auto dense = ac::gradients(ac::lazy<TestBackend>(f.W0) * f.X, f.dY);
  CHECK_CLOSE(Stored<Scalar>(dense.X), exact(f.W0).transpose() * exact(f.dY), f.bound);
  CHECK_CLOSE(Stored<Scalar>(dense.base), f.G, f.bound);
}

TEST_CASE("gradients agree with central differences") {
  const Fixture<double> f;
  const auto g = ac::gradients((f.W0 + f.s * ac::outer<TestBackend>(f.U, f.V)) * f.X, f.dY);
  const std::array<Exact, 4> analytic = {exact(g.U), exact(g.V), exact(g.X), exact(g.base)};
  Dense<double> U = ac::to_host(f.U);
  Dense<double> V = ac::to_host(f.V);
  Dense<double> X = ac::to_host(f.X);
  Dense<double> W0 = ac::to_host(f.W0);
  const std::array<Dense<double>*, 4> parameters = {&U, &V, &X, &W0};
  const auto loss = [&] { // <dY, Y>, whose gradients are what the library computes
    const Exact weight =
        exact(W0) + static_cast<long double>(f.s) * exact(U) * exact(V).transpose();
    return exact(f.dY).cwiseProduct(weight * exact(X)).sum();
  };
  // The loss is evaluated in extended precision and is bilinear in each operand, so central
  // differences err by rounding alone.
  const long double step = 1e-4L;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    Dense<double>& parameter = *parameters[p];
    Exact numeric(parameter.rows(), parameter.cols());
    for (Eigen::Index k = 0; k < parameter.size(); ++k) {
      const double kept = parameter(k);
      parameter(k) = kept + static_cast<double>(step);
      const long double above = parameter(k);
      const long double loss_above = loss();
      parameter(k) = kept - static_cast<double>(step);
      numeric(k) = (loss_above - loss()) / (above - static_cast<long double>(parameter(k)));
      parameter(k) = kept;
    }
    CAPTURE(p);
    CHECK((analytic[p] - numeric).norm() <= 1e-11L * numeric.norm());
  }
}

TEST_CASE("dW is not formed for the factor gradients") {
  const Stored<float> W0(300, 200), U(300, 4), V(200, 4), X(200, 50), dY(300, 50);
  const auto g = ac::gradients((W0 + ac::outer<TestBackend>(U, V)) * X, dY);
  for (const ac::Plan& plan : {ac::plan(g.U), ac::plan(g.V)}) {
    for (const auto& temporary : plan.temporaries) {
      CHECK(temporary.rows * temporary.cols < 300 * 200);
    }
  }
}

TEST_CASE("an upstream gradient of the wrong shape is refused") {
  const Fixture<float> f;
  const auto forward = (f.W0 + ac::outer<TestBackend>(f.U, f.V)) * f.X;
  CHECK_THROWS_WITH_AS((void)ac::gradients(forward, f.X),
                       "accrete: gradients of 13 x 5 and 9 x 5: dY must have the shape of the "
                       "expression",
                       ac::ShapeError);
}
