// SPDX-License-Identifier: MIT
// Counts every allocation of the process by replacing malloc and its relatives (glibc's own
// versions stay reachable under their internal names).
#include "numerics.hpp"
#include "test_backend.hpp"

#include <accrete/methods/adarankgrad.hpp>
#include <accrete/methods/galore.hpp>
#include <accrete/methods/lora.hpp>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {
std::atomic<long> allocations{0};
std::atomic<std::size_t> largest{0};

void count(std::size_t size) {
  ++allocations;
  if (size > largest) {
    largest = size;
  }
}
} // namespace

extern "C" {
void* malloc(std::size_t size) {
  count(size);
  return __libc_malloc(size);
}
void* calloc(std::size_t items, std::size_t size) {
  count(items * size);
  return __libc_calloc(items, size);
}
void* realloc(void* old, std::size_t size) {
  count(size);
  return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  count(size);
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count(size);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
  count(size);
  *result = __libc_memalign(alignment, size);
  return *result != nullptr ? 0 : ENOMEM;
}
}

namespace ac = accrete;
using ac::Index;

namespace {

template <class Function>
long allocations_of(const Function& function) {
  const long before = allocations;
  function();
  return allocations - before;
}

/// Allocations that the product library makes inside its own calls, for the steps of the plan; a
/// few more or less, by the alignment that it meets. Zero where the products are our own.
template <class Scalar>
long provider_allocations(const ac::Plan& plan) {
  const std::string provider = ac::Kernels<ac::Cpu>::product_provider<Scalar>();
  long total = 0;
  if (provider != "eigen" && provider != "avx512") {
    for (const ac::PlanStep& step : plan.steps) {
      if (step.kernel != ac::Kernel::gemm) {
        continue;
      }
      const Dense<Scalar> a = random_matrix<Scalar>(step.m, step.k, 1);
      const Dense<Scalar> b = random_matrix<Scalar>(step.k, step.n, 2);
      Dense<Scalar> c = Dense<Scalar>::Zero(step.m, step.n);
      auto& device = ac::Context<ac::Cpu>::current().device();
      const auto call = [&] {
        ac::Kernels<ac::Cpu>::gemm(device, Scalar{1}, ac::view_of(a), ac::view_of(b), Scalar{0},
                                   ac::view_of(c));
      };
      call();
      total += allocations_of(call);
    }
  }
  return total;
}

} // namespace

TEST_CASE("the counter counts") {
  CHECK(allocations_of([] {
          void* volatile p = std::malloc(8);
          std::free(p);
        }) == 1);
  CHECK(allocations_of([] { const Dense<double> m(5, 5); }) == 1);
}

TEST_CASE_TEMPLATE("a warm evaluation allocates nothing beyond the product library's own calls",
                   Scalar, float, double) {
  for (const Index p : {Index{1}, Index{8}, Index{64}, Index{600}}) {
    const Dense<Scalar> W0 = random_matrix<Scalar>(300, 200, 1);
    const Dense<Scalar> U = random_matrix<Scalar>(300, 16, 2);
    const Dense<Scalar> V = random_matrix<Scalar>(200, 16, 3);
    const Dense<Scalar> X = random_matrix<Scalar>(200, p, 4);
    const ac::CumulativeUpdate<Scalar> W(W0, ac::LowRankMatrix<Scalar>(U, V));
    Dense<Scalar> Y(300, p);
    Dense<Scalar> dU = Dense<Scalar>::Zero(300, 16);
    CAPTURE(p);

    const auto apply = [&] { Y = (W0 + ac::outer(U, V)) * X; };
    apply();
    CHECK(allocations_of(apply) <=
          provider_allocations<Scalar>(ac::plan((W0 + ac::outer(U, V)) * X)));

    const auto accumulate = [&] { Y += Scalar{0.5} * (W * X); };
    accumulate();
    CHECK(allocations_of(accumulate) <=
          provider_allocations<Scalar>(ac::plan(Scalar{0.5} * (W * X))));

    auto prepared = ac::prepare(W * X, ac::Executions{1000000});
    REQUIRE(prepared.plan().preparation_seconds() > 0);
    const auto evaluate = [&] { prepared.evaluate(Y); };
    evaluate();
    CHECK(allocations_of(evaluate) <= provider_allocations<Scalar>(prepared.plan()));

    ac::WeightPass<Scalar> pass;
    Dense<Scalar> dX(200, p);
    const auto both = [&] {
      Y = pass.forward(W, X);
      const auto g = pass.backward(W, X, Y);
      dU += g.U;
      dX = g.X;
    };
    both();
    const auto g = pass.backward(W, X, Y);
    CHECK(allocations_of(both) <=
          provider_allocations<Scalar>(ac::plan(ac::lazy(V).transpose() * X)) +
              provider_allocations<Scalar>(ac::plan(W.expression())) +
              provider_allocations<Scalar>(plan(pass.forward(W, X))) +
              provider_allocations<Scalar>(ac::plan(ac::lazy(U).transpose() * Y)) +
              provider_allocations<Scalar>(ac::plan(g.U)) +
              provider_allocations<Scalar>(plan(g.X)));

    const auto gradient = [&] { dU += ac::gradients(W * X, Y).U; };
    gradient();
    CHECK(allocations_of(gradient) <=
          provider_allocations<Scalar>(ac::plan(ac::gradients(W * X, Y).U)));
  }
}

