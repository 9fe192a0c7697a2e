// SPDX-License-Identifier: MIT
// What the first calls of a process cost: milliseconds and page faults of each of 16 products
// U Vᵀ X, U m x r, V n x r, X n x p.
//
//     first_calls M N R P
#include <accrete/accrete.hpp>

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace {

long page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: first_calls M N R P\n");
    return 2;
  }
  const auto size = [&](int i) { return static_cast<Eigen::Index>(std::atol(argv[i])); };
  const Eigen::MatrixXf U = Eigen::MatrixXf::Random(size(1), size(3));
  const Eigen::MatrixXf V = Eigen::MatrixXf::Random(size(2), size(3));
  const Eigen::MatrixXf X = Eigen::MatrixXf::Random(size(2), size(4));
  Eigen::MatrixXf Y = Eigen::MatrixXf::Zero(size(1), size(4));
  for (int call = 1; call <= 16; ++call) {
    const long faults = page_faults();
    const auto start = std::chrono::steady_clock::now();
    Y = accrete::outer(U, V) * X;
    const std::chrono::duration<double, std::milli> elapsed =
        std::chrono::steady_clock::now() - start;
    std::printf("call %2d  %7.2f ms  %5ld page faults\n", call, elapsed.count(),
                page_faults() - faults);
  }
}
