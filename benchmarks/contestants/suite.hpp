// SPDX-License-Identifier: MIT
// A case is what is computed; a contestant is who computes it. Each file of contestants enters its
// own when the program starts, so that a peer which is not installed is left out by leaving out its
// file.
#pragma once

#include "operands.hpp"

#include <functional>
#include <string>
#include <vector>

namespace benchmarks {

/// Threads that go on spinning after a call and would disturb the next contestant's.
enum class Pool { openmp, openblas };

/// Prepares outside the timed loop and returns what is timed.
template <class Scalar>
using Make = std::function<void()> (*)(const Operands<Scalar>&);

/// @returns true, to initialise a constant with.
template <class Scalar>
bool enter(const char* case_name, const char* contestant, Pool pool, Make<Scalar> make);

template <class Scalar>
struct Case {
  std::string name;
  std::vector<Shape> shapes;
  double (*flops)(const Shape&);             ///< of the plan that needs fewest
  double (*entries)(const Shape&);           ///< that must move: each operand once
  std::vector<Shape> (*dense)(const Shape&); ///< dense products m x n x p whose rate bounds it
  /// What was computed, and what it should be.
  std::vector<std::pair<Column, Column>> (*results)(const Operands<Scalar>&);
  /// Called before each series, for a case that overwrites its operand: it is checked after one
  /// run, and must be no long work.
  void (*prepare)(const Operands<Scalar>&) = [](const Operands<Scalar>&) {};
};

/// Runs each case with all of its contestants and, beside them, what bounds it: `read`, a read of
/// as many bytes, and the case `dense`. Takes Google Benchmark's options, `--shapes=REGEX`, which
/// leaves out what does not match as case/m:M/n:N/r:R/p:P, and `--blocks=N`: each contestant that
/// matches `--contestants=REGEX` N times between two series of accrete, each series after a line
/// `next NAME` on stdout and a line on stdin. @returns the exit status.
int run(int argc, char** argv, const std::vector<Case<float>>& cases,
        const std::vector<Case<double>>& cases_in_double = {});

/// Weights of GPT-2 small and medium, each with these ranks and columns.
std::vector<Shape> gpt2_shapes(const std::vector<long>& ranks = {4, 16, 64, 256},
                               const std::vector<long>& columns = {1, 8, 64, 1024, 4096});

} // namespace benchmarks