TEST_CASE("a steady IncrementalSVD allocates nothing") {
  // In double, whose products are our own.
  constexpr Index rows = 6000;
  constexpr Index cols = 4000;
  constexpr Index rank = 12;
  constexpr Index width = 3;
  const Dense<double> a = random_matrix<double>(rows, 40 * width, 1);
  const Dense<double> b = random_matrix<double>(cols, 40 * width, 2);
  ac::IncrementalSVD<double> columns(rows, {.max_rank = rank, .keep_v = false, .check_every = 4});
  ac::IncrementalSVD<double> sums(rows, {.max_rank = rank, .check_every = 4});
  for (Index i = 0; i < cols; i += 100) {
    sums.append_columns(Dense<double>::Zero(rows, 100));
  }
  const auto update = [&](Index i) {
    columns.append_columns(a.middleCols(i * width, width));
    sums.add(a.middleCols(i * width, width), b.middleCols(i * width, width));
    sums.forget(0.9);
  };
  for (Index i = 0; i < 20; ++i) {
    update(i);
  }
  const long steady = allocations_of([&] {
    for (Index i = 20; i < 40; ++i) {
      update(i);
    }
  });
  CHECK(columns.rank() == rank);
  CHECK(sums.rank() == rank);
  CHECK(steady == 0);
}

TEST_CASE("adapters applied to a warm batch allocate nothing") {
  // In double, whose products are our own.
  const Dense<double> base = random_matrix<double>(300, 200, 1);
  ac::AdapterSet<double> adapters(300, 200);
  for (const Index rank : {Index{4}, Index{16}, Index{9}}) {
    adapters.add({random_matrix<double>(300, rank, 2), random_matrix<double>(200, rank, 3)});
  }
  const std::vector<Index> batch = {0, 2, 2, 1, -1, 1, 0, 2, 0, -1};
  const Dense<double> X = random_matrix<double>(200, 10, 4);
  Dense<double> Y(300, 10);
  const auto apply = [&] { adapters.apply(base, batch, X, Y); };
  apply();
  CHECK(allocations_of(apply) == 0);
}

TEST_CASE_TEMPLATE("an SVD allocates nothing once the workspace is warm", Scalar, float, double) {
  auto& device = ac::Context<ac::Cpu>::current().device();
  // In larger ones of float the product library has a part.
  constexpr Index rows = std::is_same_v<Scalar, double> ? 300 : 128;
  for (const Index cols : {Index{4}, Index{33}, rows}) {
    const Dense<Scalar> a = random_matrix<Scalar>(rows, cols, 1);
    Dense<Scalar> u(rows, cols);
    Dense<Scalar> values(cols, 1);
    Dense<Scalar> v(cols, cols);
    const auto decompose = [&] {
      ac::Kernels<ac::Cpu>::svd(device, ac::view_of(a), ac::view_of(u), ac::view_of(values),
                                ac::view_of(v));
    };
    decompose();
    CAPTURE(cols);
    CHECK(allocations_of(decompose) == 0);
  }
}

TEST_CASE("truncating an expression allocates nothing that grows with its old rank") {
  // In double, whose products are our own. What is left are the new factors and short vectors.
  constexpr Index rank = 24;
  const Dense<double> u = random_matrix<double>(3000, rank, 1);
  const Dense<double> v = random_matrix<double>(2000, rank, 2);
  const auto truncate = [&] {
    const auto result = ac::truncate(ac::outer(u, v), {.max_rank = 2});
    CHECK(result.rank() == 2);
    CHECK(result.capacity() == 2);
  };
  truncate();
  largest = 0;
  truncate();
  CHECK(largest <= 3000 * 2 * sizeof(double) + 64);
}

namespace {

/// The largest piece of memory that a weight asks for in five steps with a new basis every other.
template <class Weight, class Options>
std::size_t largest_of_steps(const Options& options, Index size) {
  ac::WeightPlace place;
  place.rows = place.cols = size;
  Weight weight(place, options, {});
  const Dense<double> x = random_matrix<double>(size, 16, 1);
  const Dense<double> dy = random_matrix<double>(size, 16, 2);
  Dense<double> y(size, 16), dx(size, 16);
  largest = 0;
  for (int step = 0; step < 5; ++step) {
    ac::zero_gradients(weight);
    weight.forward(x, y);
    weight.backward(x, dy, dx);
    const ac::StepInfo info{.step = step, .total_steps = 5, .learning_rate = 1e-3};
    weight.step(info);
    weight.after_step(info);
  }
  return largest;
}

} // namespace

TEST_CASE("methods that project or factorise never form an m x n gradient") {
  constexpr Index size = 512;
  constexpr auto gradient = static_cast<std::size_t>(size * size) * sizeof(double);
  ac::GaLoreOptions galore;
  galore.rank = 8;
  galore.period = 2;
  CHECK(largest_of_steps<ac::GaLoreWeight<double>>(galore, size) < gradient / 4);
  ac::AdaRankGradOptions adaptive;
  adaptive.rank = 8;
  adaptive.period = 2;
  CHECK(largest_of_steps<ac::AdaRankGradWeight<double>>(adaptive, size) < gradient / 4);
  ac::LoRAOptions lora;
  lora.rank = 8;
  CHECK(largest_of_steps<ac::LoRAWeight<double>>(lora, size) < gradient / 4);
  // The exact SVD is of G itself: the counter sees it.
  galore.basis = ac::BasisSearch::exact;
  CHECK(largest_of_steps<ac::GaLoreWeight<double>>(galore, size) >= gradient);
}
