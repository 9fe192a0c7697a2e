// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace ac = accrete;
using ac::Index;
using ac::View;

namespace {

template <class S>
struct Decomposition {
  Dense<S> u;
  Dense<S> values;
  Dense<S> v;
};

template <class S>
Decomposition<S> decompose(const Dense<S>& a) {
  ac::Device<ac::Cpu> device;
  ac::Workspace::Frame frame(device.workspace());
  const auto tools = ac::detail::tools_of<S>(device);
  const ac::detail::BidiagonalSvd<S> svd(tools, frame, ac::view_of(a), S{1}, true);
  REQUIRE(svd.converged());
  Decomposition<S> result{Dense<S>(a.rows(), a.cols()), Dense<S>(a.cols(), 1),
                          Dense<S>(a.cols(), a.cols())};
  svd.store(ac::view_of(result.u), ac::view_of(result.values), ac::view_of(result.v), S{1});
  return result;
}

/// Backward error and departure from orthogonality of some n reflections and n rotations an entry.
template <class S>
long double bound(Index n) {
  return static_cast<long double>(4 * std::max<Index>(n, 4)) * std::numeric_limits<S>::epsilon();
}

template <class S>
void check(const Dense<S>& a) {
  const Index n = a.cols();
  const Decomposition<S> svd = decompose(a);
  const Exact u = exact(svd.u);
  const Exact v = exact(svd.v);
  const Exact one = Exact::Identity(n, n);
  CHECK((u.transpose() * u - one).norm() <= bound<S>(n));
  CHECK((v.transpose() * v - one).norm() <= bound<S>(n));
  CHECK((u * exact(svd.values).col(0).asDiagonal() * v.transpose() - exact(a)).norm() <=
        bound<S>(n) * exact(a).norm());
  for (Index j = 0; j < n; ++j) {
    CHECK(svd.values(j, 0) >= S{0});
    CHECK((j == 0 || svd.values(j, 0) <= svd.values(j - 1, 0)));
  }
  const Exact expected = Eigen::JacobiSVD<Exact>(exact(a)).singularValues();
  CHECK((exact(svd.values) - expected).cwiseAbs().maxCoeff() <= bound<S>(n) * expected(0));
}

/// Entries fall by 10^-digits from the first row to the last, or the other way.
template <class S>
Dense<S> graded(Index n, double digits, bool falling) {
  Dense<S> a = random_matrix<S>(n, n, 3);
  for (Index i = 0; i < n; ++i) {
    const auto step = static_cast<double>(falling ? i : n - 1 - i);
    a.row(i) *= static_cast<S>(std::pow(10.0, -digits * step / static_cast<double>(n)));
  }
  return a;
}

template <class S>
struct Case {
  const char* name;
  Dense<S> a;
};

template <class S>
std::vector<Case<S>> hard_cases(Index n) {
  std::vector<Case<S>> cases;
  const auto add = [&](const char* name, const Dense<S>& a) { cases.push_back({name, a}); };
  const Dense<S> a = random_matrix<S>(n, n, 1);
  const Dense<S> triangle = a.template triangularView<Eigen::Upper>();
  const double digits = -std::log10(std::numeric_limits<S>::epsilon());
  add("random", a);
  add("tall", random_matrix<S>(3 * n + 1, n, 2));
  add("triangle", triangle);
  add("zero", Dense<S>::Zero(n, n));
  add("identity", Dense<S>::Identity(n, n));
  add("ones", Dense<S>::Ones(n, n));
  add("half rank", random_matrix<S>(n, n / 2, 4) * random_matrix<S>(n / 2, n, 5));
  add("nearly the identity", Dense<S>::Identity(n, n) + a * S(1e-6));
  for (const double span : {digits, 3 * digits}) {
    add("falling", graded<S>(n, span, true));
    add("rising", graded<S>(n, span, false));
    add("rising triangle", graded<S>(n, span, false).template triangularView<Eigen::Upper>());
  }
  Dense<S> bidiagonal = Dense<S>::Zero(n, n);
  bidiagonal.diagonal().setOnes();
  bidiagonal.diagonal(1).setConstant(S(0.5));
  add("bidiagonal", bidiagonal);
  bidiagonal(n / 2, n / 2) = 0;
  bidiagonal(n - 1, n - 1) = 0;
  add("bidiagonal with zeros", bidiagonal);
  Dense<S> holes = a;
  holes.col(n / 2).setZero();
  holes.row(0).setZero();
  add("zero row and column", holes);
  // Squares of these have few digits, if any.
  Dense<S> faint = a * (std::sqrt(std::numeric_limits<S>::min()) / 100);
  faint(0, 0) = S{1};
  add("one entry and rounding noise", faint);
  return cases;
}

} // namespace

TEST_CASE_TEMPLATE("a SVD is accurate to rounding, however hard the matrix", S, float, double) {
  for (const Index n : {2, 3, 5, 8, 15, 16, 17, 33}) {
    for (const Case<S>& hard : hard_cases<S>(n)) {
      CAPTURE(hard.name);
      CAPTURE(n);
      check<S>(hard.a);
    }
  }
  check<S>(Dense<S>::Constant(1, 1, S(-0.5)));
  // More reflections than are applied together, and rotations that wait for each other.
  check<S>(random_matrix<S>(70, 70, 6));
}

TEST_CASE_TEMPLATE("singular values that are equal but for rounding part", S, float, double) {
  constexpr S epsilon = std::numeric_limits<S>::epsilon();
  for (unsigned seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    const Index n = 12;
    Dense<S> a = epsilon * random_matrix<S>(n + 2, n, seed);
    a.bottomRows(2) *= S{4};
    a.bottomRows(2).middleCols(2, 2) /= 8 * epsilon;
    a.diagonal().array() += S{1};
    a.rightCols(n - 4) *= S(1e-5);
    check<S>(a);
  }
}

TEST_CASE_TEMPLATE("the svd kernel gives the same values with and without vectors, either way up",
                   S, float, double) {
  auto& device = ac::Context<ac::Cpu>::current().device();
  const auto values_of = [&](const Dense<S>& a, bool with_vectors) {
    const Index count = std::min(a.rows(), a.cols());
    Dense<S> u(a.rows(), count);
    Dense<S> v(a.cols(), count);
    Dense<S> values(count, 1);
    ac::Kernels<ac::Cpu>::svd(device, ac::view_of(a), with_vectors ? ac::view_of(u) : View<S>{},
                              ac::view_of(values), with_vectors ? ac::view_of(v) : View<S>{});
    return values;
  };
  // With 110 columns and more the triangle of a QR factorisation is decomposed.
  for (const Index cols : {1, 7, 40, 110, 200, 300}) {
    CAPTURE(cols);
    const Dense<S> a = random_matrix<S>(320, cols, 7);
    const Dense<S> tall = values_of(a, true);
    const Dense<S> wide = values_of(a.transpose(), true);
    const Dense<S> alone = values_of(a, false);
    const auto slack = bound<S>(cols) * exact(tall).maxCoeff();
    CHECK((exact(wide) - exact(tall)).cwiseAbs().maxCoeff() <= slack);
    CHECK((exact(alone) - exact(tall)).cwiseAbs().maxCoeff() <= slack);
  }
}
