// SPDX-License-Identifier: MIT
// Streams a matrix from a file through an incremental decomposition and prints the seconds as JSON;
// benchmarks/incremental_svd calls it beside its peers.
//
//     incremental_svd_stream svd|pca|bdcsvd DATA ROWS COLS RANK FIRST BLOCK BASIS
//
// DATA holds the columns one after the other in double. The first FIRST columns come as one block,
// the others BLOCK at a time. BASIS receives the ROWS x rank left vectors, and for pca the mean.
#include <accrete/accrete.hpp>

#include <Eigen/SVD>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace {

using Matrix = Eigen::MatrixXd;
using Eigen::Index;

struct Options {
  const char* method;
  const char* data;
  Index rows, cols, rank, first, block;
  const char* basis;
};

Matrix read(const Options& options) {
  Matrix x(options.rows, options.cols);
  std::ifstream file(options.data, std::ios::binary);
  file.read(reinterpret_cast<char*>(x.data()), x.size() * 8);
  if (!file) {
    std::fprintf(stderr, "%s is too short for %td x %td doubles\n", options.data, options.rows,
                 options.cols);
    std::exit(1);
  }
  return x;
}

template <class Append>
void stream(const Options& options, const Matrix& x, const Append& append) {
  append(x.leftCols(options.first));
  for (Index j = options.first; j < options.cols; j += options.block) {
    append(x.middleCols(j, std::min(options.block, options.cols - j)));
  }
}

Matrix basis(const Options& options, const Matrix& x) {
  if (std::strcmp(options.method, "bdcsvd") == 0) {
    const Eigen::BDCSVD<Matrix> svd(x, Eigen::ComputeThinU);
    return svd.matrixU().leftCols(options.rank);
  }
  if (std::strcmp(options.method, "pca") == 0) {
    accrete::IncrementalPCA<double> pca(options.rows, {.max_rank = options.rank});
    stream(options, x, [&](const auto& block) { pca.append(block); });
    Matrix result(options.rows, pca.rank() + 1);
    result << Matrix(pca.components()), Matrix(pca.mean());
    return result;
  }
  accrete::IncrementalSVD<double> svd(options.rows, {.max_rank = options.rank});
  stream(options, x, [&](const auto& block) { svd.append_columns(block); });
  static_cast<void>(svd.V());
  return svd.U();
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr, "incremental_svd_stream svd|pca|bdcsvd DATA ROWS COLS RANK FIRST BLOCK "
                         "BASIS\n");
    return 2;
  }
  const auto number = [&](int i) { return static_cast<Index>(std::atoll(argv[i])); };
  const Options options{argv[1],   argv[2],   number(3), number(4),
                        number(5), number(6), number(7), argv[8]};
  const Matrix x = read(options);
  const auto start = std::chrono::steady_clock::now();
  const Matrix result = basis(options, x);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::ofstream file(options.basis, std::ios::binary);
  file.write(reinterpret_cast<const char*>(result.data()), result.size() * 8);
  std::printf("{\"seconds\": %.6f}\n", seconds.count());
  return file ? 0 : 1;
}
