// SPDX-License-Identifier: MIT
#include "suite.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <regex>
#include <set>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>

namespace benchmarks {

namespace {

template <class Scalar>
struct Contestant {
  std::string name;
  Pool pool;
  Make<Scalar> make;
};

template <class Scalar>
std::vector<Contestant<Scalar>>& contestants(const std::string& case_name) {
  static std::map<std::string, std::vector<Contestant<Scalar>>> all;
  return all[case_name];
}

template <class Scalar>
constexpr const char* scalar_name = std::is_same_v<Scalar, float> ? "float" : "double";

/// Lets the threads of the contestant before fall asleep when the next one uses others.
void change_to(Pool pool) {
  static Pool last = pool;
  if (std::exchange(last, pool) != pool) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

template <class Scalar>
bool are_near(const Column& value, const Column& expected) {
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += (value[i] - expected[i]) * (value[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  // Written so that a NaN is no success.
  return error <= std::pow(1e3 * std::numeric_limits<Scalar>::epsilon(), 2) * norm;
}

template <class Scalar>
bool is_right(const Case<Scalar>& what, const Operands<Scalar>& o) {
  for (const auto& [value, expected] : what.results(o)) {
    if (!are_near<Scalar>(value, expected)) {
      return false;
    }
  }
  return true;
}

/// Arguments as they stand in the names of benchmarks.
std::vector<std::pair<std::string, long>> arguments(const Shape& shape) {
  std::vector<std::pair<std::string, long>> all = {
      {"m", shape.m}, {"n", shape.n}, {"r", shape.r}, {"p", shape.p}};
  std::erase_if(all, [](const auto& argument) { return argument.second == 0; });
  return all;
}

std::string text(const Shape& shape) {
  std::string result;
  for (const auto& [name, value] : arguments(shape)) {
    result += (result.empty() ? "" : "/") + name + ':' + std::to_string(value);
  }
  return result;
}

template <class Scalar>
void count(benchmark::State& state, const Case<Scalar>& what, const Shape& shape) {
  const auto per_second = [](double value) {
    return benchmark::Counter(value, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["flops_per_second"] = per_second(what.flops(shape));
  state.counters["bytes_per_second"] = per_second(sizeof(Scalar) * what.entries(shape));
}

/// Looks at the result once for each contestant and shape.
template <class Scalar>
bool gives_right_result(const Case<Scalar>& what, const std::string& key, const Operands<Scalar>& o,
                        const std::function<void()>& compute) {
  static std::set<std::string> known;
  if (!known.contains(key)) {
    compute();
    if (!is_right(what, o)) {
      return false;
    }
    known.insert(key);
  }
  return true;
}

/// Threads that slept, as they did during the look at the result, cost more than half a
/// millisecond, and caches and branches want more than one call.
void warm_up(const std::function<void()>& compute) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
  do {
    compute();
  } while (std::chrono::steady_clock::now() < end);
}

/// `follows`: right after a call of the same contestant.
template <class Scalar>
void measure(benchmark::State& state, const Case<Scalar>& what, const Shape& shape,
             const Contestant<Scalar>& contestant, bool follows) {
  const Operands<Scalar> o(shape);
  change_to(contestant.pool);
  const std::function<void()> compute = contestant.make(o);
  what.prepare(o);
  const std::string key = what.name + ' ' + contestant.name + ' ' + text(shape);
  if (!gives_right_result(what, key, o, compute)) {
    return state.SkipWithError("wrong result");
  }
  if (!follows) {
    warm_up(compute);
  }
  for (auto _ : state) {
    compute();
    benchmark::ClobberMemory();
  }
  count(state, what, shape);
}

/// Reads [data, data + count) as fast as it can: many independent sums, and all threads where
/// waking them pays.
template <class Scalar>
Scalar sum(const Scalar* data, long count) {
  constexpr long lanes = 1024 / sizeof(Scalar);
  Scalar total = 0;
#pragma omp parallel reduction(+ : total) if (count * sizeof(Scalar) > (1 << 18))
  {
    Scalar sums[lanes] = {};
#pragma omp for schedule(static)
    for (long block = 0; block < count / lanes; ++block) {
      for (long i = 0; i < lanes; ++i) {
        sums[i] += data[block * lanes + i];
      }
    }
    for (const Scalar value : sums) {
      total += value;
    }
  }
  return total;
}

template <class Scalar>
void read(benchmark::State& state, const Case<Scalar>& what, const Shape& shape) {
  const Operands<Scalar> o(shape);
  change_to(Pool::openmp);
  const auto entries = static_cast<long>(what.entries(shape));
  benchmark::DoNotOptimize(sum(o.first(), entries));
  for (auto _ : state) {
    benchmark::DoNotOptimize(sum(o.first(), entries));
    benchmark::ClobberMemory();
  }
  count(state, what, shape);
}

/// Processors that were idle take a while to reach their speed.
void wake_processors() {
  const std::vector<float> numbers(1 << 20);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  while (std::chrono::steady_clock::now() < end) {
    benchmark::DoNotOptimize(sum(numbers.data(), static_cast<long>(numbers.size())));
  }
}

/// Lets the caller, who has read the name, decide when the next series starts: between two of them
/// it measures what runs in a process of its own.
void wait_for_turn(const std::string& name) {
  std::cout << "next " << name << std::endl;
  std::string line;
  std::getline(std::cin, line);
}

/// Its name, and what measures it, which is told whether it was measured right before.
using Series = std::pair<std::string, std::function<void(benchmark::State&, bool follows)>>;

void register_one(const Series& series, const Shape& shape, bool takes_turns) {
  std::vector<std::int64_t> values;
  std::vector<std::string> names;
  for (const auto& [argument, value] : arguments(shape)) {
    names.push_back(argument);
    values.push_back(value);
  }
  // Google Benchmark calls it again and again until it has found how many iterations to make.
  const auto waits = std::make_shared<bool>(takes_turns);
  const auto run = [series, waits, takes_turns](benchmark::State& state) {
    const bool is_turn = std::exchange(*waits, false);
    if (is_turn) {
      wait_for_turn(series.first);
    }
    series.second(state, takes_turns && !is_turn);
  };
  benchmark::RegisterBenchmark(series.first.c_str(), run)
      ->Args(values)
      ->ArgNames(names)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

template <class Scalar>
Case<Scalar> dense_case() {
  Case<Scalar> what;
  what.name = "dense";
  what.flops = [](const Shape& s) { return 2.0 * static_cast<double>(s.m * s.n * s.p); };
  what.entries = [](const Shape& s) { return static_cast<double>(s.m * s.n + (s.m + s.n) * s.p); };
  what.dense = [](const Shape&) { return std::vector<Shape>{}; };
  what.results = [](const Operands<Scalar>& o) {
    const Column x = probe(o.shape.p);
    return std::vector{std::pair(product(o.Y, x), product(o.W0, product(o.X, x)))};
  };
  return what;
}

template <class Scalar>
Series series_of(const std::shared_ptr<const Case<Scalar>>& what, const std::string& name,
                 const Shape& shape, const Contestant<Scalar>& contestant) {
  return {what->name + '/' + scalar_name<Scalar> + '/' + name,
          [=](benchmark::State& state, bool follows) {
            measure<Scalar>(state, *what, shape, contestant, follows);
          }};
}

/// The contestants of a case at one shape; the first one is accrete.
template <class Scalar>
std::vector<Series> contest(const std::shared_ptr<const Case<Scalar>>& what, const Shape& shape) {
  reserve<Scalar>(shape, static_cast<std::size_t>(what->entries(shape)));
  std::vector<Series> all;
  for (const Contestant<Scalar>& contestant : contestants<Scalar>(what->name)) {
    const bool is_accrete = contestant.name == "accrete";
    all.insert(is_accrete ? all.begin() : all.end(),
               series_of(what, contestant.name, shape, contestant));
    if (is_accrete) {
      all.push_back(series_of(what, "control", shape, contestant));
    }
  }
  all.emplace_back(what->name + '/' + scalar_name<Scalar> + "/read",
                   [=](benchmark::State& state, bool) { read<Scalar>(state, *what, shape); });
  return all;
}

template <class Scalar>
std::vector<Series> dense_contest(const Shape& shape) {
  static const auto what = std::make_shared<const Case<Scalar>>(dense_case<Scalar>());
  reserve<Scalar>(shape, 0);
  std::vector<Series> all;
  for (const Contestant<Scalar>& contestant : contestants<Scalar>("dense")) {
    all.push_back(series_of(what, contestant.name, shape, contestant));
  }
  return all;
}

/// Each contestant once, and each dense product once, however many cases ask for it.
template <class Scalar>
void add_once(const std::shared_ptr<const Case<Scalar>>& what, const Shape& shape) {
  for (const Series& series : contest(what, shape)) {
    register_one(series, shape, false);
  }
  static std::set<Shape> added;
  for (const Shape& dense : what->dense(shape)) {
    if (added.insert(dense).second) {
      for (const Series& series : dense_contest<Scalar>(dense)) {
        register_one(series, dense, false);
      }
    }
  }
}

struct Options {
  std::regex shapes;
  long blocks;            ///< 0: each series once
  std::regex contestants; ///< of blocks
};

/// Blocks of contestants in random order, each between two series of accrete, and one of what the
/// caller measures elsewhere.
template <class Scalar>
void add_blocks(const std::shared_ptr<const Case<Scalar>>& what, const Shape& shape,
                const Options& options) {
  std::vector<std::pair<Series, Shape>> others;
  for (const Series& series : contest(what, shape)) {
    others.emplace_back(series, shape);
  }
  const Series accrete = others.front().first;
  others.front().first = {what->name + '/' + scalar_name<Scalar> + "/elsewhere",
                          [](benchmark::State& state, bool) {
                            for (auto _ : state) {
                            }
                          }};
  for (const Shape& dense : what->dense(shape)) {
    for (const Series& series : dense_contest<Scalar>(dense)) {
      others.emplace_back(series, dense);
    }
  }
  std::erase_if(others, [&](const auto& other) {
    const std::string& name = other.first.first;
    return !std::regex_match(name.substr(name.rfind('/') + 1), options.contestants);
  });
  std::mt19937 random(1);
  for (long block = 0; block < options.blocks; ++block) {
    std::shuffle(others.begin(), others.end(), random);
    for (const auto& [series, its_shape] : others) {
      register_one(accrete, shape, true);
      register_one(series, its_shape, true);
    }
  }
  register_one(accrete, shape, true);
}

template <class Scalar>
void add(const Case<Scalar>& one, const Options& options) {
  const auto what = std::make_shared<const Case<Scalar>>(one);
  for (const Shape& shape : what->shapes) {
    if (!std::regex_search(what->name + '/' + text(shape), options.shapes)) {
      continue;
    }
    if (options.blocks > 0) {
      add_blocks(what, shape, options);
    } else {
      add_once(what, shape);
    }
  }
}

/// Removes the option --NAME=VALUE and returns its value, or `otherwise`.
std::string take_option(int& argc, char** argv, std::string_view start, std::string otherwise) {
  const auto end = std::remove_if(argv + 1, argv + argc, [&](const char* argument) {
    if (!std::string_view(argument).starts_with(start)) {
      return false;
    }
    otherwise = argument + start.size();
    return true;
  });
  argc = static_cast<int>(end - argv);
  return otherwise;
}

} // namespace

template <class Scalar>
bool enter(const char* case_name, const char* contestant, Pool pool, Make<Scalar> make) {
  contestants<Scalar>(case_name).push_back({contestant, pool, make});
  return true;
}

int run(int argc, char** argv, const std::vector<Case<float>>& cases,
        const std::vector<Case<double>>& cases_in_double) {
  const Options options{std::regex(take_option(argc, argv, "--shapes=", "")),
                        std::stol(take_option(argc, argv, "--blocks=", "0")),
                        std::regex(take_option(argc, argv, "--contestants=", ".*"))};
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  for (const auto& what : cases) {
    add(what, options);
  }
  for (const auto& what : cases_in_double) {
    add(what, options);
  }
  wake_processors();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

std::vector<Shape> gpt2_shapes(const std::vector<long>& ranks, const std::vector<long>& columns) {
  std::vector<Shape> shapes;
  for (const auto& [m, n] : {std::pair<long, long>{768, 768},
                             {2304, 768},
                             {3072, 768},
                             {768, 3072},
                             {1024, 1024},
                             {3072, 1024},
                             {4096, 1024},
                             {1024, 4096}}) {
    for (const long r : ranks) {
      for (const long p : columns) {
        shapes.push_back({m, n, r, p});
      }
    }
  }
  return shapes;
}

template bool enter<float>(const char*, const char*, Pool, Make<float>);
template bool enter<double>(const char*, const char*, Pool, Make<double>);

} // namespace benchmarks
