// SPDX-License-Identifier: MIT
// Lets one allocation of the process fail by replacing malloc and its relatives (glibc's own
// versions stay reachable under their internal names).
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/factor/incremental_svd.hpp>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {
std::atomic<long> until_failure{-1};

bool fails() { return until_failure >= 0 && until_failure-- == 0; }
} // namespace

extern "C" {
void* malloc(std::size_t size) { return fails() ? nullptr : __libc_malloc(size); }
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return fails() ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
  *result = fails() ? nullptr : __libc_memalign(alignment, size);
  return *result != nullptr ? 0 : ENOMEM;
}
}

namespace ac = accrete;
using ac::Index;

namespace {

template <class Scalar>
Exact formed(ac::IncrementalSVD<Scalar>& svd) {
  Exact scaled = exact(svd.U());
  for (Index j = 0; j < svd.rank(); ++j) {
    scaled.col(j) *= svd.singular_values()[j];
  }
  return scaled * exact(svd.V()).transpose();
}

/// Lets the first, second, ... allocation of `update` fail, until there is none left. The matrix is
/// then what it was before or after the update, within the bound.
template <class Scalar, class Update>
void check_every_failure(const ac::IncrementalSVD<Scalar>& start, const Update& update) {
  auto before = start;
  auto after = start;
  update(after);
  int failures = 0;
  for (bool failed = true; failed; ++failures) {
    CAPTURE(failures);
    ac::Context<ac::Cpu> context; // its workspace is empty
    const ac::ScopedContext<ac::Cpu> scope(context);
    auto svd = start;
    failed = false;
    until_failure = failures;
    try {
      update(svd);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    until_failure = -1;
    REQUIRE(svd.U().cols() == svd.rank());
    REQUIRE(svd.V().cols() == svd.rank());
    REQUIRE(svd.U().rows() == svd.rows());
    REQUIRE(svd.V().rows() == svd.cols());
    const auto is = [&](auto& other) {
      return svd.cols() == other.cols() && svd.error_bound() <= 2 * other.error_bound() &&
             (formed(svd) - formed(other)).norm() <= 2 * other.error_bound();
    };
    CHECK((is(after) || (failed && is(before))));
    // It goes on.
    svd.append_columns(random_matrix<Scalar>(svd.rows(), 2, 9));
    svd.append_rows(random_matrix<Scalar>(1, svd.cols(), 10));
    CHECK(svd.orthogonality() < 1e-5);
  }
  CHECK(failures > 3);
}

} // namespace

TEST_CASE_TEMPLATE("an update that runs out of memory leaves a decomposition", Scalar, float,
                   double) {
  ac::IncrementalSVD<Scalar> start(40, {.max_rank = 12, .check_every = 1});
  start.append_columns(random_matrix<Scalar>(40, 8, 1));
  const Dense<Scalar> block = random_matrix<Scalar>(40, 5, 2);
  const Dense<Scalar> rows = random_matrix<Scalar>(3, 8, 3);
  check_every_failure(start, [&](auto& svd) { svd.append_columns(block); });
  check_every_failure(start, [&](auto& svd) { svd.downdate(2, 3); });
  check_every_failure(start,
                      [&](auto& svd) { svd.add(block.leftCols(2), rows.topRows(2).transpose()); });
}
