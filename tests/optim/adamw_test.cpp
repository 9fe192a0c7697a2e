// SPDX-License-Identifier: MIT
#include "placed.hpp"

#include <accrete/backend/cpu/cpu.hpp>
#include <accrete/backend/reference/reference.hpp>
#include <accrete/optim/adamw.hpp>
#include <accrete/optim/optimizer.hpp>

#include <Eigen/Dense>
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using accrete::AdamWOptions;
using accrete::Context;
using accrete::Index;
using accrete::SecondMoment;
using accrete::to_host;
using accrete::view_of;

namespace {

template <class S>
using Mat = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;
template <class S>
using AdamW = accrete::AdamW<S, TestBackend>;

template <class S>
Mat<S> first_of(const AdamW<S>& state) {
  return to_host(state.first());
}
template <class S>
Mat<S> second_of(const AdamW<S>& state) {
  return to_host(state.second());
}

// Textbook AdamW of one number.
struct Scalar64 {
  long double parameter = 0, first = 0, second = 0;
  int step_count = 0;

  void step(long double gradient, long double rate, const AdamWOptions& o) {
    ++step_count;
    parameter *= 1 - rate * static_cast<long double>(o.weight_decay);
    const long double beta1 = o.beta1;
    const long double beta2 = o.beta2;
    first = beta1 * first + (1 - beta1) * gradient;
    second = beta2 * second + (1 - beta2) * gradient * gradient;
    const long double m = first / (1 - std::pow(beta1, static_cast<long double>(step_count)));
    const long double v = second / (1 - std::pow(beta2, static_cast<long double>(step_count)));
    parameter -= rate * m / (std::sqrt(v) + static_cast<long double>(o.epsilon));
  }
};

template <class S>
void take_steps(AdamW<S>& state, Stored<S>& parameter, int count, double rate = 1e-2) {
  for (int t = 0; t < count; ++t) {
    state.step(parameter, on_backend(Mat<S>::Random(parameter.rows(), parameter.cols())), rate);
  }
}

/// The parameter after one step.
template <class S>
Mat<S> stepped(AdamW<S>& state, const Mat<S>& parameter, const Mat<S>& gradient) {
  Stored<S> result = on_backend(parameter);
  state.step(result, on_backend(gradient), 1e-2);
  return to_host(result);
}

/// What a step by the gradient would subtract, taken over entries of 9.
template <class S>
Mat<S> direction_of(AdamW<S>& state, const Mat<S>& gradient) {
  Stored<S> out = on_backend(Mat<S>::Constant(gradient.rows(), gradient.cols(), S{9}));
  state.direction(on_backend(gradient), out);
  return to_host(out);
}

} // namespace

TEST_CASE_TEMPLATE("steps agree with a scalar re-implementation in long double", S, TEST_SCALARS) {
  for (const AdamWOptions& options :
       {AdamWOptions{}, AdamWOptions{.beta1 = 0.5, .beta2 = 0.99, .epsilon = 1e-3},
        AdamWOptions{.beta1 = 0, .beta2 = 0, .weight_decay = 0.3}}) {
    const Index m = 37; // no multiple of a vector register
    Mat<S> parameter = Mat<S>::Random(m, 5);
    std::vector<Scalar64> expected(static_cast<std::size_t>(parameter.size()));
    for (Index i = 0; i < parameter.size(); ++i) {
      expected[static_cast<std::size_t>(i)].parameter =
          static_cast<long double>(parameter.data()[i]);
    }
    Stored<S> target = on_backend(parameter);
    AdamW<S> state(m, 5, options);
    for (int t = 0; t < 30; ++t) {
      const Mat<S> gradient = Mat<S>::Random(m, 5) * S(0.1);
      const double rate = 0.01 / (1 + t);
      const double scale = t % 3 == 0 ? 0.5 : 1.0;
      state.step(target, on_backend(gradient), rate, scale);
      for (Index i = 0; i < parameter.size(); ++i) {
        expected[static_cast<std::size_t>(i)].step(static_cast<long double>(scale) *
                                                       static_cast<long double>(gradient.data()[i]),
                                                   static_cast<long double>(rate), options);
      }
    }
    parameter = to_host(target);
    // Each of the 30 steps rounds the parameter, of size about 1, a few times.
    const double bound = 30 * 8 * static_cast<double>(std::numeric_limits<S>::epsilon());
    double worst = 0;
    for (Index i = 0; i < parameter.size(); ++i) {
      worst = std::max(
          worst, static_cast<double>(std::abs(static_cast<long double>(parameter.data()[i]) -
                                              expected[static_cast<std::size_t>(i)].parameter)));
    }
    CHECK(worst <= bound);
  }
}

