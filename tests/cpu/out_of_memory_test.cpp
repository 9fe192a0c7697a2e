// SPDX-License-Identifier: MIT
// Each operation is tried with its first, second, ... allocation failing: what it works on is then
// what it was before, or what it is after the operation, and no memory is lost.
#include "failing_allocations.hpp"
#include "numerics.hpp"
#include "test_backend.hpp"

#include <array>
#include <new>
#include <vector>

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

namespace {

/// What an object holds, to be compared bit by bit.
using Values = std::vector<Dense<double>>;

template <class Scalar>
Values values_of(const ac::LowRankMatrix<Scalar>& matrix) {
  return {ac::to_host(matrix.U()).template cast<double>(),
          ac::to_host(matrix.V()).template cast<double>()};
}
template <class Scalar>
Values values_of(const ac::CumulativeUpdate<Scalar>& matrix) {
  Values values = values_of(matrix.low_rank());
  values.push_back(ac::to_host(matrix.base()).template cast<double>());
  return values;
}
Values values_of(const Dense<double>& matrix) { return {matrix}; }
Values values_of(const ac::AdapterSet<double>& adapters) {
  Values values;
  for (Index i = 0; i < adapters.size(); ++i) {
    for (Dense<double>& value : values_of(adapters.low_rank(i))) {
      values.push_back(std::move(value));
    }
  }
  return values;
}
template <class Optimizer>
  requires ac::Optimizer<Optimizer>
Values values_of(Optimizer optimizer) {
  Values values;
  optimizer.visit_state([&](const char*, auto buffer) {
    if constexpr (requires { buffer.rows; }) {
      values.push_back(ac::to_host(buffer).template cast<double>());
    } else {
      Dense<double> counts(static_cast<Index>(buffer.size()), 1);
      for (std::size_t i = 0; i < buffer.size(); ++i) {
        counts(static_cast<Index>(i), 0) = static_cast<double>(buffer[i]);
      }
      values.push_back(counts);
    }
  });
  return values;
}

bool are_equal(const Values& a, const Values& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) {
    equal = a[i].rows() == b[i].rows() && a[i].cols() == b[i].cols() && a[i] == b[i];
  }
  return equal;
}

/// What a failed operation may leave: the object as it was alone, or also a part of its result.
enum class After : unsigned char { unchanged, overwritten };

template <class Object, class Operation>
void check_failures(const Object& start, const Operation& operation,
                    After promise = After::unchanged) {
  const Values before = values_of(start);
  Values after;
  {
    Object object(start);
    operation(object);
    after = values_of(object);
  }
  int failures = 0;
  for (bool failed = true; failed; ++failures) {
    CAPTURE(failures);
    const long held = in_use;
    failed = false;
    bool is_before = false;
    bool is_after = false;
    {
      ac::Context<ac::Cpu> context; // its workspace is empty, and there is no plan
      const ac::ScopedContext<ac::Cpu> scope(context);
      Object object(start);
      until_failure = failures;
      try {
        operation(object);
      } catch (const std::bad_alloc&) {
        failed = true;
      }
      until_failure = -1;
      const Values now = values_of(object);
      is_before = are_equal(now, before);
      is_after = are_equal(now, after);
    }
    CHECK(in_use == held);
    CHECK((failed ? is_before || promise == After::overwritten : is_after));
  }
  CHECK(failures > 1);
}

struct Operands {
  Dense<double> U = random_matrix<double>(30, 4, 1);
  Dense<double> V = random_matrix<double>(20, 4, 2);
  Dense<double> base = random_matrix<double>(30, 20, 3);
  Dense<double> X = random_matrix<double>(20, 6, 4);
};

} // namespace

TEST_CASE("expressions that run out of memory leave their destination") {
  const Operands o;
  const auto W = ac::lazy(o.base) + ac::outer(o.U, o.V);
  const Dense<double> Y = random_matrix<double>(30, 6, 5);
  check_failures(Y, [&](Dense<double>& y) { y += W * o.X; });
  check_failures(Y, [&](Dense<double>& y) { y += ac::outer(o.U, o.V) * (W.transpose() * y); });
  check_failures(Y, [&](Dense<double>& y) { y += ac::in_order(W * o.X); });
  check_failures(Y, [&](Dense<double>& y) { y = ac::svd(W).U.leftCols(6); });
  check_failures(Y, [&](Dense<double>& y) { y = ac::randomized_svd(W, {.rank = 6}).U; });
  check_failures(Y, [&](Dense<double>& y) { y = ac::polar_factor(y); });
  check_failures(Y, [&](Dense<double>& y) { y = ac::thin_qr(y).Q; });
}

