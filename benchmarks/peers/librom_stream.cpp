// SPDX-License-Identifier: MIT
// libROM's IncrementalSVDBrand on the stream of benchmarks/incremental_svd_stream.cpp; compiled by
// benchmarks/incremental_svd against a checkout of libROM. It takes one column at a time.
//
//     librom_stream DATA ROWS COLS DIMENSION RANK BASIS
//
// BASIS receives the leading RANK of DIMENSION vectors.
#include "linalg/BasisGenerator.h"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "librom_stream DATA ROWS COLS DIMENSION RANK BASIS\n");
    return 2;
  }
  MPI_Init(&argc, &argv);
  const int rows = std::atoi(argv[2]);
  const int cols = std::atoi(argv[3]);
  std::vector<double> x(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols));
  std::ifstream data(argv[1], std::ios::binary);
  data.read(reinterpret_cast<char*>(x.data()), static_cast<std::streamsize>(8 * x.size()));

  const auto start = std::chrono::steady_clock::now();
  CAROM::Options options(rows, cols, false, false);
  options.setMaxBasisDimension(std::atoi(argv[4]));
  options.setIncrementalSVD(1e-12, 1, 1e-12, 1e9, true, true, false);
  CAROM::BasisGenerator generator(options, true, "");
  for (int j = 0; j < cols; ++j) {
    generator.takeSample(x.data() + static_cast<std::size_t>(j) * static_cast<std::size_t>(rows));
  }
  const auto basis = generator.getSpatialBasis();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

  std::ofstream file(argv[6], std::ios::binary);
  for (int j = 0; j < std::min(std::atoi(argv[5]), basis->numColumns()); ++j) {
    for (int i = 0; i < rows; ++i) {
      const double value = basis->item(i, j);
      file.write(reinterpret_cast<const char*>(&value), 8);
    }
  }
  std::printf("{\"seconds\": %.6f, \"rank\": %d}\n", seconds.count(), basis->numColumns());
  MPI_Finalize();
  return file ? 0 : 1;
}