TEST_CASE_TEMPLATE("strides, orders and threads do not change a single bit", S, TEST_SCALARS) {
  const Index m = 301;
  const Index k = 130;
  const Mat<S> start = Mat<S>::Random(m, k);
  const Mat<S> gradient = Mat<S>::Random(m, k);
  const Stored<S> by = on_backend(gradient);
  AdamW<S> a(m, k);
  const Mat<S> flat = stepped(a, start, gradient);

  Mat<S> around = Mat<S>::Zero(m + 3, k);
  around.middleRows(1, m) = start;
  Stored<S> wide = on_backend(around);
  AdamW<S> b(m, k, {}, k + 7);
  b.step(view_of(wide).block(1, 0, m, k), by, 1e-2);
  around = to_host(wide);
  CHECK(Mat<S>(around.middleRows(1, m)) == flat);
  CHECK(around.row(0).isZero(S{0}));
  CHECK(around.bottomRows(2).isZero(S{0}));

  Placed<S> rows(start, Layout::rows);
  AdamW<S> c(m, k);
  c.step(rows.view(), by, 1e-2);
  CHECK(rows.value() == flat);

  Context<TestBackend> other;
  other.set_threads(2);
  const accrete::ScopedContext<TestBackend> use(other);
  AdamW<S> d(m, k);
  CHECK(stepped(d, start, gradient) == flat);
}

TEST_CASE_TEMPLATE("appended columns count their own steps, kept ones stay bit for bit", S,
                   TEST_SCALARS) {
  AdamW<S> state(20, 3, {.weight_decay = 0});
  Stored<S> parameter = on_backend(Mat<S>::Random(20, 3));
  take_steps(state, parameter, 2000, 1e-4);
  const Mat<S> first = first_of(state);
  const Mat<S> second = second_of(state);
  state.append_columns(2);
  CHECK(first_of(state).leftCols(3) == first);
  CHECK(second_of(state).leftCols(3) == second);
  CHECK(first_of(state).rightCols(2).isZero(S{0}));
  CHECK(second_of(state).rightCols(2).isZero(S{0}));
  CHECK(state.steps()[2] == 2000);
  CHECK(state.steps()[3] == 0);

  // A first step has the length of the rate; under a shared count it would be 2.5 times that.
  Mat<S> grown(20, 5);
  grown << to_host(parameter), Mat<S>::Zero(20, 2);
  grown = stepped<S>(state, grown, Mat<S>::Constant(20, 5, S{0.25}));
  for (Index i = 0; i < 20; ++i) {
    CHECK(static_cast<double>(grown(i, 4)) == doctest::Approx(-1e-2).epsilon(1e-4));
  }
  CHECK(state.steps()[0] == 2001);
  CHECK(state.steps()[4] == 1);
}

TEST_CASE_TEMPLATE("a grown state steps its old columns as if nothing had joined", S,
                   TEST_SCALARS) {
  AdamW<S> alone(33, 2);
  Stored<S> parameter = on_backend(Mat<S>::Random(33, 2));
  take_steps(alone, parameter, 5);
  AdamW<S> grown = alone;
  grown.append_columns(3);
  Mat<S> larger = Mat<S>::Random(33, 5);
  larger.leftCols(2) = to_host(parameter);
  const Mat<S> gradient = Mat<S>::Random(33, 5);
  const Mat<S> few = stepped<S>(alone, larger.leftCols(2), gradient.leftCols(2));
  const Mat<S> all = stepped(grown, larger, gradient);
  CHECK(Mat<S>(all.leftCols(2)) == few);
  CHECK(first_of(grown).leftCols(2) == first_of(alone));
}

