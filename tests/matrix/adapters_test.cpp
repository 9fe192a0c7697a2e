// SPDX-License-Identifier: MIT
#include "stored.hpp"

#include <accrete/matrix/adapters.hpp>

#include <string>
#include <vector>

namespace ac = accrete;
using ac::AdapterSet;
using ac::Index;

namespace {

constexpr Index rows = 37;
constexpr Index cols = 29;

/// Adapters of the ranks given, all scales different.
template <class S>
AdapterSet<S, TestBackend> adapters_of(const std::vector<Index>& ranks, Index m = rows,
                                       Index n = cols) {
  AdapterSet<S, TestBackend> adapters(m, n);
  unsigned seed = 10;
  for (const Index rank : ranks) {
    const Index index = adapters.add(
        {random_stored<S>(m, rank, seed), random_stored<S>(n, rank, seed + 1)}, S(0.5) * S(seed));
    CHECK(index == adapters.size() - 1);
    seed += 2;
  }
  return adapters;
}

/// Every column by itself, against the dense matrix of its adapter.
template <class S, class Result>
void check_columns(const AdapterSet<S, TestBackend>& adapters, const Exact& base,
                   const std::vector<Index>& adapter_of_column, const Stored<S>& x,
                   const Result& y) {
  const Exact input = exact(x);
  const Exact output = exact(y);
  for (Index j = 0; j < x.cols(); ++j) {
    CAPTURE(j);
    Exact dense = base;
    long double norms = base.norm();
    Index operations = base.cols() + 4;
    if (const Index i = adapter_of_column[static_cast<std::size_t>(j)]; i >= 0) {
      const auto& update = adapters.low_rank(i);
      const Exact u = exact(update.U());
      const Exact v = exact(update.V());
      const long double scale = adapters.scale(i);
      dense += scale * u * v.transpose();
      norms += std::abs(scale) * u.norm() * v.norm();
      operations += update.rank();
    }
    CHECK_CLOSE(output.col(j), dense * input.col(j),
                rounding_bound<S>(operations, norms * input.col(j).norm()));
  }
}

template <class Function>
std::string text_of_error(const Function& function) {
  try {
    function();
  } catch (const ac::Error& error) {
    return error.what();
  }
  return "";
}

} // namespace

TEST_CASE_TEMPLATE("each column gets its adapter's update of the base", S, TEST_SCALARS) {
  const auto adapters = adapters_of<S>({3, 0, 8, 1, 29});
  const Stored<S> base = random_stored<S>(rows, cols, 1);
  const std::vector<std::vector<Index>> batches = {{},
                                                   {2},
                                                   {-1},
                                                   {-1, -1, -1},
                                                   {0, 0, 0, 2, 2, 3, 4, -1, 1, 1}, // sorted
                                                   {2, 0, 2, 0, 2, 0, -1, 4, 3, 2, 2, 1},
                                                   {4, 3, 2, 1, 0, -1, 0, 1, 2, 3, 4},
                                                   std::vector<Index>(40, 2)};
  for (const std::vector<Index>& batch : batches) {
    const Stored<S> x = random_stored<S>(cols, static_cast<Index>(batch.size()), 2);
    Stored<S> y(rows, x.cols());
    adapters.apply(base, batch, x, y);
    check_columns<S>(adapters, exact(base), batch, x, y);
  }
}

TEST_CASE_TEMPLATE("random batches, blocks of larger matrices, a base with an update", S,
                   TEST_SCALARS) {
  const auto adapters = adapters_of<S>({4, 2, 7});
  const ac::CumulativeUpdate<S, TestBackend> base(
      random_stored<S>(rows, cols, 1),
      {random_stored<S>(rows, 5, 3), random_stored<S>(cols, 5, 4)});
  const Exact dense = exact(base.base()) + exact(base.U()) * exact(base.V()).transpose();
  std::mt19937 generator(5);
  for (int round = 0; round < 20; ++round) {
    std::vector<Index> batch(1 + generator() % 30);
    for (Index& adapter : batch) {
      adapter = static_cast<Index>(generator() % 4) - 1;
    }
    const auto p = static_cast<Index>(batch.size());
    const Stored<S> x = random_stored<S>(cols, p, generator());
    const Dense<S> around = random_matrix<S>(rows + 2, p + 3, generator());
    Stored<S> memory = on_backend(around);
    const auto y = [&] { return block_of(memory, 1, 2, rows, p); };
    // Row-major input: the transpose of a column-major matrix.
    const Stored<S> x_rows = on_backend(ac::to_host(x).transpose());
    adapters.apply(base, batch, transpose_of(x_rows), y());
    check_columns<S>(adapters, dense, batch, x, y());
    set_entries(y(), around.block(1, 2, rows, p));
    CHECK(equal_entries(memory, around));
  }
}

