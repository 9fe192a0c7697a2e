// SPDX-License-Identifier: MIT
// Copies between pinned memory of the host and the GPU of the tests, which runs them late: memory
// that is read too early holds NaN, and one that is changed too early is a fault.
#include "numerics.hpp"
#include "test_backend.hpp"

#include <fake_cuda.hpp>

#include <cmath>
#include <utility>
#include <vector>

namespace ac = accrete;
using ac::Index;

namespace {

using Matrix = ac::Matrix<float, ac::Cuda>;
using Pinned = ac::PinnedMatrix<float>;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

ac::Context<ac::Cuda>& current() { return ac::Context<ac::Cuda>::current(); }

} // namespace

TEST_CASE("pinned matrices go to the device and come back without a wait") {
  const Dense<float> values = random_matrix<float>(7, 5, 1);
  Pinned from(7, 5);
  Pinned to(7, 5);
  from.map() = values;
  to.map().setZero();
  Matrix twice(7, 5);
  current().check();
  const fake_cuda::Counters before = fake_cuda::counters();
  const Matrix X = ac::from_host_async(current(), from);
  twice = 2.0F * ac::lazy(X);
  ac::to_host_async(current(), twice, to);
  const fake_cuda::Counters after = fake_cuda::counters();
  CHECK(after.synchronizations == before.synchronizations);
  CHECK(after.copies == before.copies + 2);
  CHECK(std::isnan(to.map()(6, 4))); // too early
  current().check();
  CHECK(to.map() == 2 * values);
  CHECK(from.map() == values);
}

TEST_CASE("pinned memory goes round without an allocation, in any order of the streams") {
  const auto values = [](int i) { return random_matrix<float>(6, 4, static_cast<unsigned>(i)); };
  for (unsigned seed = 0; seed < 5; ++seed) {
    CAPTURE(seed);
    fake_cuda::seed(seed);
    ac::Context<ac::Cuda> context;
    const ac::ScopedContext<ac::Cuda> scope(context);
    Pinned batch(6, 4);
    Pinned result(6, 4);
    Matrix X(6, 4);
    Matrix Y(6, 4);
    Y = 3.0F * ac::lazy(X); // plans
    const fake_cuda::Counters before = fake_cuda::counters();
    for (int i = 0; i < 4; ++i) {
      batch.map() = values(i);
      ac::from_host_async(context, batch, X);
      Y = 3.0F * ac::lazy(X);
      ac::to_host_async(context, Y, result);
      context.check(); // before the batch changes and the result is read
      CHECK(result.map() == 3 * values(i));
    }
    const fake_cuda::Counters after = fake_cuda::counters();
    CHECK(after.device_allocations == before.device_allocations);
    CHECK(after.host_allocations == before.host_allocations);
    CHECK(after.synchronizations == before.synchronizations + 4);
  }
}

TEST_CASE("blocks, rows and transposes of pinned memory, to views of either order") {
  const Dense<float> values = random_matrix<float>(8, 6, 1);
  Pinned wide(8, 6);
  const auto check = [&](const auto& part, const ac::View<float, ac::Cuda>& device) {
    const Dense<float> expected = part;
    const Dense<float> around = random_matrix<float>(8, 6, 2);
    ac::from_host_async(current(), part, device);
    current().check();
    CHECK(ac::to_host(device) == expected);
    // And back, where the rest stays.
    Pinned back(8, 6);
    back.map() = around;
    auto target = back.map().block(1, 2, part.rows(), part.cols());
    ac::to_host_async(current(), device, target);
    current().check();
    CHECK(target == expected);
    back.map().block(1, 2, part.rows(), part.cols()) = around.block(1, 2, part.rows(), part.cols());
    CHECK(back.map() == around);
  };
  wide.map() = values;
  Matrix storage(10, 10);
  const ac::View<float, ac::Cuda> all = storage.view();
  const auto map = std::as_const(wide).map();
  check(map.block(2, 1, 5, 3), all.block(1, 4, 5, 3));
  check(map.block(2, 1, 5, 3), all.block(1, 4, 3, 5).transposed());
  check(map.topRows(4).transpose().leftCols(2), all.block(0, 0, 6, 2));
  check(map.topRows(4).transpose().leftCols(2), all.block(0, 0, 2, 6).transposed());
  check(map.col(3).head(6), all.block(2, 2, 6, 1));
  check(map.row(3).head(4), all.block(2, 2, 1, 4));
  check(map.row(3).head(4), all.block(2, 2, 4, 1).transposed());
  check(map.col(3).head(0), all.block(2, 2, 0, 1));

  Pinned memory(6, 4); // rows of 4 in 6 columns' worth of it
  Eigen::Map<RowMajor> rows(memory.data(), 4, 6);
  rows = random_matrix<float>(4, 6, 3);
  const Dense<float> expected = rows;
  CHECK(ac::to_host(ac::from_host_async(current(), rows)) == expected);
  const Matrix X = on_backend(values.topRows(4));
  ac::to_host_async(current(), X, rows);
  current().check();
  CHECK(rows == values.topRows(4));
}