TEST_CASE_TEMPLATE("keep_columns selects and reorders bit for bit", S, TEST_SCALARS) {
  AdamW<S> state(8, 3);
  Stored<S> parameter = on_backend(Mat<S>::Random(8, 3));
  take_steps(state, parameter, 4);
  state.append_columns(1);
  const Mat<S> first = first_of(state);
  const Mat<S> second = second_of(state);
  const Index capacity = state.capacity();
  state.keep_columns(std::array<Index, 3>{3, 0, 2});
  CHECK(state.cols() == 3);
  CHECK(state.capacity() == capacity);
  CHECK(first_of(state).col(1) == first.col(0));
  CHECK(second_of(state).col(2) == second.col(2));
  CHECK(state.steps()[0] == 0);
  CHECK(state.steps()[1] == 4);
  state.shrink_to_fit();
  CHECK(state.capacity() == 3);
  CHECK(first_of(state).col(1) == first.col(0));
  CHECK(second_of(state).col(2) == second.col(2));
  CHECK_THROWS_AS(state.keep_columns(std::array<Index, 1>{3}), accrete::RankError);
}

namespace {

// The state after rotation from its definition, entry by entry: V' = (1 - beta2^t')
// |(V̂ - M̂²) C² + (M̂ C)²| with the corrected moments of each column's own count.
template <class S>
Mat<long double> rotated_second(const AdamW<S>& before, const Mat<S>& change,
                                std::span<const std::int64_t> new_steps) {
  const AdamWOptions& options = before.options();
  const auto correction = [](double beta, std::int64_t t) {
    return 1 - std::pow(static_cast<long double>(beta), static_cast<long double>(t));
  };
  Exact mean = first_of(before).template cast<long double>();
  Exact variance = second_of(before).template cast<long double>();
  for (Index j = 0; j < mean.cols(); ++j) {
    const std::int64_t t = before.steps()[static_cast<std::size_t>(j)];
    mean.col(j) *= t > 0 ? 1 / correction(options.beta1, t) : 0;
    variance.col(j) *= t > 0 ? 1 / correction(options.beta2, t) : 0;
  }
  variance -= mean.cwiseAbs2();
  const Exact c = change.template cast<long double>();
  Exact result = (variance * c.cwiseAbs2() + (mean * c).cwiseAbs2()).cwiseAbs();
  for (Index j = 0; j < result.cols(); ++j) {
    result.col(j) *= correction(options.beta2, new_steps[static_cast<std::size_t>(j)]);
  }
  return result;
}

} // namespace

TEST_CASE_TEMPLATE("rotation carries the first moment exactly, the second by either form", S,
                   TEST_SCALARS) {
  AdamW<S> state(16, 3);
  Stored<S> parameter = on_backend(Mat<S>::Random(16, 3));
  take_steps(state, parameter, 6);
  state.append_columns(1);
  const AdamW<S> before = state;
  Mat<S> change(4, 3);
  change << S{1}, S{0}, S{0}, S{2}, S{0}, S{-1}, S{0}, S{0}, S{0.5}, S{0.25}, S{0}, S{8};
  const double small = 16 * static_cast<double>(std::numeric_limits<S>::epsilon());
  const Mat<S> first = first_of(before);
  const Mat<S> second = second_of(before);
  state.rotate(change);
  CHECK((first_of(state) - first * change).norm() <= small * first.norm() * change.norm());
  const auto expected = rotated_second<S>(before, change, state.steps());
  const double scale = static_cast<double>(second.norm() + first.cwiseAbs2().norm()) *
                       static_cast<double>(change.squaredNorm());
  CHECK(static_cast<double>((second_of(state).template cast<long double>() - expected).norm()) <=
        small * scale);
  CHECK((second_of(state).array() >= S{0}).all());
  CHECK(state.steps()[0] == 6);
  CHECK(state.steps()[1] == 0);
  CHECK(state.steps()[2] == 0);
  CHECK(second_of(state).col(1).isZero(S{0}));
  CHECK_THROWS_AS(state.rotate(change), accrete::ShapeError);

  state = before;
  state.rotate(change, SecondMoment::uncorrelated);
  CHECK((first_of(state) - first * change).norm() <= small * first.norm() * change.norm());
  CHECK((second_of(state) - second * change.cwiseAbs2()).norm() <=
        small * second.norm() * change.squaredNorm());
}

