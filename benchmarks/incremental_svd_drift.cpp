// SPDX-License-Identifier: MIT
// Ten thousand rank-1 updates of an IncrementalSVD: prints the orthogonality of its bases, the true
// error and the error bound as they go, tab-separated; benchmarks/incremental_svd_plots draws them.
//
//     incremental_svd_drift float|double add|append CHECK_EVERY
//
// add: X <- 0.999 X + a bᵀ, 400 x 300, random a and b. append: a 400 x 10,000 matrix of decaying
// spectrum, column by column. Both at rank 50.
#include <accrete/accrete.hpp>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace {

using Eigen::Index;

constexpr Index rows = 400;
constexpr Index updates = 10000;
constexpr Index rank = 50;

struct Random {
  std::mt19937 generator{1};
  std::normal_distribution<double> normal;
  Eigen::MatrixXd operator()(Index m, Index n) {
    return Eigen::MatrixXd::NullaryExpr(m, n, [this] { return normal(generator); });
  }
};

/// Everything beside the updates themselves is left out of the time.
template <class Scalar, class Update>
void follow(accrete::IncrementalSVD<Scalar>& svd, const Eigen::MatrixXd& x, const Update& update) {
  std::printf("# update\torthogonality\terror\tbound\tnorm\tseconds\n");
  double seconds = 0;
  double next = 1;
  for (Index i = 1; i <= updates; ++i) {
    const auto start = std::chrono::steady_clock::now();
    update(i);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (static_cast<double>(i) < next) {
      continue;
    }
    next = std::max(next * 1.1, next + 1);
    const Index n = svd.cols();
    const Eigen::VectorXd values = svd.singular_values();
    const Eigen::MatrixXd u = svd.U().template cast<double>();
    const Eigen::MatrixXd v = svd.V().template cast<double>();
    const double error = (x.leftCols(n) - u * values.asDiagonal() * v.transpose()).norm();
    std::printf("%td\t%.3e\t%.3e\t%.3e\t%.3e\t%.3f\n", i, svd.orthogonality(), error,
                svd.error_bound(), x.leftCols(n).norm(), seconds);
  }
}

template <class Scalar>
void run(bool add, Index check_every) {
  using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  Random random;
  accrete::IncrementalSVD<Scalar> svd(rows, {.max_rank = rank, .check_every = check_every});
  if (add) {
    Eigen::MatrixXd x = Eigen::MatrixXd::Zero(rows, 300);
    svd.append_columns(x.cast<Scalar>());
    Matrix a;
    Matrix b;
    follow(svd, x, [&](Index) {
      a = random(rows, 1).cast<Scalar>();
      b = random(300, 1).cast<Scalar>();
      svd.forget(0.999);
      svd.add(a, b);
      x *= 0.999;
      x += a.template cast<double>() * b.template cast<double>().transpose();
    });
    return;
  }
  Eigen::VectorXd spectrum(rows);
  for (Index j = 0; j < rows; ++j) {
    spectrum[j] = std::pow(0.93, static_cast<double>(j));
  }
  const Matrix narrow =
      (random(rows, rows) * spectrum.asDiagonal() * random(rows, updates)).cast<Scalar>();
  const Eigen::MatrixXd x = narrow.template cast<double>();
  follow(svd, x, [&](Index i) { svd.append_columns(narrow.col(i - 1)); });
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "incremental_svd_drift float|double add|append CHECK_EVERY\n");
    return 2;
  }
  const bool add = std::strcmp(argv[2], "add") == 0;
  const Index check_every = std::atoll(argv[3]);
  std::strcmp(argv[1], "float") == 0 ? run<float>(add, check_every) : run<double>(add, check_every);
  return 0;
}