TEST_CASE_TEMPLATE("the result may lie where the input or a factor lies", S, TEST_SCALARS) {
  auto adapters = adapters_of<S>({3, 5}, cols, cols);
  const Stored<S> base = random_stored<S>(cols, cols, 1);
  const std::vector<Index> batch = {0, 1, 0, -1, 1};
  const Stored<S> x = random_stored<S>(cols, 5, 2);
  Stored<S> y = x;
  adapters.apply(base, batch, y, y);
  check_columns<S>(adapters, exact(base), batch, x, y);

  const auto before = adapters;
  Stored<S> expected(cols, 5);
  before.apply(base, batch, x, expected);
  adapters.apply(base, batch, x, adapters.low_rank(1).U());
  CHECK(equal_entries(adapters.low_rank(1).U(), expected));
}

TEST_CASE_TEMPLATE("adapters grow, truncate and change their scale in the set", S, TEST_SCALARS) {
  auto adapters = adapters_of<S>({3, 6});
  ac::grow(adapters.low_rank(0), 4, ac::init::orthogonal());
  adapters.low_rank(1).truncate({.max_rank = 2});
  adapters.set_scale(0, S(-3));
  CHECK(adapters.scale(0) == S(-3));
  CHECK(adapters.low_rank(0).rank() == 7);
  CHECK(adapters.low_rank(1).rank() == 2);
  const Stored<S> base = random_stored<S>(rows, cols, 1);
  const std::vector<Index> batch = {1, 0, 1, 0};
  const Stored<S> x = random_stored<S>(cols, 4, 2);
  Stored<S> y(rows, 4);
  adapters.apply(base, batch, x, y);
  check_columns<S>(adapters, exact(base), batch, x, y);
}

TEST_CASE("empty sets and empty sizes") {
  const AdapterSet<double, TestBackend> none(rows, cols);
  const Stored<double> base = random_stored<double>(rows, cols, 1);
  const Stored<double> x = random_stored<double>(cols, 2, 2);
  Stored<double> y(rows, 2);
  none.apply(base, std::vector<Index>{-1, -1}, x, y);
  check_columns<double>(none, exact(base), {-1, -1}, x, y);

  const auto no_input = adapters_of<double>({2}, 3, 0);
  y = on_backend(Dense<double>::Ones(3, 2));
  no_input.apply(Stored<double>(3, 0), std::vector<Index>{0, 0}, Stored<double>(0, 2), y);
  CHECK(equal_entries(y, Dense<double>::Zero(3, 2)));
  const auto no_output = adapters_of<double>({2}, 0, 3);
  Stored<double> nothing(0, 2);
  no_output.apply(Stored<double>(0, 3), std::vector<Index>{0, 0}, Stored<double>(3, 2), nothing);
}

TEST_CASE("what does not fit is refused before anything is written") {
  auto adapters = adapters_of<double>({2, 3});
  const Stored<double> base = random_stored<double>(rows, cols, 1);
  const Stored<double> x = random_stored<double>(cols, 3, 2);
  const Stored<double> before = random_stored<double>(rows, 3, 3);
  Stored<double> y = before;
  using Batch = std::vector<Index>;
  CHECK_THROWS_AS((AdapterSet<double, TestBackend>(-1, 2)), ac::ShapeError);
  CHECK_THROWS_AS(adapters.add({Stored<double>(rows, 1), Stored<double>(rows, 1)}), ac::ShapeError);
  CHECK(adapters.size() == 2);
  CHECK_THROWS_AS(adapters.apply(x, Batch{0, 0, 0}, x, y), ac::ShapeError);
  CHECK_THROWS_AS(adapters.apply(base, Batch{0, 0, 0}, before, y), ac::ShapeError);
  CHECK_THROWS_AS(adapters.apply(base, Batch{0, 0, 0}, x, columns_of(y, 0, 2)), ac::ShapeError);
  CHECK_THROWS_AS(adapters.apply(base, Batch{0, 0}, x, y), ac::ShapeError);
  for (const Index wrong : {Index{2}, Index{-2}}) {
    CHECK_THROWS_AS(adapters.apply(base, Batch{0, 1, wrong}, x, y), ac::ArgumentError);
    CHECK_THROWS_AS(static_cast<void>(adapters.low_rank(wrong)), ac::ArgumentError);
    CHECK_THROWS_AS(static_cast<void>(adapters.scale(wrong)), ac::ArgumentError);
    CHECK_THROWS_AS(adapters.set_scale(wrong, 1.0), ac::ArgumentError);
  }
  const std::string text = text_of_error([&] { adapters.apply(base, Batch{0, 1, 7}, x, y); });
  CHECK(text.find("names adapter 7 of 2") != std::string::npos);
  adapters.low_rank(1) = {Stored<double>(rows, 1), Stored<double>(rows, 1)};
  CHECK_THROWS_AS(adapters.apply(base, Batch{0, 1, 0}, x, y), ac::ShapeError);
  CHECK(equal_entries(y, before));
  adapters.apply(base, Batch{0, -1, 0}, x, y); // the one that does not fit is not in use
  CHECK_FALSE(equal_entries(y, before));
}