TEST_CASE_TEMPLATE("a second moment stays positive where the estimated variance is negative", S,
                   TEST_SCALARS) {
  // After 90 zeros, ten ones weigh 0.65 in the mean and 0.1 in the second moment.
  AdamW<S> state(5, 2);
  for (int t = 0; t < 100; ++t) {
    direction_of<S>(state, Mat<S>::Constant(5, 2, t < 90 ? S{0} : S{1}));
  }
  const AdamW<S> before = state;
  Mat<S> difference(2, 1);
  difference << S{1}, S{-1};
  state.rotate(difference);
  const auto expected = rotated_second<S>(before, difference, state.steps());
  CHECK((second_of(state).array() > S{0}).all());
  CHECK(static_cast<double>((second_of(state).template cast<long double>() - expected).norm()) <=
        200 * static_cast<double>(std::numeric_limits<S>::epsilon()) *
            static_cast<double>(expected.norm()));
}

TEST_CASE_TEMPLATE("a rotated state of a constant gradient is the state of the rotated gradient", S,
                   TEST_SCALARS) {
  const Mat<S> gradient = Mat<S>::Random(11, 3);
  const Mat<S> change = Mat<S>::Random(3, 4);
  const Mat<S> rotated_gradient = gradient * change;
  AdamW<S> state(11, 3);
  AdamW<S> expected(11, 4);
  for (int t = 0; t < 9; ++t) {
    direction_of(state, gradient);
    direction_of(expected, rotated_gradient);
  }
  state.rotate(change);
  // Nine roundings of the moments, and the products of the rotation.
  const S small = 60 * std::numeric_limits<S>::epsilon();
  const S second = second_of(expected).norm() + gradient.squaredNorm() * S(0.009);
  CHECK((first_of(state) - first_of(expected)).norm() <= small * first_of(expected).norm());
  CHECK((second_of(state) - second_of(expected)).norm() <= small * second);
}

TEST_CASE_TEMPLATE("a signed permutation moves both moments like the columns", S, TEST_SCALARS) {
  AdamW<S> state(10, 3);
  Stored<S> parameter = on_backend(Mat<S>::Random(10, 3));
  take_steps(state, parameter, 7);
  const Mat<S> first = first_of(state);
  const Mat<S> second = second_of(state);
  Mat<S> change = Mat<S>::Zero(3, 3);
  change(2, 0) = S{1};
  change(0, 1) = S{-1};
  change(1, 2) = S{1};
  state.rotate(change);
  const S small = 30 * std::numeric_limits<S>::epsilon();
  CHECK(first_of(state).col(0) == first.col(2));
  CHECK(first_of(state).col(1) == -first.col(0));
  CHECK((second_of(state).col(1) - second.col(0)).norm() <= small * second.norm());
  CHECK((second_of(state).col(2) - second.col(1)).norm() <= small * second.norm());
}

