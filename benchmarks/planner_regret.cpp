// SPDX-License-Identifier: MIT
// How good the planner's choices and predictions are, on random expressions and shapes.
//
//     planner_regret [CASES [SCALAR [FILE]]]
//
// SCALAR of the operands: float, double or bfloat16.
//
// For each case the plan that the calibrated model chooses is timed beside every other plan that
// some of 40 random cost models choose. Regret is its time over the best one's. Prints the share of
// cases within 5 %, and how far predicted times are from measured ones, for the calibrated model
// and for the default one. FILE receives the measured and both predicted times of each case.
#include <accrete/accrete.hpp>
#include <accrete/bfloat16.hpp>
#include <accrete/plan/calibrate.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

namespace ac = accrete;
using Eigen::Index;

namespace {

/// Every kernel has a random price a FLOP, a byte and a call.
class RandomModel final : public ac::CostModel {
 public:
  explicit RandomModel(unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<double> decades(-2, 2);
    for (double& price : prices_) {
      price = std::pow(10.0, decades(generator));
    }
  }
  [[nodiscard]] double seconds(const ac::KernelCall& call) const override {
    const auto kernel = static_cast<std::size_t>(call.kernel);
    const double thin = static_cast<double>(std::min({call.m, call.n, call.k}));
    return 1e-6 * prices_[kernel] + 1e-11 * prices_[4] * call.flops() * (1 + prices_[5] / thin) +
           1e-10 * prices_[6] * call.bytes();
  }

 private:
  double prices_[7];
};

double seconds_of(const std::function<void()>& run, Index count) {
  const auto start = std::chrono::steady_clock::now();
  for (Index i = 0; i < count; ++i) {
    run();
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count() / static_cast<double>(count);
}

struct Contestant {
  std::unique_ptr<ac::Context<ac::Cpu>> context;
  ac::Plan plan;
  std::vector<double> times;

  [[nodiscard]] double median() {
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                     times.end());
    return times[times.size() / 2];
  }
};

struct Result {
  double regret;
  double default_regret;
  double calibrated_ratio;
  double default_ratio;
  std::size_t plans;
  double seconds;
};

/// `expression` makes the node; `target` receives its value.
template <class Make>
Result judge(const std::shared_ptr<const ac::CostModel>& model, const Make& make) {
  std::vector<Contestant> all;
  // Where the plan stands among `all`.
  const auto enter = [&](std::unique_ptr<ac::Context<ac::Cpu>> context) {
    ac::Plan plan = ac::plan(*context, make());
    std::size_t i = 0;
    while (i < all.size() && !(all[i].plan == plan)) {
      ++i;
    }
    if (i == all.size()) {
      all.push_back({std::move(context), std::move(plan), {}});
    }
    return i;
  };
  enter(std::make_unique<ac::Context<ac::Cpu>>(model));
  const std::size_t by_default = enter(std::make_unique<ac::Context<ac::Cpu>>());
  for (unsigned seed = 0; seed < 40; ++seed) {
    enter(std::make_unique<ac::Context<ac::Cpu>>(std::make_shared<RandomModel>(seed)));
  }
  const double default_prediction =
      ac::plan(*std::make_unique<ac::Context<ac::Cpu>>(), make()).predicted_seconds();

  using Value = typename decltype(make())::Scalar;
  Eigen::MatrixX<Value> target(make().rows(), make().cols());
  std::vector<Index> counts;
  const auto time = [&](Contestant& one, Index count) {
    const ac::ScopedContext<ac::Cpu> scope(*one.context);
    return seconds_of([&] { ac::noalias(target) = make(); }, count);
  };
  for (Contestant& one : all) {
    time(one, 1);
    counts.push_back(static_cast<Index>(std::clamp(1e-3 / time(one, 1), 1.0, 1e3)));
  }
  for (int round = 0; round < 7; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].times.push_back(time(all[i], counts[i]));
    }
  }
  const double chosen = all.front().median();
  double best = chosen;
  for (Contestant& one : all) {
    best = std::min(best, one.median());
  }
  return {chosen / best,
          all[by_default].median() / best,
          all.front().plan.predicted_seconds() / chosen,
          default_prediction / chosen,
          all.size(),
          chosen};
}

