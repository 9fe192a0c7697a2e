// SPDX-License-Identifier: MIT
// A batch whose columns belong to different adapters of one base, Y(:, j) = (W0 + U_i V_iᵀ) X(:,
// j): AdapterSet beside what one writes by hand with Eigen, column by column or adapter by adapter.
// `order` is 0 where the columns of an adapter are neighbours and 1 where they are dealt out in
// turn. Run through benchmarks/compare.
#include <accrete/accrete.hpp>

#include <Eigen/Dense>
#include <benchmark/benchmark.h>

#include <limits>
#include <string>
#include <vector>

namespace ac = accrete;
using ac::Index;

namespace {

template <class Scalar>
using Dense = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

template <class Scalar>
struct Batch {
  Dense<Scalar> W0, X, Y;
  ac::AdapterSet<Scalar> adapters;
  std::vector<Index> adapter_of_column;

  explicit Batch(const benchmark::State& state)
      : W0(Dense<Scalar>::Random(state.range(0), state.range(1))),
        X(Dense<Scalar>::Random(state.range(1), state.range(4))),
        Y(state.range(0), state.range(4)),
        adapters(state.range(0), state.range(1)) {
    const Index count = state.range(2);
    for (Index i = 0; i < count; ++i) {
      adapters.add({Dense<Scalar>::Random(W0.rows(), state.range(3)),
                    Dense<Scalar>::Random(W0.cols(), state.range(3))});
    }
    for (Index j = 0; j < X.cols(); ++j) {
      adapter_of_column.push_back(state.range(5) == 0 ? j * count / X.cols() : j % count);
    }
  }

  /// Y against products in double, once and outside the timed loop.
  [[nodiscard]] bool is_right() const {
    const auto in_double = [](const auto& m) { return m.template cast<double>(); };
    Eigen::MatrixXd expected = in_double(W0) * in_double(X);
    for (Index j = 0; j < X.cols(); ++j) {
      const auto& update = adapters.low_rank(adapter_of_column[static_cast<std::size_t>(j)]);
      expected.col(j) +=
          in_double(update.U()) * (in_double(update.V()).transpose() * in_double(X.col(j)));
    }
    return (Y.template cast<double>() - expected).norm() <=
           1e3 * std::numeric_limits<Scalar>::epsilon() * expected.norm();
  }
};

struct Accrete {
  static constexpr const char* name = "accrete";
  template <class Scalar>
  static void run(Batch<Scalar>& b) {
    b.adapters.apply(b.W0, b.adapter_of_column, b.X, b.Y);
  }
};

struct EigenByColumn {
  static constexpr const char* name = "eigen_by_column";
  template <class Scalar>
  static void run(Batch<Scalar>& b) {
    b.Y.noalias() = b.W0 * b.X;
    for (Index j = 0; j < b.X.cols(); ++j) {
      const auto& update = b.adapters.low_rank(b.adapter_of_column[static_cast<std::size_t>(j)]);
      b.Y.col(j).noalias() += update.U() * (update.V().transpose() * b.X.col(j));
    }
  }
};

/// Columns gathered and scattered by index lists, as Eigen allows.
struct EigenByAdapter {
  static constexpr const char* name = "eigen_by_adapter";
  template <class Scalar>
  static void run(Batch<Scalar>& b) {
    b.Y.noalias() = b.W0 * b.X;
    std::vector<std::vector<Index>> columns(static_cast<std::size_t>(b.adapters.size()));
    for (Index j = 0; j < b.X.cols(); ++j) {
      columns[static_cast<std::size_t>(b.adapter_of_column[static_cast<std::size_t>(j)])].push_back(
          j);
    }
    for (Index i = 0; i < b.adapters.size(); ++i) {
      const auto& mine = columns[static_cast<std::size_t>(i)];
      const auto& update = b.adapters.low_rank(i);
      const Dense<Scalar> gathered = b.X(Eigen::all, mine);
      const Dense<Scalar> projected = update.V().transpose() * gathered;
      const Dense<Scalar> added = update.U() * projected;
      b.Y(Eigen::all, mine) += added;
    }
  }
};

template <class Scalar, class Contestant>
void adapters(benchmark::State& state) {
  Batch<Scalar> batch(state);
  Contestant::run(batch);
  if (!batch.is_right()) {
    state.SkipWithError("wrong result");
    return;
  }
  for (auto _ : state) {
    Contestant::run(batch);
    benchmark::DoNotOptimize(batch.Y.data());
    benchmark::ClobberMemory();
  }
}

template <class Scalar, class Contestant>
void register_case(const std::string& scalar) {
  for (const std::int64_t p : {8, 64, 256}) {
    for (const std::int64_t count : {4, 16}) {
      for (const std::int64_t rank : {4, 16, 64}) {
        for (const std::int64_t order : {0, 1}) {
          if (p < count) {
            continue;
          }
          benchmark::RegisterBenchmark(("adapters/" + scalar + "/" + Contestant::name).c_str(),
                                       adapters<Scalar, Contestant>)
              ->Args({768, 768, count, rank, p, order})
              ->ArgNames({"m", "n", "adapters", "r", "p", "order"})
              ->UseRealTime()
              ->Unit(benchmark::kMicrosecond);
        }
      }
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  register_case<float, Accrete>("float");
  register_case<float, EigenByColumn>("float");
  register_case<float, EigenByAdapter>("float");
  register_case<double, Accrete>("double");
  register_case<double, EigenByColumn>("double");
  register_case<double, EigenByAdapter>("double");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