TEST_CASE_TEMPLATE("resting columns stay as they are, for as many steps as asked", S,
                   TEST_SCALARS) {
  AdamW<S> state(6, 4, {.weight_decay = 0.1});
  Stored<S> target = on_backend(Mat<S>::Random(6, 4));
  take_steps(state, target, 3);
  AdamW<S> free = state;
  state.freeze_columns(std::array<Index, 2>{1, 3}, 2);
  const Mat<S> resting = to_host(target);
  const Mat<S> first = first_of(state);
  Mat<S> parameter = resting;
  Mat<S> other = resting;
  const Mat<S> gradient = Mat<S>::Random(6, 4);
  for (int t = 0; t < 2; ++t) {
    parameter = stepped(state, parameter, gradient);
    other = stepped(free, other, gradient);
  }
  for (const Index j : {1, 3}) {
    CHECK(parameter.col(j) == resting.col(j));
    CHECK(first_of(state).col(j) == first.col(j));
    CHECK(state.steps()[static_cast<std::size_t>(j)] == 3);
    CHECK(state.frozen()[static_cast<std::size_t>(j)] == 0);
  }
  for (const Index j : {0, 2}) {
    CHECK(parameter.col(j) == other.col(j));
    CHECK(state.steps()[static_cast<std::size_t>(j)] == 5);
  }
  state.freeze_columns(std::array<Index, 1>{0}, 1);
  const Mat<S> direction = direction_of(state, gradient);
  CHECK(direction.col(0).isZero(S{0}));
  CHECK(direction.col(1).norm() > S{0});
  parameter = stepped(state, parameter, gradient);
  CHECK(parameter.col(3) != resting.col(3));
  CHECK_THROWS_AS(state.freeze_columns(std::array<Index, 1>{4}, 1), accrete::RankError);
  CHECK_THROWS_AS(state.freeze_columns(std::array<Index, 1>{0}, -1), accrete::ArgumentError);
}

TEST_CASE_TEMPLATE("reset_columns forgets these columns and no others", S, TEST_SCALARS) {
  AdamW<S> state(6, 3);
  Stored<S> parameter = on_backend(Mat<S>::Random(6, 3));
  take_steps(state, parameter, 3);
  const Mat<S> first = first_of(state);
  const Mat<S> second = second_of(state);
  state.reset_columns(std::array<Index, 1>{1});
  CHECK(first_of(state).col(1).isZero(S{0}));
  CHECK(second_of(state).col(1).isZero(S{0}));
  CHECK(state.steps()[1] == 0);
  for (const Index j : {0, 2}) {
    CHECK(first_of(state).col(j) == first.col(j));
    CHECK(second_of(state).col(j) == second.col(j));
    CHECK(state.steps()[static_cast<std::size_t>(j)] == 3);
  }
  CHECK_THROWS_AS(state.reset_columns(std::array<Index, 2>{0, 3}), accrete::RankError);
  CHECK(first_of(state).col(0) == first.col(0));
}

TEST_CASE_TEMPLATE("the direction is the step without rate and decay", S, TEST_SCALARS) {
  AdamW<S> a(10, 4, {.weight_decay = 0});
  AdamW<S> b(10, 4, {.weight_decay = 0.5});
  Stored<S> target = on_backend(Mat<S>::Zero(10, 4));
  const Mat<S> gradient = Mat<S>::Random(10, 4);
  a.step(target, on_backend(gradient), 0.125);
  const Mat<S> parameter = to_host(target);
  const Mat<S> direction = direction_of(b, gradient);
  CHECK((parameter + S{0.125} * direction).norm() <=
        8 * std::numeric_limits<S>::epsilon() * parameter.norm());
  CHECK(b.steps()[0] == 1);
}

namespace {

// What a checkpoint holds: names and plain numbers.
struct Saved {
  std::map<std::string, std::vector<double>> values;

  template <class S>
  void operator()(const char* name, StoredView<S> view) {
    const Mat<double> entries = to_host(view).template cast<double>();
    values[name].assign(entries.data(), entries.data() + entries.size());
  }
  void operator()(const char* name, std::span<std::int64_t> counts) {
    values[name].assign(counts.begin(), counts.end());
  }
  void operator()(const char* name, double field) { values[name] = {field}; }
};

struct Restored {
  const Saved& saved;

  template <class S>
  void operator()(const char* name, StoredView<S> view) const {
    const auto& entries = saved.values.at(name);
    REQUIRE(static_cast<Index>(entries.size()) == view.size());
    write(view, Mat<S>(Eigen::Map<const Mat<double>>(entries.data(), view.rows, view.cols)
                           .template cast<S>()));
  }
  void operator()(const char* name, std::span<std::int64_t> counts) const {
    for (std::size_t j = 0; j < counts.size(); ++j) {
      counts[j] = static_cast<std::int64_t>(saved.values.at(name).at(j));
    }
  }
  void operator()(const char* name, double& field) const { field = saved.values.at(name).at(0); }
};

} // namespace