TEST_CASE("low-rank matrices that run out of memory are what they were") {
  const Operands o;
  using LowRank = ac::LowRankMatrix<double>;
  const LowRank start(o.U, o.V);
  check_failures(start, [&](LowRank& L) { L.append(o.U, o.V); });
  check_failures(start, [&](LowRank& L) { L.append(L.U(), L.V()); });
  check_failures(start, [&](LowRank& L) { L.reserve(9); });
  check_failures(start, [&](LowRank& L) { L += o.base * ac::outer(o.V, o.V); });
  check_failures(start, [&](LowRank& L) { L = o.base * ac::outer(o.V, o.V) + L; });
  check_failures(start, [&](LowRank& L) { L.truncate({.max_rank = 2}); });
  check_failures(start, [&](LowRank& L) { L = ac::hadamard(L, L); });
  check_failures(start, [&](LowRank& L) { L = LowRank(L); });
  check_failures(start, [&](LowRank& L) { ac::grow(L, 3, ac::init::orthogonal()); });
}

TEST_CASE("cumulative updates that run out of memory are what they were") {
  const Operands o;
  using Update = ac::CumulativeUpdate<double>;
  const Update start(o.base, ac::LowRankMatrix<double>(o.U, o.V));
  check_failures(start, [&](Update& W) { W.grow(3, ac::init::orthogonal()); });
  check_failures(start, [&](Update& W) { W.truncate({.max_rank = 2}); });
  check_failures(start, [&](Update& W) { W.merge(); });
  check_failures(start, [&](Update& W) { W = Update(o.base + 2.0 * ac::outer(o.U, o.V)); });
  check_failures(start, [&](Update& W) { W.low_rank() = ac::outer(o.U, o.V) + W.low_rank(); });
}

TEST_CASE("adapters that run out of memory are what they were") {
  const Operands o;
  ac::AdapterSet<double> start(30, 20);
  start.add(ac::LowRankMatrix<double>(o.U, o.V));
  check_failures(start, [&](ac::AdapterSet<double>& set) {
    set.add(ac::LowRankMatrix<double>(o.U.leftCols(2), o.V.leftCols(2)));
  });
  const std::array<Index, 6> adapter_of_column{0, -1, 0, 0, -1, 0};
  const Dense<double> Y = random_matrix<double>(30, 6, 5);
  const Values adapters = values_of(start);
  check_failures(
      Y, [&](Dense<double>& y) { start.apply(o.base, adapter_of_column, o.X, y); },
      After::overwritten);
  CHECK(are_equal(values_of(start), adapters));
}

TEST_CASE("optimizers that run out of memory are what they were") {
  const Operands o;
  const Dense<double> gradient = random_matrix<double>(30, 4, 6);
  const Dense<double> change = random_matrix<double>(4, 3, 7);
  const std::array<Index, 3> kept{2, 0, 3};
  const auto check = [&](auto start) {
    using State = decltype(start);
    Dense<double> parameter = o.U;
    start.step(parameter, gradient, 0.1);
    check_failures(start, [&](State& state) { state.append_columns(3); });
    check_failures(start, [&](State& state) { state.keep_columns(kept); });
    check_failures(start, [&](State& state) { state.reset_columns(kept); });
    check_failures(start, [&](State& state) { state.rotate(change); });
    check_failures(start, [&](State& state) { state.reserve(20); });
  };
  check(ac::AdamW<double>(30, 4));
  check(ac::SGD<double>(30, 4, {.momentum = 0.9}));
  check(ac::Muon<double>(30, 4));
  ac::AdamW<double> adam(30, 4);
  check_failures(Dense<double>(o.U), [&](Dense<double>& parameter) {
    ac::AdamW<double> state(adam);
    state.step(parameter, gradient, 0.1);
  });
}
