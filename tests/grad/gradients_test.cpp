// SPDX-License-Identifier: MIT
#include "../plan/function_model.hpp"

#include <array>

namespace ac = accrete;

namespace {

template <class Scalar>
struct Fixture {
  Dense<Scalar> W0 = random_matrix<Scalar>(13, 9, 1);
  Dense<Scalar> U = random_matrix<Scalar>(13, 3, 2);
  Dense<Scalar> V = random_matrix<Scalar>(9, 3, 3);
  Dense<Scalar> X = random_matrix<Scalar>(9, 5, 4);
  Dense<Scalar> dY = random_matrix<Scalar>(13, 5, 5);
  Scalar s{0.75};
  Exact G = exact(dY) * exact(X).transpose();
  Exact weight = exact(W0) + static_cast<long double>(s) * exact(U) * exact(V).transpose();
  long double bound = rounding_bound<Scalar>(30, 500);

  /// Loss <dY, Y>, whose gradients are what the library computes.
  long double loss() const {
    const Exact w = exact(W0) + static_cast<long double>(s) * exact(U) * exact(V).transpose();
    return exact(dY).cwiseProduct(w * exact(X)).sum();
  }
};

template <class Scalar, class Gradients>
void check_factor_gradients(const Fixture<Scalar>& f, const Gradients& g) {
  const auto s = static_cast<long double>(f.s);
  Dense<Scalar> dU = Dense<Scalar>::Ones(13, 3);
  Dense<Scalar> dV = Dense<Scalar>::Ones(9, 3);
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
    CHECK_CLOSE(Dense<Scalar>(g.X), f.weight.transpose() * exact(f.dY), f.bound);
    CHECK_CLOSE(Dense<Scalar>(g.base), f.G, f.bound);
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
  CHECK_CLOSE(Dense<Scalar>(g.X),
              static_cast<long double>(f.s) * exact(f.V) * exact(f.U).transpose() * exact(f.dY),
              f.bound);
  const auto dense = ac::gradients(ac::lazy<TestBackend>(f.W0) * f.X, f.dY);
  CHECK_CLOSE(Dense<Scalar>(dense.X), exact(f.W0).transpose() * exact(f.dY), f.bound);
  CHECK_CLOSE(Dense<Scalar>(dense.base), f.G, f.bound);
}

TEST_CASE("gradients agree with central differences") {
  Fixture<double> f;
  const auto g = ac::gradients((f.W0 + f.s * ac::outer<TestBackend>(f.U, f.V)) * f.X, f.dY);
  const std::array<Dense<double>, 4> analytic = {g.U.eval(), g.V.eval(), g.X.eval(), g.base.eval()};
  const std::array<Dense<double>*, 4> parameters = {&f.U, &f.V, &f.X, &f.W0};
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
      const long double loss_above = f.loss();
      parameter(k) = kept - static_cast<double>(step);
      numeric(k) = (loss_above - f.loss()) / (above - static_cast<long double>(parameter(k)));
      parameter(k) = kept;
    }
    CAPTURE(p);
    CHECK((exact(analytic[p]) - numeric).norm() <= 1e-11L * numeric.norm());
  }
}

TEST_CASE("dW is not formed for the factor gradients") {
  const Dense<float> W0(300, 200), U(300, 4), V(200, 4), X(200, 50), dY(300, 50);
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