template <class Scalar>
Result random_case(const std::shared_ptr<const ac::CostModel>& model, unsigned seed) {
  using Matrix = Eigen::MatrixX<Scalar>;
  std::mt19937 generator(seed);
  const auto side = [&](double low, double high) {
    std::uniform_real_distribution<double> logarithm(std::log2(low), std::log2(high));
    return static_cast<Index>(std::lround(std::exp2(logarithm(generator))));
  };
  using Value = ac::detail::accumulator<Scalar>;
  const auto random = [](Index m, Index n) {
    return Matrix(Eigen::MatrixX<Value>::Random(m, n).template cast<Scalar>());
  };
  const Index m = side(64, 2048);
  const Index n = side(64, 2048);
  const Index r = std::min({side(2, 256), m, n});
  const Index p = side(1, 2) == 1 ? 1 : side(2, 1024);
  const Matrix W0 = random(m, n), U = random(m, r), V = random(n, r), X = random(n, p);
  switch (seed % 5) {
  case 0:
    return judge(model, [&] { return (W0 + ac::outer(U, V)) * X; });
  case 1: {
    const Matrix Y = random(m, p);
    return judge(model, [&] { return (ac::lazy(W0) + ac::outer(U, V)).transpose() * Y; });
  }
  case 2: {
    const Index l = side(64, 1024);
    const Index q = std::min({side(2, 128), l, m});
    const Matrix W1 = random(l, m), P = random(l, q), Q = random(m, q);
    return judge(model, [&] { return (W1 + ac::outer(P, Q)) * (W0 + ac::outer(U, V)) * X; });
  }
  case 3: {
    const Index l = side(16, 1024);
    const Matrix B = random(l, m);
    return judge(model, [&] { return ac::lazy(B) * W0 * X; });
  }
  default:
    return judge(model, [&] { return ac::outer(U, V) * X; });
  }
}

template <class Scalar>
void run(unsigned cases, std::FILE* table) {
  const auto start = std::chrono::steady_clock::now();
  const auto model = std::make_shared<const ac::MeasuredModel>(ac::calibrate());
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("calibrate(): %.1f s\n", elapsed.count());
  unsigned within = 0;
  unsigned default_within = 0;
  unsigned calibrated = 0;
  unsigned by_default = 0;
  std::vector<double> regrets;
  for (unsigned seed = 0; seed < cases; ++seed) {
    const Result result = random_case<Scalar>(model, seed);
    const auto near = [](double ratio) { return ratio >= 0.7 && ratio <= 1.4; };
    within += result.regret <= 1.05;
    default_within += result.default_regret <= 1.05;
    calibrated += near(result.calibrated_ratio);
    by_default += near(result.default_ratio);
    regrets.push_back(result.regret);
    if (table != nullptr) {
      std::fprintf(table, "%.3e %.3e %.3e\n", result.seconds,
                   result.seconds * result.calibrated_ratio, result.seconds * result.default_ratio);
    }
    std::fprintf(stderr,
                 "%3u: %zu plans, regret %.3f (default %.3f), predicted / measured %.2f "
                 "(default %.2f)\n",
                 seed, result.plans, result.regret, result.default_regret, result.calibrated_ratio,
                 result.default_ratio);
  }
  std::sort(regrets.begin(), regrets.end());
  const auto share = [cases](unsigned count) { return 100.0 * count / cases; };
  std::printf("%u cases: within 5 %% of the best plan %.1f %%, median regret %.3f, worst %.2f\n",
              cases, share(within), regrets[cases / 2], regrets.back());
  std::printf("the model that is built in: within 5 %% of the best plan %.1f %%\n",
              share(default_within));
  std::printf("predicted / measured in [0.7, 1.4]: calibrated %.1f %%, default %.1f %%\n",
              share(calibrated), share(by_default));
}

} // namespace

int main(int argc, char** argv) {
  const unsigned cases = argc > 1 ? static_cast<unsigned>(std::atoi(argv[1])) : 300;
  const char* scalar = argc > 2 ? argv[2] : "float";
  std::FILE* table = argc > 3 ? std::fopen(argv[3], "w") : nullptr;
  if (argc > 3 && table == nullptr) {
    std::fprintf(stderr, "cannot write %s\n", argv[3]);
    return 1;
  }
  if (table != nullptr) {
    std::fprintf(table, "# seconds: measured, predicted with calibrate(), predicted without\n");
  }
  if (std::strcmp(scalar, "float") == 0) {
    run<float>(cases, table);
  } else if (std::strcmp(scalar, "double") == 0) {
    run<double>(cases, table);
  } else if (std::strcmp(scalar, "bfloat16") == 0) {
    run<ac::bfloat16>(cases, table);
  } else {
    std::fprintf(stderr, "%s is none of float, double and bfloat16\n", scalar);
    return 1;
  }
  if (table != nullptr) {
    std::fclose(table);
  }
  return 0;
}