TEST_CASE_TEMPLATE("a state saved and restored continues bit for bit", S, TEST_SCALARS) {
  static_assert(accrete::Optimizer<AdamW<S>>);
  AdamW<S> state(12, 3, {.beta1 = 0.8, .epsilon = 1e-6});
  Stored<S> parameter = on_backend(Mat<S>::Random(12, 3));
  take_steps(state, parameter, 3);
  state.append_columns(2);
  state.freeze_columns(std::array<Index, 2>{0, 4}, 2);
  Saved saved;
  const auto save = [&saved](const char* name, auto&& value) { saved(name, value); };
  AdamWOptions options = state.options();
  options.visit(save);
  state.visit_state(save);
  CHECK(saved.values.size() == 8);

  AdamWOptions read;
  const Restored restore{saved};
  read.visit(restore);
  AdamW<S> restored(12, 5, read);
  restored.visit_state(restore);
  Mat<S> larger = Mat<S>::Random(12, 5);
  Mat<S> other = larger;
  for (int t = 0; t < 3; ++t) {
    const Mat<S> gradient = Mat<S>::Random(12, 5);
    larger = stepped(state, larger, gradient);
    other = stepped(restored, other, gradient);
    CHECK(other == larger);
  }
}

TEST_CASE("options, rates and shapes outside their domain are refused") {
  CHECK_THROWS_AS(AdamW<float>(3, 3, {.beta1 = 1.0}), accrete::ArgumentError);
  CHECK_THROWS_AS(AdamW<float>(3, 3, {.beta2 = -0.1}), accrete::ArgumentError);
  CHECK_THROWS_AS(AdamW<float>(3, 3, {.epsilon = -1e-8}), accrete::ArgumentError);
  CHECK_THROWS_AS(AdamW<float>(3, 3, {.weight_decay = std::nan("")}), accrete::ArgumentError);
  AdamW<float> state(3, 3);
  Stored<float> parameter = on_backend(Mat<float>::Zero(3, 3));
  const Stored<float> gradient = on_backend(Mat<float>::Ones(3, 2));
  CHECK_THROWS_AS(state.step(parameter, gradient, 1e-3), accrete::ShapeError);
  CHECK_THROWS_AS(state.step(parameter, parameter, std::nan("")), accrete::ArgumentError);
  CHECK_THROWS_AS(state.append_columns(-1), accrete::ArgumentError);
  CHECK(state.steps()[0] == 0);
}

TEST_CASE_TEMPLATE("an epsilon that is zero in the scalar is refused", S, TEST_SCALARS) {
  // With one, an entry without a gradient becomes 0 / 0.
  CHECK_THROWS_WITH_AS((accrete::AdamW<S, TestBackend>(3, 3, {.epsilon = 0})),
                       "accrete: AdamW: epsilon = 0 is outside (0, infinity)",
                       accrete::ArgumentError);
  CHECK_THROWS_AS((accrete::AdamW<S, TestBackend>(3, 3, {.epsilon = 1e-310})),
                  accrete::ArgumentError);
  if (sizeof(S) == 4) {
    CHECK_THROWS_WITH_AS((accrete::AdamW<S, TestBackend>(3, 3, {.epsilon = 1e-50})),
                         doctest::Contains("AdamW: epsilon = 1e-50 is zero or subnormal"),
                         accrete::ArgumentError);
  }
  Stored<S> parameter = on_backend(Mat<S>::Ones(3, 3));
  accrete::AdamW<S, TestBackend> state(3, 3, {.epsilon = 1e-30, .weight_decay = 0});
  state.step(parameter, on_backend(Mat<S>::Zero(3, 3)), 0.1);
  CHECK(to_host(parameter) == Mat<S>::Ones(3, 3));
}

TEST_CASE("more columns than an index counts are refused") {
  accrete::AdamW<float, TestBackend> state(3, 2);
  CHECK_THROWS_AS(state.append_columns(std::numeric_limits<Index>::max()), accrete::RankError);
  CHECK(state.cols() == 2);
}
