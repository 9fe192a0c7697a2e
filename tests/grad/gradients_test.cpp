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
  const Dense<Scalar> Z = f.V.transpose() * f.X;
  const Dense<Scalar> D = f.U.transpose() * f.dY;
  check_all(ac::gradients(forward, f.dY, Z));
  check_all(ac::gradients(forward, f.dY, Z, D));
  ac::CumulativeUpdate<Scalar, TestBackend> W(f.W0,
                                              ac::LowRankMatrix<Scalar, TestBackend>(f.U, f.V));
  W.set_scale(f.s);
  check_all(ac::gradients(W * f.X, f.dY));
  check_all(ac::gradients(W * f.X, f.dY, W.project(f.X), W.project_back(f.dY)));
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

TEST_CASE("with many columns the sum is formed first, also where Z and D are kept") {
  // Forming W0 + U Vᵀ takes m n r FLOPs; m p r are saved from Y, n p r from dX.
  constexpr ac::Index m = 14, n = 10, r = 3;
  auto by_flops = context_by_flops();
  auto sums_are_dear = context_with(
      [](const ac::KernelCall& call) { return call.m * call.n == m * n ? 1e9 : call.flops(); });
  for (const ac::Index p : {n, 2 * n, 2 * m}) {
    const ac::CumulativeUpdate<double, TestBackend> W(
        random_matrix<double>(m, n, 1),
        ac::LowRankMatrix<double, TestBackend>(random_matrix<double>(m, r, 2),
                                               random_matrix<double>(n, r, 3)));
    const Dense<double> X = random_matrix<double>(n, p, 4);
    const Dense<double> dY = random_matrix<double>(m, p, 5);
    const Dense<double> Z = W.project(X);
    const Dense<double> D = W.project_back(dY);
    const auto Y = W.apply(X, Z);
    const auto g = ac::gradients(W * X, dY, Z, D);
    const auto forms_sum = [](const ac::Plan& plan) { return plan.temporaries.size() > 0; };
    CAPTURE(p);
    CHECK(forms_sum(ac::plan(by_flops, Y)) == (p > n));
    CHECK(forms_sum(ac::plan(by_flops, g.X)) == (p > m));
    CHECK_FALSE(forms_sum(ac::plan(sums_are_dear, Y)));
    CHECK_FALSE(forms_sum(ac::plan(sums_are_dear, g.X)));
    const Exact weight = exact(Dense<double>(W.expression()));
    const double bound = rounding_bound<double>(60, 500);
    for (auto* context : {&by_flops, &sums_are_dear}) {
      const ac::ScopedContext scope(*context);
      CHECK_CLOSE(Dense<double>(Y), weight * exact(X), bound);
      CHECK_CLOSE(Dense<double>(g.X), weight.transpose() * exact(dY), bound);
      Dense<double> sum = dY;
      sum -= Y;
      CHECK_CLOSE(sum, exact(dY) - weight * exact(X), bound);
      // As a part, the product takes Z.
      CHECK_CLOSE(Dense<double>(2.0 * Y + dY), 2.0L * weight * exact(X) + exact(dY), bound);
      CHECK_CLOSE(Dense<double>(Y.transpose()), (weight * exact(X)).transpose(), bound);
      // The target may be an operand.
      Dense<double> input = X;
      Dense<double> square = random_matrix<double>(n, n, 6);
      input = ac::gradients(W * input, dY, Z, D).X + square * input;
      CHECK_CLOSE(input, weight.transpose() * exact(dY) + exact(square) * exact(X), bound);
    }
    CHECK_FALSE(forms_sum(ac::plan(by_flops, 2.0 * Y + dY)));
  }
}