TEST_CASE("memory that is not page-locked, and other shapes, are refused before anything is done") {
  Dense<float> pageable = random_matrix<float>(3, 2, 1);
  Matrix X(3, 2);
  Pinned pinned(3, 2);
  const fake_cuda::Counters before = fake_cuda::counters();
  CHECK_THROWS_WITH_AS(ac::from_host_async(current(), pageable, X),
                       doctest::Contains("from_host_async of a 3 x 2 matrix of the host that is "
                                         "not page-locked"),
                       ac::ArgumentError);
  CHECK_THROWS_WITH_AS(static_cast<void>(ac::from_host_async(current(), pageable)),
                       doctest::Contains("use a PinnedMatrix"), ac::ArgumentError);
  CHECK_THROWS_WITH_AS(ac::to_host_async(current(), X, pageable),
                       doctest::Contains("to_host_async of a 3 x 2"), ac::ArgumentError);
  CHECK_THROWS_AS(ac::from_host_async(current(), pinned.map().leftCols(1), X), ac::ShapeError);
  CHECK_THROWS_AS(ac::to_host_async(current(), X, pinned.map().topRows(2)), ac::ShapeError);
  CHECK(fake_cuda::counters().copies == before.copies);
  CHECK_THROWS_AS(Pinned(-1, 2), ac::ShapeError);
  CHECK_THROWS_AS(Pinned(Index{1} << 40, Index{1} << 40), std::bad_alloc);
}

TEST_CASE("pinned matrices move, may be empty, and are given back") {
  const std::size_t held = fake_cuda::balance().pinned_blocks;
  {
    Pinned first(3, 2);
    first.map().setOnes();
    Pinned second = std::move(first);
    CHECK(first.size() == 0); // NOLINT(bugprone-use-after-move)
    CHECK(second.map().sum() == 6);
    first = std::move(second);
    CHECK(first.rows() == 3);
    CHECK(fake_cuda::balance().pinned_blocks == held + 1);
    Pinned empty(0, 4);
    CHECK(empty.data() == nullptr);
    CHECK(ac::from_host_async(current(), empty).cols() == 4);
  }
  CHECK(fake_cuda::balance().pinned_blocks == held);
  fake_cuda::fail_at(0);
  CHECK_THROWS_WITH_AS(Pinned(100, 10), doctest::Contains("cudaHostAlloc of 4000 bytes"),
                       ac::CudaOutOfMemory);
  fake_cuda::fail_at(-1);
}

TEST_CASE("a recorded step takes what lies in pinned memory when it is launched") {
  ac::Context<ac::Cuda> context;
  const ac::ScopedContext<ac::Cuda> scope(context);
  Pinned batch(4, 3);
  Pinned result(4, 3);
  Matrix X(4, 3);
  Matrix Y(4, 3);
  batch.map().setZero();
  ac::CudaGraph step(context.device(), [&] {
    ac::from_host_async(context, batch, X);
    Y = 2.0F * ac::lazy(X);
    ac::to_host_async(context, Y, result);
  });
  for (unsigned i = 0; i < 3; ++i) {
    context.check();
    batch.map() = random_matrix<float>(4, 3, i);
    step.launch();
    context.check();
    CHECK(result.map() == 2 * batch.map());
  }
}
