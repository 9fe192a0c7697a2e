// SPDX-License-Identifier: MIT
#include "numerics.hpp"
#include "test_backend.hpp"

#include <eigen_instantiations.hpp>

#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace ac = accrete;
using ac::Index;

namespace {

/// Operands that all threads read.
template <class Scalar>
struct Shared {
  Dense<Scalar> W0, U, V, X, dY, blocks;
  ac::CumulativeUpdate<Scalar> W;

  Shared(Index m, Index n, Index r, Index p)
      : W0(random_matrix<Scalar>(m, n, 1)),
        U(random_matrix<Scalar>(m, r, 2)),
        V(random_matrix<Scalar>(n, r, 3)),
        X(random_matrix<Scalar>(n, p, 4)),
        dY(random_matrix<Scalar>(m, p, 5)),
        blocks(random_matrix<Scalar>(m, 5 * r, 6)),
        W(W0, ac::LowRankMatrix<Scalar>(U, V)) {}
};

/// Entries of many results, to be compared bit by bit.
template <class Scalar>
class Record {
 public:
  void keep(const Dense<Scalar>& m) {
    entries_.insert(entries_.end(), m.data(), m.data() + m.size());
  }
  [[nodiscard]] bool same_bits(const Record& other) const {
    return entries_.size() == other.entries_.size() &&
           std::memcmp(entries_.data(), other.entries_.data(), entries_.size() * sizeof(Scalar)) ==
               0;
  }

 private:
  std::vector<Scalar> entries_;
};

/// Plans, values, gradients, growth, truncation, factorisations, an IncrementalSVD.
template <class Scalar>
Record<Scalar> work(const Shared<Scalar>& s) {
  Record<Scalar> record;
  const Index r = s.U.cols();
  Dense<Scalar> Y = (s.W0 + ac::outer(s.U, s.V)) * s.X;
  record.keep(Y);
  Y += Scalar{0.5} * (s.W * s.X) - s.dY;
  record.keep(Y);
  record.keep((s.W * s.X.col(0)).eval());

  const auto gradients = ac::gradients(s.W * s.X, s.dY);
  record.keep(gradients.U.eval());
  record.keep(gradients.V.eval());
  record.keep(gradients.X.eval());

  ac::LowRankMatrix<Scalar> grown(s.U, s.V);
  ac::grow(grown, 2, ac::init::orthogonal());
  grown.append(s.U, s.V);
  grown.truncate({.max_rank = r + 1});
  record.keep(grown.U());
  record.keep(grown.V());

  record.keep(ac::thin_qr(s.blocks).Q);
  record.keep(ac::svd(s.blocks).singular_values.template cast<Scalar>());

  ac::IncrementalSVD<Scalar> stream(s.blocks.rows(), {.max_rank = 2 * r, .check_every = 2});
  for (Index first = 0; first < s.blocks.cols(); first += r) {
    stream.append_columns(s.blocks.middleCols(first, r));
  }
  record.keep(stream.U());
  record.keep(stream.V());
  return record;
}

#if defined(_OPENMP) && defined(__linux__)
#define COUNTS_THREADS 1
long threads_of_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}
#endif

#ifdef _OPENMP
const std::vector<int> thread_counts = {1, 2, 3};
#else
const std::vector<int> thread_counts = {1};
#endif

} // namespace

#ifdef COUNTS_THREADS
// The first test, in a process that has started no thread yet.
TEST_CASE("no kernel uses more threads than were set, and products use them all") {
  REQUIRE(threads_of_process() == 1);
  omp_set_num_threads(4); // what anything that does not ask the context would take
  ac::Context<> context;
  CHECK(context.threads() == 4);
  const ac::ScopedContext<ac::Cpu> scope(context);
  context.set_threads(1);
  const Shared<float> singles(600, 500, 40, 300);
  const Shared<double> doubles(600, 500, 40, 300);
  work(singles);
  work(doubles);
  CHECK(threads_of_process() == 1);
  for (const int threads : {2, 3}) {
    CAPTURE(threads);
    context.set_threads(threads);
    CHECK((singles.W * singles.X).eval().allFinite());
    CHECK(threads_of_process() <= threads); // oneDNN may think two enough
    CHECK((doubles.W * doubles.X).eval().allFinite());
    CHECK(threads_of_process() == threads);
  }
  CHECK(omp_get_max_threads() == 4); // the caller's own setting
  omp_set_num_threads(omp_get_num_procs());
}
#endif

TEST_CASE_TEMPLATE("results repeat bit by bit at a fixed number of threads", Scalar, TEST_SCALARS) {
  const Shared<Scalar> shared(300, 260, 24, 70);
  for (const int threads : thread_counts) {
    CAPTURE(threads);
    ac::Context<> first;
    first.set_threads(threads);
    Record<Scalar> expected;
    {
      const ac::ScopedContext<ac::Cpu> scope(first);
      expected = work(shared);
      CHECK(work(shared).same_bits(expected));
    }
    ac::Context<> second;
    second.set_threads(threads);
    const ac::ScopedContext<ac::Cpu> scope(second);
    CHECK(work(shared).same_bits(expected));
  }
}

TEST_CASE_TEMPLATE("many threads with contexts of their own read the same operands", Scalar,
                   TEST_SCALARS) {
  constexpr int callers = 8;
  constexpr int rounds = 100;
  const Shared<Scalar> shared(40, 30, 3, 11);
  const Record<Scalar> expected = work(shared);
  std::vector<int> right(callers, 0); // doctest's own checks would order the threads
  std::vector<std::thread> threads;
  for (int caller = 0; caller < callers; ++caller) {
    threads.emplace_back([&, caller] {
      for (int round = 0; round < rounds; ++round) {
        right[static_cast<std::size_t>(caller)] += work(shared).same_bits(expected) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(right == std::vector<int>(callers, rounds));
}

#ifdef COUNTS_THREADS
TEST_CASE("inside a parallel region kernels run on the caller's thread") {
  const Shared<double> shared(300, 260, 24, 70);
  ac::Context<> single;
  single.set_threads(1);
  Record<double> expected;
  {
    const ac::ScopedContext<ac::Cpu> scope(single);
    expected = work(shared);
  }
  int right = 0;
#pragma omp parallel num_threads(3) reduction(+ : right)
  right += ac::Context<>::current().threads() == 1 && work(shared).same_bits(expected) ? 1 : 0;
  CHECK(right == 3);
}
#endif