TEST_CASE("the sum is formed once for the forward and the backward pass, where that pays") {
  // Forming W0 + U Vᵀ takes m n r FLOPs, for which both passes together spare (m + n) p r.
  constexpr ac::Index m = 14, n = 10, r = 3, least = 7;
  auto by_flops = context_by_flops();
  const ac::ScopedContext scope(by_flops);
  ac::MergedWeight<double, TestBackend> merged;
  ac::CumulativeUpdate<double, TestBackend> W(
      random_matrix<double>(m, n, 1),
      ac::LowRankMatrix<double, TestBackend>(random_matrix<double>(m, r, 2),
                                             random_matrix<double>(n, r, 3)));
  W.set_scale(0.5);
  for (const ac::Index p : {ac::Index{1}, least - 1, least, 2 * m}) {
    const Dense<double> X = random_matrix<double>(n, p, 4);
    const Dense<double> dY = random_matrix<double>(m, p, 5);
    const Dense<double> Z = W.project(X);
    const Dense<double> D = W.project_back(dY);
    W.U() *= 2;
    const Exact weight = exact(Dense<double>(W.expression()));
    W.U() *= 0.5;
    merged.update(W, p);
    const auto Y = W.apply(X, Z, merged);
    const auto g = ac::gradients(W * X, dY, Z, D, merged);
    CAPTURE(p);
    CHECK(merged.is_formed() == (p >= least));
    for (const ac::Plan& plan : {ac::plan(Y), ac::plan(g.X)}) {
      CHECK(plan.steps.size() == (p >= least ? 1 : 2));
    }
    const double bound = rounding_bound<double>(60, 500);
    const Exact before = exact(Dense<double>(W.expression()));
    CHECK_CLOSE(Dense<double>(Y), before * exact(X), bound);
    CHECK_CLOSE(Dense<double>(g.X), before.transpose() * exact(dY), bound);
    CHECK_CLOSE(Dense<double>(g.U), 0.5L * exact(dY) * exact(Z).transpose(), bound);
    CHECK_CLOSE(Dense<double>(g.V), 0.5L * exact(X) * exact(D).transpose(), bound);
    CHECK_CLOSE(Dense<double>(2.0 * Y + dY), 2.0L * before * exact(X) + exact(dY), bound);
    // A changed weight is taken up by update() alone.
    W.U() *= 2;
    merged.update(W, p);
    const Dense<double> changed = W.apply(X, Dense<double>(W.project(X)), merged);
    CHECK_CLOSE(changed, weight * exact(X), bound);
    W.U() *= 0.5;
  }
  const Dense<double> X = random_matrix<double>(n, 30, 4);
  W.reset();
  merged.update(W, 30);
  CHECK_FALSE(merged.is_formed());
}

TEST_CASE("a merged weight of another shape is refused") {
  const Fixture<float> f;
  const ac::CumulativeUpdate<float, TestBackend> W(f.W0,
                                                   ac::LowRankMatrix<float, TestBackend>(f.U, f.V));
  const Dense<float> Z = W.project(f.X), D = W.project_back(f.dY);
  ac::MergedWeight<float, TestBackend> merged;
  merged.update(ac::CumulativeUpdate<float, TestBackend>(f.U), 5);
  const auto* message = "the merged weight has the first of these shapes and the weight the "
                        "second; call update() with this weight first";
  CHECK_THROWS_WITH_AS((void)W.apply(f.X, Z, merged), doctest::Contains(message), ac::ShapeError);
  CHECK_THROWS_WITH_AS((void)ac::gradients(W * f.X, f.dY, Z, D, merged),
                       doctest::Contains("accrete: gradients of 13 x 3 and 13 x 9: the merged"),
                       ac::ShapeError);
}

TEST_CASE("an upstream gradient or a kept product of the wrong shape is refused") {
  const Fixture<float> f;
  const auto forward = (f.W0 + ac::outer<TestBackend>(f.U, f.V)) * f.X;
  CHECK_THROWS_WITH_AS((void)ac::gradients(forward, f.X),
                       "accrete: gradients of 13 x 5 and 9 x 5: dY must have the shape of the "
                       "expression",
                       ac::ShapeError);
  CHECK_THROWS_WITH_AS((void)ac::gradients(forward, f.dY, f.U),
                       "accrete: gradients: the kept product Z is 13 x 3 and must be 3 x 5 (rank x "
                       "samples)",
                       ac::ShapeError);
}
